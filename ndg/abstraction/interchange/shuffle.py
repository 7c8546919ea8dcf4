"""Shuffled graphs, as a control without knowledge of the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ndg import seeds
from ndg.graph import hyperedges
from ndg.graph.ndg import NDG
from ndg.literal import Literal


def shuffled(graph: NDG, seed: int) -> NDG:
    """The graph with units (and concepts) permuted within layers, by seed.

    Implications, conjunctions, votes, counts and constants move with the units; thresholds stay, as they belong to the
    readings.
    """
    edges, place = graph.implications, np.arange(len(graph.nodes), dtype=np.int64)
    for name, where in graph.nodes.groups[bool(graph.nodes.labels) :]:
        place[where] = where.start + seeds.generator(seed, "shuffled", name).permutation(where.stop - where.start)
    back = np.argsort(place)
    antecedents, consequents = (2 * place[codes >> 1] + (codes & 1) for codes in (edges.antecedents, edges.consequents))
    order = np.lexsort((consequents, antecedents))
    constants = sorted(Literal(int(place[literal.node]), literal.value) for literal in edges.constants)
    moved = replace(
        edges,
        antecedents=antecedents[order].astype(np.int32),
        consequents=consequents[order].astype(np.int32),
        exceptions=edges.exceptions[order],
        on=edges.on[back],
        with_label=edges.with_label[:, back],
        constants=tuple(constants),
        thresholds=edges.thresholds.copy(),
    )
    conjunctions, votes = hyperedges.moved(graph.conjunctions, graph.votes, graph.nodes, place)
    return NDG(moved, {**graph.provenance, "shuffled": seed}, conjunctions=conjunctions, votes=votes)
