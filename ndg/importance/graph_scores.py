"""Importance scores from a mined graph: degree and label ancestors.

They run no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from ndg.errors import LayerError, nearest
from ndg.graph.ndg import NDG
from ndg.importance.scores import Scores


def degree(graph: NDG, layers: Iterable[str] | str | None = None) -> Scores:
    """Number of implications of each neuron, without contrapositives.

    `whole` counts the implications of any neuron of the layer.
    """
    tails, heads = graph.implications.antecedents.astype(np.int64), graph.implications.consequents.astype(np.int64)
    key, mirrored = (a * 2 * len(graph.nodes) + b for a, b in ((tails, heads), (heads ^ 1, tails ^ 1)))
    once = key <= mirrored
    ends = np.stack([tails[once], heads[once]]) >> 1
    counts = np.bincount(ends[0], minlength=len(graph.nodes)) + np.bincount(
        ends[1][ends[0] != ends[1]], minlength=len(graph.nodes)
    )
    places = _places(graph, layers)
    inside = {layer: ((ends >= where.start) & (ends < where.stop)).any(axis=0) for layer, where in places.items()}
    values = {layer: counts[where] for layer, where in places.items()}
    return _scores(graph, "degree", "implications", values, {layer: some.sum() for layer, some in inside.items()})


def ancestors(graph: NDG, layers: Iterable[str] | str | None = None) -> Scores:
    """Number of labels among the ancestors of each neuron.

    These are also the labels among its descendants. `whole` counts the labels of any neuron of the layer.
    """
    touched = _touched(graph)
    places = _places(graph, layers)
    values = {layer: touched[:, where].sum(axis=0) for layer, where in places.items()}
    whole = {layer: touched[:, where].any(axis=1).sum() for layer, where in places.items()}
    return _scores(graph, "ancestors", "labels", values, whole)


OF_GRAPH: dict[str, Callable[..., Scores]] = {"degree": degree, "ancestors": ancestors}


def _scores(
    graph: NDG, method: str, measure: str, values: Mapping[str, np.ndarray], whole: Mapping[str, np.integer[Any]]
) -> Scores:
    arrays = {layer: counts.astype(np.float64) for layer, counts in values.items()}
    sums = {layer: float(count) for layer, count in whole.items()}
    facts = {"graph": graph.digest}
    return Scores(method, arrays, sums, "no class", "none", graph.examples, measure, facts)


def _touched(graph: NDG) -> Bool[np.ndarray, "label node"]:
    """Whether a literal of a node follows from a literal of a label."""
    labels = graph.nodes.labels
    marked = np.eye(2 * labels, 2 * len(graph.nodes), dtype=np.bool_)
    follows = graph.closures(marked) if labels else marked
    return np.asarray(follows.reshape(labels, 2, len(graph.nodes), 2).any(axis=(1, 3)))


def _places(graph: NDG, layers: Iterable[str] | str | None) -> dict[str, slice]:
    known = [layer.name for layer in graph.nodes.layers]
    wanted = [layers] if isinstance(layers, str) else known if layers is None else list(layers)
    for layer in wanted:
        if layer not in known:
            raise LayerError(f"layer {layer!r} has no neurons in the graph; {nearest(layer, known)}")
    return {layer: graph.nodes.slice(layer) for layer in wanted}
