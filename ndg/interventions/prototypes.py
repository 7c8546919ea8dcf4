"""Class prototypes: an order of units and their booleans for each class.

They use neither the edges of a graph nor an intervention, so they are the controls of what does. `on` is the share of
the examples predicted as the class on which a unit is on, against that on the other examples:

- `surest`: the units whose majority boolean is most probable given the class, set to it (off at a tie);
- `contrast`: those with the largest difference between the two shares;
- `log_odds`: those with the largest ratio of the odds of the two shares.

The last two set each unit to the boolean that is more probable given the class than elsewhere; their shares are
(count + 1) / (examples + 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg.graph.ndg import NDG
from ndg.interventions.subsets import places
from ndg.nodes import LABEL

Units = Bool[np.ndarray, "label unit"]
Keys = Float64[np.ndarray, "label unit"] | Int64[np.ndarray, "label unit"]


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Examples of each predicted class, and with each unit on.

    `size` counts the examples of a class; those of all other classes stand beside.
    """

    on: Int64[np.ndarray, "label unit"]
    size: Int64[np.ndarray, "label 1"]
    other_on: Int64[np.ndarray, "label unit"]
    other_size: Int64[np.ndarray, "label 1"]

    @classmethod
    def of(cls, graph: NDG, layer: str) -> ClassCounts:
        """Counts of a layer on the examples that the graph was mined from."""
        counts, units = graph.implications, graph.nodes.slice(layer)
        on, size = counts.with_label[:, units], counts.on[graph.nodes.slice(LABEL)][:, None]
        return cls(on, size, counts.on[units] - on, counts.examples - size)


def surest(counts: ClassCounts) -> tuple[Keys, Units]:
    """Number of examples of the class with its majority boolean."""
    return np.maximum(counts.on, counts.size - counts.on), 2 * counts.on > counts.size


def contrast(counts: ClassCounts) -> tuple[Keys, Units]:
    """Absolute difference of both shares times both numbers, a whole number."""
    given, other = (counts.on + 1) * (counts.other_size + 2), (counts.other_on + 1) * (counts.size + 2)
    return np.abs(given - other), given > other


def log_odds(counts: ClassCounts) -> tuple[Keys, Units]:
    """Ratio of the odds of the two shares, at least 1.

    As integers divided once, equal ratios tie.
    """
    given = (counts.on + 1) * (counts.other_size - counts.other_on + 1)
    other = (counts.other_on + 1) * (counts.size - counts.on + 1)
    return np.maximum(given, other) / np.minimum(given, other), given > other


ORDERS: dict[str, Callable[[ClassCounts], tuple[Keys, Units]]] = {
    "surest": surest,
    "contrast": contrast,
    "log_odds": log_odds,
}
"""Strength of each unit for each class, the largest first, and its boolean."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Rank of each unit for each class, from 0, and its boolean."""

    place: Int64[np.ndarray, "label unit"]
    values: Units

    def until(
        self, changes: Int64[np.ndarray, " row"], bits: Bool[np.ndarray, "row unit"], label: Int64[np.ndarray, " row"]
    ) -> Bool[np.ndarray, "row unit"]:
        """First units, by the row's label, that change so many bits."""
        differs = np.take_along_axis(self.values[label] != bits, np.argsort(self.place, axis=1)[label], axis=1)
        before = np.cumsum(differs, axis=1) - differs  # changes by the units that stand before
        return np.take_along_axis(before < changes[:, None], self.place[label], axis=1)


def ranked(counts: ClassCounts) -> dict[str, Ranked]:
    """Every order of `ORDERS`, by name."""
    orders = {name: order(counts) for name, order in ORDERS.items()}
    return {name: Ranked(places(-strength), values) for name, (strength, values) in orders.items()}
