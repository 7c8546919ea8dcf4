"""Graphs whose high-recall implications also hold backwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ndg.errors import ConfigError, GraphError
from ndg.graph.edges import mined
from ndg.graph.ndg import NDG


def walked_backwards(graph: NDG, beta: float | int) -> NDG:
    """The graph with implications of recall above `beta` reversed too.

    Each reversed implication comes with its contrapositive; both have their exceptions on the mined examples. Hu & Tian
    2022 walk forward only in their tables. Raises ConfigError for a `beta` that is no rate, GraphError for a graph
    without counts.
    """
    if not 0 <= beta <= 1:
        raise ConfigError(f"beta is a recall from 0 to 1, and 1 walks no implication backwards; got {beta}")
    edges = graph.implications
    if beta == 1 or not len(edges):
        return graph
    if not edges.examples:
        raise GraphError(
            f"implications of a recall above {beta} are walked backwards; this graph has no counts to tell it from; "
            "mine it, pass bits= to NDG.from_networkx, or use beta=1"
        )
    recall = mined(edges).recall  # NaN, where the consequent never holds, is not above
    back = np.flatnonzero(recall > beta)
    tails, heads = edges.consequents[back], edges.antecedents[back]
    failing = edges.holds[tails] - edges.support[back]
    antecedents = np.concatenate([edges.antecedents, tails, heads ^ 1])
    consequents = np.concatenate([edges.consequents, heads, tails ^ 1])
    exceptions = np.concatenate([edges.exceptions, failing, failing])
    keys = antecedents.astype(np.int64) * (2 * len(edges.nodes)) + consequents
    _, first = np.unique(keys, return_index=True)
    added = replace(edges, antecedents=antecedents[first], consequents=consequents[first], exceptions=exceptions[first])
    known = graph.provenance | {"beta": float(beta)}
    return replace(graph, implications=added, provenance=known, verdicts=None)
