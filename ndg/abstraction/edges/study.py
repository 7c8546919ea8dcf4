"""Study of edges: force antecedents on one compute batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64
from torch import nn

from ndg.abstraction.counts import Counts
from ndg.abstraction.edges.forcing import Forcings
from ndg.activations.batches import Batch
from ndg.interventions.engine import Write
from ndg.interventions.passes import BaselinePass, Passes, PassesStudy, argmax, node_values
from ndg.interventions.shared_passes import run_parts
from ndg.interventions.substitution import Substitution, Writing
from ndg.nodes import LABEL, NodeSpace

BLOCK_BYTES = 16 << 20  # of packed booleans at a time

Rows = Int64[np.ndarray, " row"]


@dataclass(frozen=True, eq=False)
class Study(PassesStudy):
    """Study of edges; `passes` change the first layer, `passes_by_layer` the others."""

    passes_by_layer: dict[str, Passes]
    forcings: tuple[Forcings, ...]
    how: tuple[str, ...]
    writing: Writing
    antecedents: Int64[np.ndarray, " edge"]
    consequents: Int64[np.ndarray, " edge"]

    decode = staticmethod(Counts.from_dict)

    @property
    def nodes(self) -> NodeSpace:
        return self.passes.nodes

    def with_model(self, model: nn.Module) -> Study:
        others = {layer: passes.with_model(model) for layer, passes in self.passes_by_layer.items()}
        return replace(self, passes=self.passes.with_model(model), passes_by_layer=others)

    def run(self, batch: Batch) -> Counts:
        """Integers of one compute batch.

        `examples`, `holds` of each literal, `support` of each edge; `gained LAYER HOW` and `lost LAYER HOW` of forced
        edges, and `changed LAYER HOW`, the neurons whose boolean changed, of antecedents.
        """
        known = self.passes.baseline(batch)
        values = known.nodes(self.nodes)
        counts = {"examples": np.array([batch.count])} | _observed(self, values)
        for forcing in self.forcings:
            passes = self.passes_by_layer.get(forcing.layer, self.passes)
            own = known if passes is self.passes else passes.baseline(batch)
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

    A pass holds pairs of sets and rows.
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
    size = known.batch.rows
    parts = [slice(start, start + size) for start in range(0, len(sets), size)]
    for part, after in zip(parts, _after(study, forcing, passes, known, sets, rows, parts), strict=True):
        for index in np.unique(sets[part]).tolist():
            mine = np.flatnonzero(sets[part] == index)
            at = rows[part][mine]
            flips = (forcing.chosen[index] & (forcing.booleans[index] != own[at])).sum(axis=1)
            for way, number in forcing.users[index]:
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
    counts = {"gained": gained, "lost": lost, "changed": changed}
    return {
        f"{name} {forcing.layer} {how}": counted[way]
        for way, how in enumerate(study.how)
        for name, counted in counts.items()
    }


def _after(
    study: Study,
    forcing: Forcings,
    passes: Passes,
    known: BaselinePass,
    sets: Rows,
    rows: Rows,
    parts: Sequence[slice],
) -> Iterator[Bool[np.ndarray, "pair node"]]:
    """Labels and later units after each part's sets are forced on its rows."""
    layer, nodes = forcing.layer, study.nodes

    def write(part: slice) -> Write:
        booleans, chosen = forcing.booleans[sets[part]], forcing.chosen[sets[part]]
        return Substitution(study.writing, known, layer, booleans, chosen, rows[part]).write

    layers = {nodes.layer(int(node)) for node in np.unique(forcing.consequents >> 1)} - {LABEL}
    writes = ((write(part), rows[part]) for part in parts)
    for logits, bits in run_parts(passes, known, layer, writes, sorted(layers)):
        yield node_values(nodes, argmax(logits), bits)
