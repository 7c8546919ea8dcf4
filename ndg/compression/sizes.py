"""How many units each layer loses: one ranking of the removals of all layers, and budgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ndg.compression.groups import LEAST
from ndg.compression.obs import Removals
from ndg.errors import BudgetError

Gone = dict[str, int]
"""Number of units that each layer loses."""

Price = Callable[[str], float]


def ranking(removals: Mapping[str, Removals], price: Price | None = None) -> list[str]:
    """Layers in the order in which they lose a unit: cheapest removal first.

    A removal costs the largest error that its layer's removals had so far, over the variance of the next
    pre-activations and over the `price` of a unit (such as its FLOPs). Every layer keeps `LEAST` units.
    """
    steps = []
    for number, (name, curve) in enumerate(removals.items()):
        scale = curve.variance if curve.variance > 0 else 1.0
        costs = np.maximum.accumulate(curve.errors) / scale / (1.0 if price is None else max(price(name), 1e-300))
        steps += [(cost, number, step, name) for step, cost in enumerate(costs[: max(len(costs) - LEAST, 0)])]
    return [name for *_, name in sorted(steps)]


def equal_errors(removals: Mapping[str, Removals]) -> list[str]:
    """The same by the relative error after each removal (Chee et al. 2022)."""
    steps = []
    for number, (name, curve) in enumerate(removals.items()):
        totals = curve.relative[: max(len(curve.order) - LEAST, 0)]
        steps += [(total, number, step, name) for step, total in enumerate(totals)]
    return [name for *_, name in sorted(steps)]


def uniform(removals: Mapping[str, Removals]) -> list[str]:
    """The same with equal shares of all layers."""
    steps = []
    for number, (name, curve) in enumerate(removals.items()):
        units = len(curve.order)
        steps += [((step + 1) / units, number, name) for step in range(max(units - LEAST, 0))]
    return [name for *_, name in sorted(steps)]


def first(steps: Sequence[str], removals: Mapping[str, Removals], count: int) -> Gone:
    """Units that each layer loses by the first steps."""
    gone = dict.fromkeys(removals, 0)
    for name in steps[:count]:
        gone[name] += 1
    return gone


def for_units(steps: Sequence[str], removals: Mapping[str, Removals], share: float) -> Gone:
    """Sizes without a share of all units.

    Raises BudgetError if the layers cannot lose so many.
    """
    total = sum(len(curve.order) for curve in removals.values())
    count = round(share * total)
    if count < 1:
        raise BudgetError(
            f"a budget removes at least one unit; units={share:g} of {total} units is less; ask for at least "
            f"{1 / total:.3g}"
        )
    if count > len(steps):
        raise BudgetError(
            f"every layer keeps {LEAST} units, so at most {len(steps)} of {total} can go ({len(steps) / total:.1%}); "
            f"got units={share:g}; ask for less, or compress other layers too"
        )
    return first(steps, removals, count)


def for_flops(
    steps: Sequence[str], removals: Mapping[str, Removals], share: float, flops: Callable[[Gone], float]
) -> Gone:
    """The largest sizes whose FLOPs are at most a share of the original's.

    Raises BudgetError if there are none.
    """
    whole = flops(dict.fromkeys(removals, 0))
    count = smallest(len(steps), lambda count: flops(first(steps, removals, count)) <= share * whole)
    if count is None:
        least = flops(first(steps, removals, len(steps))) / whole
        raise BudgetError(
            f"the smallest network of these layers has {least:.3f} of the FLOPs; got flops={share:g}; ask for more, or "
            "compress other layers too"
        )
    return first(steps, removals, count)


def for_agreement(
    steps: Sequence[str], removals: Mapping[str, Removals], least: float, agreement: Callable[[Gone], float]
) -> Gone:
    """The smallest sizes found by bisection whose agreement is at least a budget.

    Raises BudgetError if not even one unit can go.
    """
    tried: dict[int, float] = {}

    def fails(count: int) -> bool:
        tried[count] = agreement(first(steps, removals, count))
        return tried[count] < least

    failing = smallest(len(steps), fails)
    count = len(steps) if failing is None else max((size for size, value in tried.items() if value >= least), default=0)
    if count == 0:
        best = max(tried.values())
        raise BudgetError(
            f"without any unit the predictions agree on {best:.5f} of the validation examples at most; got "
            f"agreement={least:g}; ask for less, or give more examples"
        )
    return first(steps, removals, count)


def smallest(most: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number from 1 to `most` at which a rising condition holds, by bisection.

    None if it never does.
    """
    if most < 1 or not holds(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
