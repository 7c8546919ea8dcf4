"""How far the members of an equivalence class agree with each other.

A class is a strongly connected component, and approximate implication is not transitive: two members may be joined only
through others. The worst pair tells how much that costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from ndg.bits.matrix import BitMatrix
from ndg.errors import ShapeError
from ndg.graph.edges import mined, mutual
from ndg.literal import Literal
from ndg.mining.implications import Implications

ROWS_AT_ONCE, WORDS_AT_ONCE = 256, 64
WAYS = 1 << 24  # members times known pairs of a class up to which the ways between all members are found
THROUGH = 8


@dataclass(frozen=True)
class ClassAgreement:
    """A class of equivalent literals: `direct` of its `pairs` pairs imply each other without a third.

    `worst` is the smallest share of examples, over all pairs, on which both have the same truth value. If not `exact`
    it is a lower bound: of some pair the counts are not known from the implications. NaN without any examples.
    """

    members: tuple[Literal, ...]
    direct: int
    worst: float
    exact: bool

    @property
    def pairs(self) -> int:
        return len(self.members) * (len(self.members) - 1) // 2


def agreements(
    implications: Implications, classes: tuple[tuple[Literal, ...], ...], bits: BitMatrix | None = None
) -> tuple[ClassAgreement, ...]:
    """The agreement within each class: on `bits` where given, otherwise from the mined counts.

    One implication between two literals gives the number of examples on which they differ, since the exceptions of its
    converse follow from the margins. Numbers of differing examples obey the triangle inequality, so for a pair without
    any implication the shortest way through others bounds it from above.
    """
    if bits is not None and bits.nodes != implications.nodes:
        raise ShapeError(
            f"agreement is counted over the graph's nodes: expected {implications.nodes}, got {bits.nodes}"
        )
    place = np.full(2 * len(implications.nodes), -1, np.int64)
    member = np.zeros(2 * len(implications.nodes), np.int64)
    for number, literals in enumerate(classes):
        codes = [literal.code for literal in literals]
        place[codes], member[codes] = np.arange(len(codes)), number
    tails, heads = implications.antecedents, implications.consequents
    inside = np.flatnonzero((place[tails] >= 0) & (place[heads] >= 0) & (member[tails] == member[heads]))
    inside = inside[np.argsort(member[tails[inside]], kind="stable")]
    counts, both_ways = mined(implications), mutual(implications)
    differ = np.maximum(2 * counts.exceptions + counts.consequent - counts.antecedent, 0)

    found: list[ClassAgreement] = []
    known: dict[tuple[int, ...], tuple[int, bool]] = {}  # by nodes: a class and its mirror image agree alike
    ends = np.searchsorted(member[tails[inside]], np.arange(len(classes) + 1))
    for number, literals in enumerate(classes):
        edges = inside[ends[number] : ends[number + 1]]
        of = tuple(literal.node for literal in literals)
        if of not in known and bits is not None:
            known[of] = _most_counted(bits, literals), True
        elif of not in known:
            known[of] = _most_bounded(len(literals), place[tails[edges]], place[heads[edges]], differ[edges])
        most, exact = known[of]
        examples = implications.examples if bits is None else bits.examples
        worst = 1 - min(most, examples) / examples if examples else math.nan
        found.append(ClassAgreement(literals, int(both_ways[edges].sum()) // 2, worst, exact and examples > 0))
    return tuple(found)


def _most_counted(bits: BitMatrix, literals: tuple[Literal, ...]) -> int:
    """The most examples on which two of the literals differ, counted for a tile of pairs at a time."""
    from ndg.graph.pair_counts import add_unlike

    rows = np.array([literal.node for literal in literals])
    values = np.array([literal.value for literal in literals])
    most = 0
    for top in range(0, len(rows), ROWS_AT_ONCE):
        for left in range(0, top + 1, ROWS_AT_ONCE):
            above, beside = slice(top, top + ROWS_AT_ONCE), slice(left, left + ROWS_AT_ONCE)
            unlike = np.zeros((len(rows[above]), len(rows[beside])), np.int64)
            for start in range(0, bits.words.shape[1], WORDS_AT_ONCE):
                part = bits.words[:, start : start + WORDS_AT_ONCE]
                add_unlike(np.ascontiguousarray(part[rows[above]]), np.ascontiguousarray(part[rows[beside]]), unlike)
            same = values[above, None] == values[None, beside]
            most = max(most, int(np.where(same, unlike, bits.examples - unlike).max()))
    return most


def _most_bounded(
    size: int, tails: Int64[np.ndarray, " edge"], heads: Int64[np.ndarray, " edge"], differ: Int64[np.ndarray, " edge"]
) -> tuple[int, bool]:
    """The most examples on which two of `size` literals can differ, and whether the implications give every pair.

    All pairs of a large class would take hours: there the ways through the literal of most implications, or through
    another of those tried, bound them all.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    low, high = np.minimum(tails, heads), np.maximum(tails, heads)
    order = np.lexsort((differ, high, low))
    _, first = np.unique((low * size + high)[order], return_index=True)
    known = order[first]
    if len(known) == size * (size - 1) // 2:
        return int(differ[known].max()), True
    lengths: Float64[np.ndarray, " edge"] = differ[known].astype(np.float64)
    graph = csr_array((lengths, (low[known], high[known])), shape=(size, size))
    if size * len(known) > WAYS:
        degree = np.bincount(np.concatenate([low[known], high[known]]), minlength=size)
        through = np.argsort(-degree, kind="stable")[:THROUGH]
        farthest = np.sort(dijkstra(graph, directed=False, indices=through), axis=1)[:, -2:]
        return int(farthest.sum(axis=1).min()), False
    most = 0.0
    for start in range(0, size, ROWS_AT_ONCE):
        sources = np.arange(start, min(start + ROWS_AT_ONCE, size))
        most = max(most, float(dijkstra(graph, directed=False, indices=sources).max()))
    return int(most), False
