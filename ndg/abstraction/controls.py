"""Controls of a trial: as many neurons, set without the graph's edges.

- `binarise`: none set; `random`: a uniform subset of the same size, set to uniform booleans;
- `prototype_random`: a uniform subset of the same size, set to the majority booleans of the alternative class;
- `prototype_surest`: the same, on the neurons whose majority boolean is most probable given that class.

Beside these stand graphs that know nothing of the network, each with as many neurons as it names itself, and chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from ndg.graph.ndg import NDG
from ndg.interventions.subsets import Bits, Indices, Subsets, booleans, places
from ndg.nodes import LABEL

GRAPH = "graph"
BINARISE = "binarise"
RANDOM = "random"
PROTOTYPES = ("prototype_random", "prototype_surest")
CONTROLS = (BINARISE, RANDOM, *PROTOTYPES)
CHANCE = "chance"


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Majority boolean and rank of each unit, by class.

    Majorities are over the fitting examples predicted as a class (off at a tie). Rank 0 has the most probable boolean,
    ties by index.
    """

    values: Bool[np.ndarray, "label unit"]
    place: Int64[np.ndarray, "label unit"]

    @classmethod
    def of(cls, graph: NDG, layer: str) -> Prototypes:
        """Prototypes of all classes on one layer, from mined counts."""
        counts = graph.implications
        on = counts.with_label[:, graph.nodes.slice(layer)]
        size = counts.on[graph.nodes.slice(LABEL)][:, None]
        return cls(2 * on > size, places(-np.maximum(on, size - on)))


class Controls:
    """What is drawn for the controls of some examples, by a seed."""

    def __init__(self, prototypes: Prototypes, seed: int, examples: Indices, alternative: Indices) -> None:
        units = prototypes.values.shape[1]
        self._nothing = np.zeros((len(examples), units), np.bool_)
        self._random = Subsets(seed, "random neurons", examples, units)
        self._booleans = booleans(seed, "random booleans", examples, units)
        self._prototype = Subsets(seed, "prototype neurons", examples, units)
        self._surest, self._majority = prototypes.place[alternative], prototypes.values[alternative]

    def of(self, sizes: Indices) -> dict[str, tuple[Bits, Bits]]:
        """Units and values of each control, as many units as `sizes` says."""
        return {
            BINARISE: (self._nothing, self._nothing),
            RANDOM: (self._random.of(sizes), self._booleans),
            PROTOTYPES[0]: (self._prototype.of(sizes), self._majority),
            PROTOTYPES[1]: (self._surest < sizes[:, None], self._majority),
        }
