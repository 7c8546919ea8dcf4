"""Edges of several graphs as numbers that can be compared, over the nodes of one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import seeds
from ndg.comparison.sections import groups_of
from ndg.comparison.units import Matching
from ndg.errors import GraphError
from ndg.graph.edges import mined
from ndg.graph.ndg import NDG
from ndg.nodes import CONCEPT, LABEL, NodeSpace

Keys = Int64[np.ndarray, "_"]
Codes = Int64[np.ndarray, " literal"]


def keys(graph: NDG) -> Keys:
    """One number per implication, `antecedent * literals + consequent`, rising."""
    edges = graph.implications
    return edges.antecedents.astype(np.int64) * (2 * len(graph.nodes)) + edges.consequents


@dataclass(frozen=True, eq=False)
class Translated:
    """The edges of a graph by the nodes of another one, rising, and the precision of each on the mined examples.

    `unmatched` counts those left out, because an end has no partner among those nodes.
    """

    keys: Keys
    precision: Float64[np.ndarray, "_"]
    unmatched: int = 0


def translated(graph: NDG, nodes: NodeSpace, match: Matching | None) -> Translated:
    """The edges of a graph by the nodes of another one: the same nodes, or those that `match` matches with its own.

    Raises GraphError for other nodes without a matching, or for a matching of other nodes.
    """
    precision = mined(graph.implications).precision
    if match is None:
        if graph.nodes != nodes:
            raise GraphError(
                f"graphs are compared over the same nodes: expected {nodes}, got {graph.nodes}; give the matching of "
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
    found = (tails * (2 * len(nodes)) + heads)[known]
    order = np.argsort(found)
    return Translated(found[order], precision[known][order], int((~known).sum()))


def ends(found: Keys, nodes: NodeSpace) -> tuple[Keys, Keys]:
    """Antecedent and consequent of each number."""
    return found // (2 * len(nodes)), found % (2 * len(nodes))


def shuffled(found: Keys, nodes: NodeSpace, seed: int, *purpose: str | int) -> Keys:
    """The same edges in their order, with the units of each layer in a drawn one; labels and concepts stay."""
    rng, node = seeds.generator(seed, *purpose), np.arange(len(nodes))
    for name, where in nodes.groups:
        if name not in (LABEL, CONCEPT):
            node[where] = rng.permutation(node[where])
    tails, heads = ends(found, nodes)
    return (2 * node[tails >> 1] + (tails & 1)) * (2 * len(nodes)) + 2 * node[heads >> 1] + (heads & 1)


def once(found: Keys, nodes: NodeSpace) -> Bool[np.ndarray, " edge"]:
    """Which edges stand for themselves and their contrapositive: those of the smaller number of the two."""
    tails, heads = ends(found, nodes)
    return found <= (heads ^ 1) * (2 * len(nodes)) + (tails ^ 1)


def inside(found: Keys, rising: Keys) -> Bool[np.ndarray, " edge"]:
    """Which numbers are among others, which rise."""
    if not len(rising):
        return np.zeros(len(found), np.bool_)
    place = np.minimum(np.searchsorted(rising, found), len(rising) - 1)
    return rising[place] == found


def layer_pairs(found: Keys, nodes: NodeSpace) -> tuple[Int64[np.ndarray, " edge"], list[tuple[str, str]]]:
    """Which pair of groups (labels, layers, concepts) each edge joins, and the names of all pairs."""
    group, names = groups_of(nodes)
    tails, heads = (group[codes >> 1] for codes in ends(found, nodes))
    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    pairs = [(i, j) for i in range(len(names)) for j in range(i, len(names))]
    place = np.full((len(names), len(names)), -1, np.int64)
    for number, (i, j) in enumerate(pairs):
        place[i, j] = number
    return place[low, high], [(names[i], names[j]) for i, j in pairs]
