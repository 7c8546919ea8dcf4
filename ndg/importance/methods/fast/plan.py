"""How a budget of forward passes is spent: on first-order effects of all units, and on ablations that correct them.

A forward pass of one example counts 1, a backward pass 2; a pass of a part of the network counts as a whole one, and
rows that fill a batch up do not count. The exact way costs a pass for each unit and example.
"""

from __future__ import annotations

from dataclasses import dataclass

from ndg.errors import ConfigError

FIRST = 0.6
"""Share of the budget for first-order effects; more of it until they are of one direction on all examples."""

ONE = 4
"""Cost of first-order effects on an example in one direction: forward, carrying, backward."""

FEWEST, ABLATED = 8, 2
"""Examples at least that first-order effects are the mean of, and that each unit is ablated on."""

UNITS = 4
"""Units of each layer at least that are ablated."""

ROWS = 16
"""Rows of a pass of ablations at least, so that units share passes."""

EXACT = 32
"""Up to so many logits the effects on ablated examples are exact; above, so many directions stand for them."""


@dataclass(frozen=True)
class Plan:
    """First-order effects on `examples` in `directions` random directions of the logits (all logits where `logits` are
    as many), and ablation of some units of each layer on `ablated` examples. `exact` is the exact cost."""

    examples: int
    directions: int
    logits: int
    ablated: int
    share: float
    exact: int

    @property
    def rows(self) -> int:
        """Rows of a pass of ablations."""
        return max(ROWS, self.ablated)

    @property
    def on_ablated(self) -> int:
        """Directions on ablated examples; as many as logits where they are the logits."""
        return min(self.logits, EXACT)

    def units(self, layer: int) -> int:
        """How many of a layer's units are ablated: the fewest, and a share of the others."""
        fewest = min(layer, UNITS)
        return fewest + int(self.share * (layer - fewest))


def plan(layers: list[int], examples: int, logits: int, budget: float | int, before: int = 0) -> Plan:
    """A plan for layers of so many units, with a budget as a share of the exact cost, `before` of which is spent.

    Most goes to first-order effects, on all examples if that gives a direction each. With less than two ablations for
    each unit some units are not ablated. What cannot be done with less is done even where it exceeds the budget.
    Raises ConfigError for a budget that is no share.
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
    directions, seen = min(int((each - 2) // 2), logits), examples
    if directions < 1:
        directions, seen = 1, min(examples, max(FEWEST, int(each * examples // ONE)))
    left = funds - seen * (2 + 2 * directions)
    ablated = min(int(left // (units + beside)), examples)
    share = 1.0
    if ablated < ABLATED:
        ablated = min(ABLATED, examples)
        share = min(1.0, max(0.0, left / ablated - beside - fewest) / max(units - fewest, 1))
    return Plan(seen, directions, logits, ablated, share, exact)
