"""The causal graph: sets of literals that survive as conjunctions, and votes for labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ndg.causal.sufficient import SufficientSets
from ndg.graph import edges
from ndg.graph.ndg import NDG
from ndg.graph.votes import Votes


def causal_graph(graph: NDG, sets: Iterable[SufficientSets], votes: Iterable[Votes]) -> NDG:
    """Graph of surviving conjunctions and votes, without implications.

    Its nodes are those of a mined graph.

    Its constants are left out too, since a unit that hardly varies on plain examples may decide something on hybrids.
    Raises GraphError for sets or votes of other nodes.
    """
    none = edges.select(graph.implications, np.zeros(len(graph), np.bool_))
    causal = replace(graph, implications=replace(none, constants=()), verdicts=None)
    for each in sets:
        causal = causal.with_conjunctions(each)
    return causal.with_votes(votes)
