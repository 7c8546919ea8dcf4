"""Study of interchanges on one compute batch of bases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ndg import seeds
from ndg.abstraction.counts import Counts
from ndg.abstraction.interchange.families import LAYER, Family, units_of
from ndg.activations.batches import Batch
from ndg.errors import ShapeError
from ndg.graph.ndg import NDG
from ndg.graph.scm import label_of, marked, unfolded
from ndg.interventions.engine import Change, Write
from ndg.interventions.passes import BaselinePass, PassesStudy, argmax
from ndg.interventions.pool import Pool, shapes_of
from ndg.interventions.subsets import subsets

GRAPH, RANDOM_SET, SHUFFLED = "graph", "random set", "shuffled graph"
CONTROLS = (GRAPH, RANDOM_SET, SHUFFLED)
AMONG = ("labels differ", "labels agree", "all")

FIELDS = (
    "pairs",
    "decided",
    "right",
    "differ",
    "differ_decided",
    "base_right",
    "base_right_decided",
    "source_right",
    "source_right_decided",
    "only_graph_not_base",
    "only_base_not_graph",
    "only_graph_not_source",
    "only_source_not_graph",
    "no_label",
    "several_labels",
    "contradictory",
    "units",
    "units_changed",
    "no_ancestors",
    "without",
)
"""Counted of pairs; what is right or wrong is compared with the network's label under the interchange. `differ`: base
and source label do. `only_..._not_...` are decided pairs on which one of two predictors is right. `no_ancestors`:
nothing implies the source's label, and the set was picked by it. `without`: pairs that have no set, which are in no
other count."""

Flags = Bool[np.ndarray, " example"]
Labels = Int64[np.ndarray, " example"]
Bits = Bool[np.ndarray, "example unit"]
Values = Bool[np.ndarray, "example node"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Bases, their sources in the pool, predicted labels and node values."""

    known: BaselinePass
    numbers: Int64[np.ndarray, " example"]
    source: Int64[np.ndarray, " example"]
    source_label: Labels
    base: Values
    donated: Values

    @property
    def base_label(self) -> Labels:
        return self.known.predicted


@dataclass(frozen=True, eq=False)
class Swapped:
    """Labels and booleans of layers after an interchange."""

    family: str
    control: str
    chosen: Bits
    there: Flags
    label: Labels
    bits: dict[str, Bool[np.ndarray, "example _"]]
    alone: Flags


@dataclass(frozen=True, eq=False)
class Study(PassesStudy):
    """Study of interchanges, run once per family and control.

    `mixed` is the shuffled graph, if any. With `random`, each family but the layer has a random set of the same size.
    """

    graph: NDG
    mixed: NDG | None
    pool: Pool
    families: tuple[Family, ...]
    random: bool
    seed: int

    decode = staticmethod(Counts.from_dict)

    def run(self, batch: Batch) -> Counts:
        """Counts `[among, field]` of one batch, by family and control."""
        pairs = self.pairs(batch)
        labels = self.graph.nodes.labels
        counts: dict[str, np.ndarray] = {}
        for swapped in self.swaps(pairs):
            for control, graph in self.graphs(swapped.control).items():
                literals = self.follows(graph, pairs, swapped.chosen, self.neurons)
                counts[f"{swapped.family}|{control}"] = _counted(self, pairs, swapped, literals[:, : 2 * labels])
        return Counts(counts)

    @cached_property
    def units(self) -> Int64[np.ndarray, " unit"]:
        """The nodes of the layers' units."""
        return units_of(self.graph, self.passes.changed)

    @cached_property
    def neurons(self) -> Bool[np.ndarray, " node"]:
        """Which nodes are units of a layer."""
        nodes = np.arange(len(self.graph.nodes))
        return (nodes >= self.graph.nodes.labels) & (nodes < len(self.passes.nodes))

    def pairs(self, batch: Batch) -> Pairs:
        """Pairs of a batch of bases; ShapeError for other shapes."""
        if shapes_of(batch) != self.pool.shapes:
            raise ShapeError(
                f"an interchange takes bases and sources of one shape; expected {self.pool.shapes}, the sources', got "
                f"{shapes_of(batch)}; pad or cut both alike"
            )
        known = self.passes.baseline(batch)
        numbers = known.numbers
        source = numbers
        if not self.pool.paired:
            words = seeds.words(self.seed, "source", examples=numbers, draws=1)[:, 0]
            source = (words % np.uint64(len(self.pool))).astype(np.int64)
        nodes = self.graph.nodes
        base, donated = np.zeros((2, batch.count, len(nodes)), np.bool_)
        base[:, : len(self.passes.nodes)] = known.nodes(self.passes.nodes)
        for layer in self.passes.changed:
            donated[:, nodes.slice(layer)] = self.pool.bits[layer][source]
        return Pairs(known, numbers, source, self.pool.predicted[source], base, donated)

    def swaps(self, pairs: Pairs, read: Sequence[str] = ()) -> Iterator[Swapped]:
        """The network after the interchange of every family and control."""
        known = pairs.known
        values = {layer: self.pool.rows(layer, pairs.source, known.batch.rows) for layer in self.passes.changed}
        for family in self.families:
            chosen, there = family.of(self.seed, pairs.numbers, pairs.source_label)
            alone = np.isin(pairs.source_label, family.alone)
            sets = {GRAPH: chosen}
            if self.random and family.name != LAYER:
                purpose = f"random set of {family.name}"
                sizes = chosen.sum(axis=1, dtype=np.int64)
                sets[RANDOM_SET] = subsets(self.seed, purpose, pairs.numbers, sizes, len(self.units))
            for control, own in sets.items():
                if not there.any():
                    yield Swapped(family.name, control, own, there, pairs.base_label, known.bits, alone)
                    continue
                logits, bits = self.passes.run(known, self._changes(known, own, values), read)
                after = argmax(logits[: known.batch.count])
                yield Swapped(family.name, control, own, there, after, bits, alone)

    def follows(self, graph: NDG, pairs: Pairs, chosen: Bits, known: Bool[np.ndarray, " node"]) -> np.ndarray:
        """Literals C' that follow from the swapped units' booleans.

        The base's literals of `known` nodes are used where the swapped units do not contradict them.
        """
        forced = np.zeros(pairs.base.shape, np.bool_)
        forced[:, self.units] = chosen
        return unfolded(graph.closures, marked(pairs.donated, forced), marked(pairs.base, known[None]))

    def graphs(self, control: str) -> dict[str, NDG]:
        """Graphs that predict; the shuffled one only for its sets."""
        mixed = {} if self.mixed is None or control != GRAPH else {SHUFFLED: self.mixed}
        return {control: self.graph, **mixed}

    def _changes(self, known: BaselinePass, chosen: Bits, values: dict[str, Tensor]) -> dict[str, Change]:
        changes: dict[str, Change] = {}
        start = 0
        for layer in self.passes.changed:
            stop = start + known.neurons[layer].units
            padded = np.zeros((known.batch.rows, stop - start), np.bool_)
            padded[: len(chosen)] = chosen[:, start:stop]
            output, mask = known.outputs[layer], known.masks[layer]
            changes[layer] = Write(known.neurons[layer].places(torch.from_numpy(padded), output, mask), values[layer])
            start = stop
        return changes


def _counted(study: Study, pairs: Pairs, swapped: Swapped, literals: np.ndarray) -> np.ndarray:
    labels = study.graph.nodes.labels
    says = label_of(literals, labels)
    both = literals.reshape(len(says), labels, 2)
    contradictory = (both[:, :, 0] & both[:, :, 1]).any(axis=1)
    on = both[:, :, 1].sum(axis=1)
    decided, there = says >= 0, swapped.there
    right, base_right, source_right = (label == swapped.label for label in (says, pairs.base_label, pairs.source_label))
    differ = pairs.base_label != pairs.source_label
    changed = swapped.chosen & (pairs.base[:, study.units] != pairs.donated[:, study.units])
    counted = {
        "pairs": there,
        "decided": decided,
        "right": right,
        "differ": differ,
        "differ_decided": differ & decided,
        "base_right": base_right,
        "base_right_decided": base_right & decided,
        "source_right": source_right,
        "source_right_decided": source_right & decided,
        "only_graph_not_base": right & ~base_right,
        "only_base_not_graph": decided & base_right & ~right,
        "only_graph_not_source": right & ~source_right,
        "only_source_not_graph": decided & source_right & ~right,
        "no_label": ~contradictory & (on == 0),
        "several_labels": ~contradictory & (on > 1),
        "contradictory": contradictory,
        "units": swapped.chosen.sum(axis=1),
        "units_changed": changed.sum(axis=1),
        "no_ancestors": swapped.alone,
    }
    rows = []
    for among in (differ, ~differ, np.ones_like(differ)):
        own = [int((counts * (among & there)).sum()) for counts in counted.values()]
        rows.append([*own, int((among & ~there).sum())])
    assert tuple(counted) == FIELDS[:-1]
    return np.array(rows, np.int64)
