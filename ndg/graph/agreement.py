"""Agreement between the members of an equivalence class, some connected only through others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ndg.bits.matrix import BitMatrix
from ndg.errors import ShapeError
from ndg.graph.condensation import Classes
from ndg.graph.edges import EdgeCount, EdgeRate, mined, mutual
from ndg.literal import Literal
from ndg.mining.implications import Implications

ROWS_AT_ONCE, WORDS_AT_ONCE = 256, 64
PATHS = 1 << 24  # members times known pairs of a class, up to which all shortest paths are computed
VIA = 8


@dataclass(frozen=True)
class ClassAgreement:
    """Class of equivalent literals.

    `direct` of its `pairs` imply each other directly.

    `worst` is the smallest share of examples, over all pairs, on which both have the same truth value. It is a lower
    bound unless `exact`: the implications do not give the counts of every pair. NaN without examples.
    """

    members: tuple[Literal, ...]
    direct: int
    worst: float
    exact: bool

    @property
    def pairs(self) -> int:
        return len(self.members) * (len(self.members) - 1) // 2


def agreements(
    implications: Implications, classes: Classes, bits: BitMatrix | None = None
) -> tuple[ClassAgreement, ...]:
    """Agreement within each class, on `bits` or from the mined counts.

    One implication gives the number of examples on which its ends differ, since the exceptions of its converse follow
    from the margins. By the triangle inequality, the shortest path through other members bounds the other pairs.
    """
    if bits is not None and bits.nodes != implications.nodes:
        raise ShapeError(
            f"bits for agreement must be over the graph's nodes: expected {implications.nodes}, got {bits.nodes}"
        )
    position = np.full(2 * len(implications.nodes), -1, np.int64)
    class_number = np.zeros(2 * len(implications.nodes), np.int64)
    for number, literals in enumerate(classes):
        codes = [literal.code for literal in literals]
        position[codes], class_number[codes] = np.arange(len(codes)), number
    tails, heads = implications.antecedents, implications.consequents
    within = np.flatnonzero(
        (position[tails] >= 0) & (position[heads] >= 0) & (class_number[tails] == class_number[heads])
    )
    within = within[np.argsort(class_number[tails[within]], kind="stable")]
    counts, mutual_edges = mined(implications), mutual(implications)
    differ = np.maximum(2 * counts.exceptions + counts.consequent - counts.antecedent, 0)

    result: list[ClassAgreement] = []
    by_nodes: dict[tuple[int, ...], tuple[int, bool]] = {}  # a class and its mirror image agree equally
    bounds = np.searchsorted(class_number[tails[within]], np.arange(len(classes) + 1))
    for number, literals in enumerate(classes):
        edges = within[bounds[number] : bounds[number + 1]]
        nodes = tuple(literal.node for literal in literals)
        if nodes not in by_nodes and bits is not None:
            by_nodes[nodes] = _largest_counted(bits, literals), True
        elif nodes not in by_nodes:
            by_nodes[nodes] = _largest_bound(
                len(literals), position[tails[edges]], position[heads[edges]], differ[edges]
            )
        largest, exact = by_nodes[nodes]
        examples = implications.examples if bits is None else bits.examples
        worst = 1 - min(largest, examples) / examples if examples else math.nan
        result.append(ClassAgreement(literals, int(mutual_edges[edges].sum()) // 2, worst, exact and examples > 0))
    return tuple(result)


def _largest_counted(bits: BitMatrix, literals: tuple[Literal, ...]) -> int:
    """Most examples on which two literals differ, counted on bits."""
    from ndg.graph.traversal import add_unlike

    rows = np.array([literal.node for literal in literals])
    values = np.array([literal.value for literal in literals])
    largest = 0
    for top in range(0, len(rows), ROWS_AT_ONCE):
        for left in range(0, top + 1, ROWS_AT_ONCE):
            rows_part, columns_part = slice(top, top + ROWS_AT_ONCE), slice(left, left + ROWS_AT_ONCE)
            unlike = np.zeros((len(rows[rows_part]), len(rows[columns_part])), np.int64)
            for start in range(0, bits.words.shape[1], WORDS_AT_ONCE):
                part = bits.words[:, start : start + WORDS_AT_ONCE]
                add_unlike(
                    np.ascontiguousarray(part[rows[rows_part]]), np.ascontiguousarray(part[rows[columns_part]]), unlike
                )
            same = values[rows_part, None] == values[None, columns_part]
            largest = max(largest, int(np.where(same, unlike, bits.examples - unlike).max()))
    return largest


def _largest_bound(size: int, tails: EdgeCount, heads: EdgeCount, differ: EdgeCount) -> tuple[int, bool]:
    """Bound on the examples on which two literals differ; whether exact."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    order = np.lexsort((differ, high, low))
    _, first = np.unique((low * size + high)[order], return_index=True)
    edges_of_pairs = order[first]
    if len(edges_of_pairs) == size * (size - 1) // 2:
        return int(differ[edges_of_pairs].max()), True
    lengths: EdgeRate = differ[edges_of_pairs].astype(np.float64)
    graph = csr_array((lengths, (low[edges_of_pairs], high[edges_of_pairs])), shape=(size, size))
    if size * len(edges_of_pairs) > PATHS:  # all pairs would take hours: bound them by paths through hubs
        degree = np.bincount(np.concatenate([low[edges_of_pairs], high[edges_of_pairs]]), minlength=size)
        hubs = np.argsort(-degree, kind="stable")[:VIA]
        farthest = np.sort(dijkstra(graph, directed=False, indices=hubs), axis=1)[:, -2:]
        return int(farthest.sum(axis=1).min()), False
    largest = 0.0
    for start in range(0, size, ROWS_AT_ONCE):
        sources = np.arange(start, min(start + ROWS_AT_ONCE, size))
        largest = max(largest, float(dijkstra(graph, directed=False, indices=sources).max()))
    return int(largest), False
