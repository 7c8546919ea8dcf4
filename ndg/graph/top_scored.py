"""Graphs by scores: the most important neurons alone, or one score first."""

from __future__ import annotations

from dataclasses import replace

from ndg.errors import GraphError, nearest
from ndg.graph import edges
from ndg.graph.evidence import Scored
from ndg.graph.ndg import NDG
from ndg.nodes import CONCEPT, LABEL


def top(graph: NDG, scores: Scored | str, k: int) -> NDG:
    """Graph among labels, concepts and the `k` neurons of largest absolute score.

    Nodes and their numbers stay; the other neurons take part in nothing. `scores` is a result of scoring, or the method
    of scores that the graph carries. Raises GraphError for scores that it does not carry, or `k` below 1.
    """
    if k < 1:
        raise GraphError(f"k, the number of most important neurons, must be at least 1; got {k}")
    if isinstance(scores, str):
        method, values = scores, _carried(graph, scores)
    else:
        method, values = scores.method, scores.by_node(graph.nodes)
    ranked = sorted(values, key=lambda node: (-abs(values[node]), node))
    mask = edges.marked(graph.nodes, (LABEL, CONCEPT))
    mask[ranked[:k]] = True
    among = edges.select(graph.implications, edges.among(graph.implications, mask))
    return graph.derived(among, {"top": k, "by": method}, mask)


def foremost(graph: NDG, method: str) -> NDG:
    """Graph with the scores of one method first, as pictures need."""
    _carried(graph, method)
    return replace(graph, scored={method: graph.scored[method], **graph.scored})


def _carried(graph: NDG, method: str) -> dict[int, float]:
    if method not in graph.scored:
        raise GraphError(
            f"the graph carries no scores by {method!r}; {nearest(method, graph.scored)}; score its layers, as in "
            f"`ndg score RUN --method {method}`"
        )
    return graph.scores[method]
