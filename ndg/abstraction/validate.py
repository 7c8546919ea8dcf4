"""Checks that studies share, before any forward pass."""

from __future__ import annotations

from ndg.errors import GraphError, ShapeError, check_kind
from ndg.graph.ndg import NDG


def check_graph(graph: NDG) -> None:
    """Raise GraphError for what is no graph."""
    check_kind(graph, NDG, "a graph is an ndg.NDG", "mine or load one: ndg.NDG.load(path)", GraphError)


def check_labels(graph: NDG) -> None:
    """Raise GraphError for a graph of neurons alone."""
    check_graph(graph)
    if not graph.nodes.labels:
        raise GraphError(
            "what the network predicts is compared with the labels of the graph; the graph has no labels; extract with "
            "labels=True"
        )


def check_alternatives(graph: NDG) -> None:
    """Raise ShapeError for a graph with fewer than two labels."""
    if graph.nodes.labels < 2:
        raise ShapeError(f"an alternative class needs at least 2 classes; the graph has {graph.nodes.labels}")


def one_layer(graph: NDG, layer: str | None, rule: str) -> str:
    """The requested layer or the only one.

    GraphError, beginning with `rule`, otherwise.
    """
    check_graph(graph)
    if not isinstance(layer, str | None):
        raise GraphError(f"layer= is the name of a layer of the graph; got {type(layer).__name__}; pass its name")
    names = [known.name for known in graph.nodes.layers]
    if layer is not None:
        graph.nodes.slice(layer)
        return layer
    if len(names) != 1:
        raise GraphError(f"{rule}; the graph has {', '.join(names) or 'none'}; pass layer=")
    return names[0]
