"""Plan of a budget of forward passes for first-order effects and ablations.

A forward or partial pass of an example costs 1, a backward pass 2; exact ablation a pass for each unit and example.
"""

from __future__ import annotations

from dataclasses import dataclass

from ndg.errors import ConfigError

FIRST = 0.6
"""Share of the budget for first-order effects; more if needed for one direction on all examples."""

ONE = 4
"""Cost of first-order effects of an example in one direction: forward, propagation, backward."""

FEWEST, ABLATED = 8, 2
"""Smallest number of examples for first-order effects, and of ablations per unit."""

UNITS = 4
"""Smallest number of ablated units per layer."""

ROWS = 16
"""Smallest number of rows of a pass of ablations, so that units share passes."""

EXACT = 32
"""Number of logits above which as many random directions replace them on ablated examples."""


@dataclass(frozen=True)
class Plan:
    """First-order effects and ablations that fit a budget.

    First-order effects on `examples` in `directions` random directions (or all `logits`), and ablation of some units of
    each layer on `ablated` examples. `exact` is the exact cost.
    """

    examples: int
    directions: int
    logits: int
    ablated: int
    share: float
    exact: int

    @property
    def on_ablated(self) -> int:
        """Directions on ablated examples, or the number of logits."""
        return min(self.logits, EXACT)

    def units(self, layer: int) -> int:
        """Number of units of a layer to ablate."""
        fewest = min(layer, UNITS)
        return fewest + int(self.share * (layer - fewest))


def plan(layers: list[int], examples: int, logits: int, budget: float | int, before: int = 0) -> Plan:
    """Plan for layers within a share of the exact cost, less `before`.

    Most goes to first-order effects, on all examples if that allows one direction each. With less than two ablations
    per unit, some units are not ablated. The smallest plan may exceed the budget. ConfigError for a wrong budget.
    """
    if not 0 < budget < 1:
        raise ConfigError(
            f"the budget is a share of the exact cost, above 0 and below 1; got {budget!r}; take method='ablation' for "
            "all of it"
        )
    units = sum(layers)
    exact = units * examples
    funds = budget * exact - before
    fewest = sum(min(layer, UNITS) for layer in layers)
    beside = 2 * len(layers) + 2 + 2 * min(logits, EXACT)
    each = max(FIRST * funds, min(ONE * examples, funds - ABLATED * (fewest + beside))) / examples
    directions, examples_used = min(int((each - 2) // 2), logits), examples
    if directions < 1:
        directions, examples_used = 1, min(examples, max(FEWEST, int(each * examples // ONE)))
    left = funds - examples_used * (2 + 2 * directions)
    ablated = min(int(left // (units + beside)), examples)
    share = 1.0
    if ablated < ABLATED:
        ablated = min(ABLATED, examples)
        share = min(1.0, max(0.0, left / ablated - beside - fewest) / max(units - fewest, 1))
    return Plan(examples_used, directions, logits, ablated, share, exact)
