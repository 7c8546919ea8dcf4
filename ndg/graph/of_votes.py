"""Votes alone as a graph, for pictures and exports."""

from __future__ import annotations

import numpy as np

from ndg.graph.ndg import NDG
from ndg.graph.votes import Votes
from ndg.mining.implications import Implications
from ndg.nodes import LayerUnits, NodeSpace


def graph_of(votes: Votes) -> NDG:
    """Graph of one layer's votes, without implications and examples."""
    labels, units = votes.weights.shape
    nodes = NodeSpace(labels, (LayerUnits(votes.layer, units),))
    codes = np.zeros(0, np.int32)
    none = Implications(
        nodes=nodes,
        antecedents=codes,
        consequents=codes.copy(),
        exceptions=np.zeros(0, np.int64),
        on=np.zeros(len(nodes), np.int64),
        with_label=np.zeros((labels, len(nodes)), np.int64),
        examples=0,
        constants=(),
        criterion={"name": "votes"},
        thresholds=np.full(units, np.nan),
        binarizer="unknown",
        bits_digest="",
    )
    return NDG(none, votes=(votes,))
