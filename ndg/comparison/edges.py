"""Edges of several graphs as comparable numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import seeds
from ndg.comparison.sections import groups_of
from ndg.comparison.units import Matching
from ndg.errors import GraphError
from ndg.graph.edges import mined, texts_of
from ndg.graph.ndg import NDG
from ndg.nodes import CONCEPT, LABEL, NodeSpace

Keys = Int64[np.ndarray, "_"]


def keys(graph: NDG) -> Keys:
    """Sorted numbers of implications, `antecedent * literals + consequent`."""
    edges = graph.implications
    return edges.antecedents.astype(np.int64) * (2 * len(graph.nodes)) + edges.consequents


@dataclass(frozen=True, eq=False)
class Translated:
    """Edges in terms of another graph's nodes; `unmatched` are left out."""

    keys: Keys
    precision: Float64[np.ndarray, "_"]
    unmatched: int = 0


def translated(graph: NDG, nodes: NodeSpace, match: Matching | None) -> Translated:
    """Edges of a graph on the same or matched nodes, else GraphError."""
    precision = mined(graph.implications).precision
    if match is None:
        if graph.nodes != nodes:
            raise GraphError(
                f"graphs are compared over the same nodes: expected {nodes}, got {graph.nodes}; pass the matching of "
                "their units, match_units(bits, other_bits)"
            )
        return Translated(keys(graph), precision)
    if (match.nodes, match.other) != (nodes, graph.nodes):
        raise GraphError(
            f"a matching belongs to two graphs: expected one of {nodes} with {graph.nodes}, got one of {match.nodes} "
            f"with {match.other}; match the bits that the graphs were mined from, in this order"
        )
    tails, heads = match.codes[graph.implications.antecedents], match.codes[graph.implications.consequents]
    known = (tails >= 0) & (heads >= 0)
    numbers = (tails * (2 * len(nodes)) + heads)[known]
    order = np.argsort(numbers)
    return Translated(numbers[order], precision[known][order], int((~known).sum()))


def ends(edges: Keys, nodes: NodeSpace) -> tuple[Keys, Keys]:
    """Antecedents and consequents of edge numbers."""
    return edges // (2 * len(nodes)), edges % (2 * len(nodes))


def shuffled(edges: Keys, nodes: NodeSpace, seed: int, *purpose: str | int) -> Keys:
    """Edges after the units of each layer are permuted at random."""
    rng, node = seeds.generator(seed, *purpose), np.arange(len(nodes))
    for name, where in nodes.groups:
        if name not in (LABEL, CONCEPT):
            node[where] = rng.permutation(node[where])
    tails, heads = ends(edges, nodes)
    return (2 * node[tails >> 1] + (tails & 1)) * (2 * len(nodes)) + 2 * node[heads >> 1] + (heads & 1)


def once(edges: Keys, nodes: NodeSpace) -> Bool[np.ndarray, " edge"]:
    """Whether each edge has a smaller number than its contrapositive."""
    tails, heads = ends(edges, nodes)
    return edges <= (heads ^ 1) * (2 * len(nodes)) + (tails ^ 1)


def inside(edges: Keys, rising: Keys) -> Bool[np.ndarray, " edge"]:
    """Whether each number is in the sorted array `rising`."""
    if not len(rising):
        return np.zeros(len(edges), np.bool_)
    place = np.minimum(np.searchsorted(rising, edges), len(rising) - 1)
    return rising[place] == edges


ALL = "all"


def by_layers(edges: Keys, nodes: NodeSpace) -> Iterator[tuple[int, tuple[str, str], Bool[np.ndarray, " edge"]]]:
    """All edges (0) and each pair of groups: number, names and marks."""
    number, pairs = layer_pairs(edges, nodes)
    yield 0, (ALL, ALL), np.ones(len(edges), np.bool_)
    yield from ((place + 1, pairs[place], number == place) for place in np.unique(number).tolist())


def edge_texts(edges: Keys, nodes: NodeSpace) -> dict[str, np.ndarray]:
    """Columns with the texts of both ends of each edge."""
    texts, (tails, heads) = texts_of(nodes), ends(edges, nodes)
    return {"antecedent": texts[tails], "consequent": texts[heads]}


def layer_pairs(edges: Keys, nodes: NodeSpace) -> tuple[Int64[np.ndarray, " edge"], list[tuple[str, str]]]:
    """The pair of groups of each edge, and all pairs' names."""
    group, names = groups_of(nodes)
    tails, heads = (group[codes >> 1] for codes in ends(edges, nodes))
    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    pairs = list(combinations_with_replacement(range(len(names)), 2))
    place = np.full((len(names), len(names)), -1, np.int64)
    for number, (i, j) in enumerate(pairs):
        place[i, j] = number
    return place[low, high], [(names[i], names[j]) for i, j in pairs]
