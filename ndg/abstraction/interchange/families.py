"""Families of sets of neurons that an interchange swaps.

- `equivalence`: an equivalence class of the graph, drawn for the base among those with neurons in the layers;
- `ancestors`: what intervention Q asks for the source's label, without the label itself; of a label without ancestors
  what it implies, which is counted apart;
- `layer`: all units of the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from ndg import seeds
from ndg.errors import ConfigError, GraphError, nearest
from ndg.graph.ndg import NDG
from ndg.interventions.intervention_sets import causes, predicted
from ndg.options import names_of

Nodes = Int64[np.ndarray, " unit"]
Sets = Bool[np.ndarray, "set unit"]
Indices = Int64[np.ndarray, " example"]

EQUIVALENCE, ANCESTORS, RANDOM, LAYER = "equivalence", "ancestors", "random", "layer"

SWAPPED = {
    EQUIVALENCE: "An equivalence class swapped",
    ANCESTORS: "Ancestors of the source's label swapped",
    LAYER: "The whole layers swapped",
}


@dataclass(frozen=True, eq=False)
class Family:
    """Sets of units, and the rule that picks one per pair.

    `picked` is `drawn`, by the source's `label`, or the `only` one. `alone` are the labels that no literal implies. A
    family `named` by the user keeps its set even when empty.
    """

    name: str
    sets: Sets
    picked: str
    named: bool = False
    alone: tuple[int, ...] = ()

    def of(
        self, seed: int, numbers: Indices, labels: Indices
    ) -> tuple[Bool[np.ndarray, "example unit"], Bool[np.ndarray, " example"]]:
        """The set of each base, and whether there is one."""
        if not len(self.sets):
            return np.zeros((len(numbers), self.sets.shape[1]), np.bool_), np.zeros(len(numbers), np.bool_)
        which = np.zeros(len(numbers), np.int64)
        if self.picked == "label":
            which = labels
        elif self.picked == "drawn":
            words = seeds.words(seed, "class", examples=numbers, draws=1)[:, 0]
            which = (words % np.uint64(len(self.sets))).astype(np.int64)
        chosen = self.sets[which]
        return chosen, np.logical_or(chosen.any(axis=1), self.named)


def spoken(family: str) -> str:
    """Beginning of a sentence about a family."""
    return SWAPPED.get(family, f"The set {family!r} swapped")


def units_of(graph: NDG, layers: Iterable[str]) -> Nodes:
    """The nodes of the layers, one after the other."""
    places = [graph.nodes.slice(layer) for layer in layers]
    return np.concatenate([np.arange(place.start, place.stop, dtype=np.int64) for place in places])


def _marked(nodes: Iterable[int], units: Nodes) -> Bool[np.ndarray, " unit"]:
    return np.isin(units, np.fromiter(nodes, np.int64))


def _stacked(sets: Sequence[Bool[np.ndarray, " unit"]], units: Nodes) -> Sets:
    return np.stack(sets) if sets else np.zeros((0, len(units)), np.bool_)


def _classes(graph: NDG, units: Nodes) -> Family:
    sets = [_marked({literal.node for literal in part}, units) for part in graph.classes]
    distinct = {own.tobytes(): own for own in sets if own.any()}  # a class and its mirror have the same neurons
    return Family(EQUIVALENCE, _stacked(list(distinct.values()), units), "drawn")


def _ancestors(graph: NDG, units: Nodes) -> Family:
    labels = [predicted(graph, label) for label in range(graph.nodes.labels)]
    rows = [_marked({literal.node for literal in causes(graph, label)} - {label.node}, units) for label in labels]
    alone = tuple(number for number, label in enumerate(labels) if not graph.ancestors(label))
    return Family(ANCESTORS, _stacked(rows, units), "label", alone=alone)


FAMILIES: dict[str, Callable[[NDG, Nodes], Family]] = {
    EQUIVALENCE: _classes,
    ANCESTORS: _ancestors,
    LAYER: lambda _, units: Family(LAYER, np.ones((1, len(units)), np.bool_), "only"),
}


def families(
    graph: NDG, layers: Sequence[str], sets: Sequence[str], units: Mapping[str, str | Iterable[str]] | None = None
) -> tuple[Family, ...]:
    """The families of these names, and one per set of `units`.

    `units` has names of nodes such as `latent:3`. Raises ConfigError for an unknown name or none at all, GraphError for
    a neuron outside the layers.
    """
    known = (*FAMILIES, RANDOM)
    for name in sets:
        if name not in known:
            raise ConfigError(f"a set is one of {', '.join(known)}; got {name!r}; {nearest(name, known)}")
    joint = units_of(graph, layers)
    results = [FAMILIES[name](graph, joint) for name in dict.fromkeys(sets) if name != RANDOM]
    if units is not None and not isinstance(units, Mapping):
        raise ConfigError(
            f"units= has names of sets, each with its nodes; got {type(units).__name__}; write {{'mine': ['latent:3']}}"
        )
    for name, nodes in (units or {}).items():
        if name in known:
            raise ConfigError(f"sets of your own have names of their own, other than {', '.join(known)}; got {name!r}")
        wanted = {graph.nodes.index(node) for node in names_of(nodes, "a set of your own has names of nodes")}
        if outside := sorted(wanted - set(joint.tolist())):
            raise GraphError(
                f"an interchange swaps units of {', '.join(layers)}; {graph.nodes.name(outside[0])} is none; add its "
                "layer to layers= or leave it out"
            )
        results.append(Family(name, _marked(wanted, joint)[None], "only", named=True))
    if not results:
        raise ConfigError(f"an interchange swaps at least one set beside the random ones; got {list(sets)}")
    return tuple(results)
