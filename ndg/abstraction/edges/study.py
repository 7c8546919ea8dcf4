"""Study of edges: force antecedents on one compute batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64
from torch import nn

from ndg.abstraction.counts import Counts
from ndg.abstraction.edges.forcing import Forcings
from ndg.activations.batches import Batch
from ndg.graph.ndg import NDG
from ndg.interventions.passes import BaselinePass, Passes, argmax
from ndg.interventions.substitution import Substitution, Writing
from ndg.nodes import LABEL, NodeSpace

BLOCK_BYTES = 16 << 20  # of packed booleans at a time

Rows = Int64[np.ndarray, " row"]


@dataclass(frozen=True, eq=False)
class Study:
    """Data to try one batch: passes and forced sets by layer.

    `watch` holds passes that change nothing.
    """

    watch: Passes
    passes_by_layer: dict[str, Passes]
    forcings: tuple[Forcings, ...]
    how: tuple[str, ...]
    writing: Writing
    antecedents: Int64[np.ndarray, " edge"]
    consequents: Int64[np.ndarray, " edge"]

    decode = staticmethod(Counts.from_dict)

    @classmethod
    def of(
        cls,
        graph: NDG,
        watch: Passes,
        passes_by_layer: dict[str, Passes],
        forcings: tuple[Forcings, ...],
        how: tuple[str, ...],
        writing: Writing,
    ) -> Study:
        found = graph.implications
        ends = (found.antecedents.astype(np.int64), found.consequents.astype(np.int64))
        return cls(watch, passes_by_layer, forcings, how, writing, *ends)

    @property
    def model(self) -> nn.Module:
        return self.watch.model

    @property
    def nodes(self) -> NodeSpace:
        return self.watch.nodes

    def with_model(self, model: nn.Module) -> Study:
        watch = self.watch.with_model(model)
        own = {
            layer: watch if passes is self.watch else passes.with_model(model)
            for layer, passes in self.passes_by_layer.items()
        }
        return replace(self, watch=watch, passes_by_layer=own)

    def run(self, batch: Batch) -> Counts:
        """Integers of one compute batch.

        `examples`, `holds` of each literal, `support` of each edge; for each layer and way `gained LAYER HOW` and
        `lost LAYER HOW` of its forced edges, and `changed LAYER HOW` of its antecedents: the neurons that have another
        boolean after forcing.
        """
        known = self.watch.baseline(batch)
        values = known.nodes(self.nodes)
        counts = {"examples": np.array([batch.count])} | _observed(self, values)
        for forcing in self.forcings:
            passes = self.passes_by_layer[forcing.layer]
            own = known if passes is self.watch else passes.baseline(batch)
            counts |= _forced(self, forcing, passes, own, values)
        return Counts(counts)


def _observed(study: Study, values: Bool[np.ndarray, "row node"]) -> dict[str, np.ndarray]:
    """Counts of each literal and of both ends of each edge."""
    literals = np.stack([~values, values], axis=2).reshape(len(values), -1).T
    packed = np.packbits(literals, axis=1)
    tails, heads = study.antecedents, study.consequents
    support = np.zeros(len(tails), np.int64)
    known = np.flatnonzero((tails < len(packed)) & (heads < len(packed)))
    step = max(BLOCK_BYTES // max(packed.shape[1], 1), 1)
    for start in range(0, len(known), step):
        part = known[start : start + step]
        both = packed[tails[part]] & packed[heads[part]]
        support[part] = np.bitwise_count(both).sum(axis=1, dtype=np.int64)
    return {"holds": literals.sum(axis=1, dtype=np.int64), "support": support}


def _forced(
    study: Study, forcing: Forcings, passes: Passes, known: BaselinePass, values: Bool[np.ndarray, "row node"]
) -> dict[str, np.ndarray]:
    """Counts of consequents gained and lost.

    Each pass holds as many pairs of a set and a row as the batch has rows.
    """
    node, positive = forcing.antecedents >> 1, (forcing.antecedents & 1).astype(bool)
    missing = values[:, node] != positive
    needed = np.zeros((len(forcing.chosen), len(values)), np.bool_)
    for used in forcing.used:
        np.logical_or.at(needed, used, missing.T)
    sets, rows = np.nonzero(needed)
    shape = (len(study.how), len(forcing.consequents))
    gained, lost = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    changed = np.zeros(forcing.used.shape, np.int64)
    own = values[:, study.nodes.slice(forcing.layer)]
    for start in range(0, len(sets), known.batch.rows):
        part = slice(start, start + known.batch.rows)
        after = _after(study, forcing, passes, known, sets[part], rows[part])
        for one in np.unique(sets[part]).tolist():
            mine = np.flatnonzero(sets[part] == one)
            at = rows[part][mine]
            flips = (forcing.chosen[one] & (forcing.booleans[one] != own[at])).sum(axis=1)
            for way, number in forcing.users[one]:
                without = missing[at, number]
                edges = slice(forcing.starts[number], forcing.starts[number + 1])
                consequents = forcing.consequents[edges]
                then = after[mine[without]][:, consequents >> 1]
                before = values[at[without]][:, consequents >> 1]
                came, went = (then & ~before).sum(axis=0), (before & ~then).sum(axis=0)
                on = (consequents & 1).astype(bool)
                gained[way, edges] += np.where(on, came, went)
                lost[way, edges] += np.where(on, went, came)
                changed[way, number] += flips[without].sum()
    found = {}
    for way, how in enumerate(study.how):
        for name, counted in (("gained", gained), ("lost", lost), ("changed", changed)):
            found[f"{name} {forcing.layer} {how}"] = counted[way]
    return found


def _after(
    study: Study, forcing: Forcings, passes: Passes, known: BaselinePass, sets: Rows, rows: Rows
) -> Bool[np.ndarray, "pair node"]:
    """Labels and later units after a set is forced on a row."""
    layer, nodes = forcing.layer, study.nodes
    change = Substitution(study.writing, known, layer, forcing.booleans[sets], forcing.chosen[sets], rows)
    layers = {nodes.layer(int(one)) for one in np.unique(forcing.consequents >> 1)} - {LABEL}
    logits, bits = passes.run(known, {layer: change}, sorted(layers), rows=rows)
    found = np.zeros((len(sets), len(nodes)), np.bool_)
    found[:, nodes.slice(LABEL)] = argmax(logits)[:, None] == np.arange(nodes.labels)
    for name, seen in bits.items():
        found[:, nodes.slice(name)] = seen
    return found


def assembled(study: Study, total: Counts, name: str) -> dict[str, np.ndarray]:
    """Counts of a name by way of forcing, over all layers."""
    nothing = np.zeros(0, np.int64)
    return {
        how: np.concatenate([nothing, *(total[f"{name} {one.layer} {how}"] for one in study.forcings)])
        for how in study.how
    }
