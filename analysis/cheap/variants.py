"""Ways that need more than `benchmarks.cheap` measures: other gates, secants, group tests; and other ways to spend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from analysis.cheap import gates
from analysis.cheap.groups import Groups, ablated, group_tests, group_tests_on_rest
from analysis.cheap.sampling import log, nearest
from benchmarks.cheap import BATCH, Estimate, Measured, corrected, measure, projected
from ndg.activations.batches import fixed
from ndg.importance.methods.fast.plan import FIRST, Plan, plan

Draw = np.random.Generator


@dataclass(frozen=True, eq=False)
class Measurements(Measured):
    """Beside what is measured: effects on each logit by smoothed gates, by the rescale rule and by secants, group tests
    of each layer, and the part of a pass that is behind each layer."""

    smoothed: np.ndarray
    rescaled: np.ndarray
    secants: np.ndarray
    groups: list[Groups]
    behind: list[float]

    def kept(self, share: float) -> float:
        """What fast ablation at a share of the exact cost costs, as a share of the exact cost, where what is before a
        layer is kept in both: ablations count as the part of a pass that is behind."""
        spent, many = planned(self, share), self.shape[1]
        sizes = [rows.stop - rows.start for rows in self.layers]
        exact = sum(size * part for size, part in zip(sizes, self.behind, strict=True)) + len(sizes)
        some = sum(spent.units(size) * part for size, part in zip(sizes, self.behind, strict=True))
        some += 2 * len(sizes) + 2 + 2 * spent.on_ablated
        return (spent.examples * (2 + 2 * spent.directions) + spent.ablated * some) / (many * exact)


def measured(model: nn.Module, inputs: Tensor, layers: Sequence[str], base: Measured | None = None) -> Measurements:
    """Everything, by exact passes made once."""
    base = measure(model, inputs, layers) if base is None else base
    return Measurements(
        **{field.name: getattr(base, field.name) for field in fields(Measured)},
        smoothed=gates.smoothed(model, inputs, layers),
        rescaled=gates.rescaled(model, inputs, layers),
        secants=gates.secants(model, inputs, layers),
        groups=ablated(model, inputs, layers, BATCH),
        behind=behind(model, inputs[:1], layers),
    )


def behind(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> list[float]:
    """The part of a pass's multiplications by weights that comes after each layer, in the order of the pass."""
    done: list[tuple[str, int]] = []

    def count(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Tensor) -> None:
            weight = module.weight
            assert isinstance(weight, Tensor)
            places = output.numel() // (output.shape[1] if isinstance(module, nn.Conv2d) else output.shape[-1])
            done.append((name, places * weight.numel()))

        return hook

    weighted = [(name, one) for name, one in model.named_modules() if isinstance(one, (nn.Conv2d, nn.Linear))]
    handles = [one.register_forward_hook(count(name)) for name, one in weighted]
    with fixed(model, 1):
        model(inputs)
    for handle in handles:
        handle.remove()
    whole, after = sum(cost for _, cost in done), {}
    left = whole
    for name, cost in done:
        left -= cost
        after[name] = left / whole
    return [after[layer] for layer in layers]


def planned(found: Measured, share: float) -> Plan:
    """How fast ablation spends a share of the exact cost."""
    layers = [rows.stop - rows.start for rows in found.layers]
    return plan(layers, found.shape[1], found.carried.shape[2], share)


def first_order(effects: str) -> Estimate:
    """Mean effects on as many examples, by as many random directions of the logits, as the cost allows."""

    def estimate(found: Measured, share: float, draw: Draw) -> np.ndarray:
        units, examples = found.shape
        beside = 1 + (effects != "plain")
        directions = int(np.clip((share * units - beside) // 2, 1, found.carried.shape[2]))
        seen = draw.permutation(examples)[: max(1, int(share * units * examples / (beside + 2 * directions)))]
        return projected(getattr(found, effects)[:, seen], directions, draw, found.classes[seen])[0].mean(axis=1)

    return estimate


def with_gates(effects: str) -> Estimate:
    """Fast ablation with other effects at the same cost."""

    def estimate(found: Measured, share: float, draw: Draw) -> np.ndarray:
        return corrected(found, planned(found, share), draw, getattr(found, effects))[0]

    return estimate


def _by_secants(found: Measured, share: float, most: float) -> Plan:
    """A plan where effects take a forward pass, carrying, and both passes of each layer."""
    units, examples = found.shape
    layers, logits = len(found.layers), found.carried.shape[2]
    funds = share * units * examples
    directions = int(np.clip(((most * funds / examples - 2) / layers - 1) // 2, 1, logits))
    each = 2 + layers * (1 + 2 * directions)
    seen = max(2, min(examples, int(most * funds / each)))
    left = funds - seen * each
    return Plan(seen, directions, logits, int(left / (units + 2 + layers * (3 + 2 * logits))), 1.0, units * examples)


def secants_alone(found: Measurements, share: float, draw: Draw) -> np.ndarray:
    """Mean effects by secants."""
    spent = _by_secants(found, share, 1.0)
    seen = draw.permutation(found.shape[1])[: spent.examples]
    return projected(found.secants[:, seen], spent.directions, draw, found.classes[seen])[0].mean(axis=1)


def secants_in_fast_ablation(found: Measurements, share: float, draw: Draw) -> np.ndarray:
    """Fast ablation with secants in place of carried effects."""
    spent = _by_secants(found, share, FIRST)
    if spent.ablated < 2:
        return secants_alone(found, share, draw)
    return corrected(found, spent, draw, found.secants)[0]


def on_representatives(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Fast ablation on the examples nearest to the centres of clusters of log effects."""

    def choose(sizes: np.ndarray, many: int, draw: Draw) -> np.ndarray:
        return np.unique(nearest(log(sizes + 1e-3 * sizes.mean(axis=0)), many, draw)[0])

    return corrected(found, planned(found, share), draw, found.carried, examples=choose)[0]


def of_open_order(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Fast ablation of the half of the units whose neighbours by first-order effects are nearest, on more examples."""
    spent = planned(found, share)
    units, examples = found.shape
    if spent.ablated >= 2 and spent.share == 1:
        beside = 2 * len(found.layers) + 2 + 2 * spent.on_ablated
        left = share * units * examples - spent.examples * (2 + 2 * spent.directions)
        spent = replace(spent, ablated=min(examples, int(left / (units / 2 + beside))), share=0.5)

    def choose(means: np.ndarray, many: int, draw: Draw) -> np.ndarray:
        ranked = np.argsort(means)
        gaps = np.diff(log(means[ranked]), prepend=-np.inf, append=np.inf)
        return ranked[np.argsort(np.minimum(gaps[:-1], gaps[1:]))[:many]]

    return corrected(found, spent, draw, found.carried, units=choose)[0]


Way = Callable[[Measurements, float, Draw], np.ndarray]
"""An estimate of the truth at a share of the exact cost."""

WAYS: dict[str, Way] = {
    "carried effects alone": first_order("carried"),
    "G-NDI alone": first_order("plain"),
    "fast ablation with smoothed gates": with_gates("smoothed"),
    "smoothed gates alone": first_order("smoothed"),
    "rescale rule alone": first_order("rescaled"),
    "secants alone": secants_alone,
    "fast ablation with secants": secants_in_fast_ablation,
    "fast ablation on representatives": on_representatives,
    "fast ablation of units of open order": of_open_order,
    "group tests": lambda found, share, draw: group_tests(found, found.groups, share, draw),
    "group tests on the rest of carried effects": (
        lambda found, share, draw: group_tests_on_rest(found, found.groups, share, draw)
    ),
}
