"""How far the members of an equivalence class agree with each other.

A class is a strongly connected component, and approximate implication is not transitive: two members may be joined only
through others. The worst pair tells how much that costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from ndg.bits.matrix import BitMatrix
from ndg.errors import ShapeError
from ndg.graph.edges import mined, mutual
from ndg.literal import Literal
from ndg.mining.implications import Implications

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class ClassAgreement:
    """A class of equivalent literals: `direct` of its `pairs` pairs imply each other without a third.

    `worst` is the smallest share of examples, over all pairs, on which both have the same truth value. If not `exact`
    it is a lower bound: of some pair the counts are not known from the implications.
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

    found = []
    ends = np.searchsorted(member[tails[inside]], np.arange(len(classes) + 1))
    for number, literals in enumerate(classes):
        edges = inside[ends[number] : ends[number + 1]]
        direct = int(both_ways[edges].sum()) // 2
        if bits is not None:
            most, exact, examples = _most_counted(bits, literals), True, bits.examples
        else:
            most, exact = _most_bounded(len(literals), place[tails[edges]], place[heads[edges]], differ[edges])
            examples = implications.examples
        found.append(ClassAgreement(literals, direct, 1 - min(most, examples) / max(examples, 1), exact))
    return tuple(found)


def _most_counted(bits: BitMatrix, literals: tuple[Literal, ...]) -> int:
    """The most examples on which two of the literals differ."""
    rows = bits.words[[literal.node for literal in literals]]
    values = np.array([literal.value for literal in literals])
    most = 0
    for i in range(len(literals) - 1):
        unlike = np.bitwise_count(rows[i + 1 :] ^ rows[i]).sum(axis=1, dtype=np.int64)
        most = max(most, int(np.where(values[i + 1 :] == values[i], unlike, bits.examples - unlike).max()))
    return most


def _most_bounded(
    size: int, tails: Int64[np.ndarray, " edge"], heads: Int64[np.ndarray, " edge"], differ: Int64[np.ndarray, " edge"]
) -> tuple[int, bool]:
    """The most examples on which two of `size` literals can differ, and whether the implications give every pair."""
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
    most = 0.0
    for start in range(0, size, ROWS_AT_ONCE):
        sources = np.arange(start, min(start + ROWS_AT_ONCE, size))
        most = max(most, float(dijkstra(graph, directed=False, indices=sources).max()))
    return int(most), False
