"""Controls of a trial: as many neurons, set without the graph's edges.

- `binarise`: none set; `random`: a uniform subset of the same size, set to uniform booleans;
- `prototype_random`: a uniform subset of the same size, set to the majority booleans of the alternative class;
- `prototype_surest`, `prototype_contrast`, `prototype_log_odds`: the first neurons of an order of
  `ndg.interventions.prototypes`, as many as the graph sets;
- the same with `_changed`: the first neurons of that order until as many booleans change as the graph changes.

Beside these stand graphs that know nothing of the network, each with as many neurons as it names itself, and chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from ndg.graph.ndg import NDG
from ndg.interventions.prototypes import ORDERS, ClassCounts, Ranked, ranked
from ndg.interventions.subsets import Bits, Indices, Subsets, booleans

GRAPH = "graph"
BINARISE = "binarise"
RANDOM = "random"
PROTOTYPE_RANDOM, PROTOTYPE_SUREST = "prototype_random", "prototype_surest"
OF_SIZE = {f"prototype_{order}": order for order in ORDERS}
OF_CHANGES = {f"{name}_changed": order for name, order in OF_SIZE.items()}
PROTOTYPES = (PROTOTYPE_RANDOM, *OF_SIZE, *OF_CHANGES)
SIZED = (BINARISE, RANDOM, PROTOTYPE_RANDOM, *OF_SIZE)
CONTROLS = (*SIZED, *OF_CHANGES)
CHANCE = "chance"


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Orders of a layer's units for each class, with booleans, by name."""

    orders: dict[str, Ranked]

    @classmethod
    def of(cls, graph: NDG, layer: str) -> Prototypes:
        """Prototypes of all classes on one layer, from mined counts."""
        return cls(ranked(ClassCounts.of(graph, layer)))

    @property
    def values(self) -> Bool[np.ndarray, "label unit"]:
        """Majority boolean of each unit, by class."""
        return self.orders["surest"].values

    @property
    def place(self) -> Int64[np.ndarray, "label unit"]:
        """Rank of each unit by the probability of its majority boolean, by class."""
        return self.orders["surest"].place


class Controls:
    """What is drawn for the controls of some examples, by a seed."""

    def __init__(self, prototypes: Prototypes, seed: int, examples: Indices, alternative: Indices) -> None:
        units = prototypes.values.shape[1]
        self._nothing = np.zeros((len(examples), units), np.bool_)
        self._random = Subsets(seed, "random neurons", examples, units)
        self._booleans = booleans(seed, "random booleans", examples, units)
        self._prototype = Subsets(seed, "prototype neurons", examples, units)
        self._majority = prototypes.values[alternative]
        self._orders, self._alternative = prototypes.orders, alternative

    def of(self, sizes: Indices, names: Sequence[str] = SIZED) -> dict[str, tuple[Bits, Bits]]:
        """Units and values of controls, as many units as `sizes` says."""
        settings = {}
        for name in names:
            if name == BINARISE:
                settings[name] = (self._nothing, self._nothing)
            elif name == RANDOM:
                settings[name] = (self._random.of(sizes), self._booleans)
            elif name == PROTOTYPE_RANDOM:
                settings[name] = (self._prototype.of(sizes), self._majority)
            else:
                order = self._orders[OF_SIZE[name]]
                chosen = order.place[self._alternative] < sizes[:, None]
                settings[name] = (chosen, order.values[self._alternative])
        return settings

    def of_changes(
        self, bits: Bits, changes: Indices, names: Sequence[str] = tuple(OF_CHANGES)
    ) -> dict[str, tuple[Bits, Bits]]:
        """The first units of each order that change `changes` bits, with values."""
        settings = {}
        for name in names:
            order = self._orders[OF_CHANGES[name]]
            settings[name] = (order.until(changes, bits, self._alternative), order.values[self._alternative])
        return settings
