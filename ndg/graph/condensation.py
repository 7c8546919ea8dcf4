"""Strongly connected components of an implication graph, and the arcs between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64, Integer

from ndg.errors import GraphError
from ndg.literal import Literal

Codes = Integer[np.ndarray, " edge"]
Classes = tuple[tuple[Literal, ...], ...]


@dataclass(frozen=True, eq=False)
class Condensation:
    """Components in topological order: arcs go from lower to higher numbers.

    The numbers ascend by `level` (arcs on the longest path to the component), then by smallest literal code. A
    contradictory component contains a literal and its negation. Arcs are distinct and sorted by tail and head.
    """

    component: Int64[np.ndarray, " literal"]
    level: Int64[np.ndarray, " component"]
    contradictory: Bool[np.ndarray, " component"]
    tails: Int64[np.ndarray, " arc"]
    heads: Int64[np.ndarray, " arc"]

    def __len__(self) -> int:
        return len(self.level)

    @cached_property
    def starts(self) -> Int64[np.ndarray, " start"]:
        """Start of each component's arcs, and the end of the last."""
        return starts_of(len(self), self.tails)

    @cached_property
    def mirror(self) -> Int64[np.ndarray, " component"]:
        """Component of the negated members; a contradictory one is its own."""
        mirror = np.empty(len(self), np.int64)
        mirror[self.component] = self.component[np.arange(len(self.component)) ^ 1]
        return mirror

    @cached_property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Literal codes of each component, ascending."""
        order = np.argsort(self.component, kind="stable")
        ends = np.cumsum(self.sizes)
        return tuple(tuple(part.tolist()) for part in np.split(order, ends[:-1])) if len(self) else ()

    def classes(self, contradictory: bool) -> Classes:
        """Components of two or more literals, contradictory ones or the others."""
        selected = np.flatnonzero((self.sizes > 1) & (self.contradictory == contradictory))
        return tuple(sorted(tuple(map(Literal.of, self.members[number])) for number in selected))

    @cached_property
    def sizes(self) -> Int64[np.ndarray, " component"]:
        """Number of literals in each component."""
        return np.bincount(self.component, minlength=len(self)).astype(np.int64)


def condense(literals: int, antecedents: Codes, consequents: Codes, *, bridge: bool = False) -> Condensation:
    """Condensation of a graph over codes below `literals`.

    `bridge` keeps arcs of contradictory components.
    """
    count, labels = connected(literals, antecedents, consequents, "strong")
    codes = np.arange(literals)
    contradictory = np.zeros(count, np.bool_)
    contradictory[labels[labels == labels[codes ^ 1]]] = True

    tails, heads = labels[antecedents], labels[consequents]
    crossing = tails != heads
    if not bridge:
        crossing &= ~(contradictory[tails] | contradictory[heads])
    tails, heads = distinct(count, tails[crossing], heads[crossing])

    level = levels(count, tails, heads)
    first = np.full(count, literals, np.int64)
    np.minimum.at(first, labels, codes)
    order = np.lexsort((first, level))
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    tails, heads = distinct(count, rank[tails], rank[heads])
    return Condensation(rank[labels], level[order], contradictory[order], tails, heads)


def distinct(nodes: int, tails: Codes, heads: Codes) -> tuple[Int64[np.ndarray, " arc"], Int64[np.ndarray, " arc"]]:
    """Distinct arcs, sorted by tail and head."""
    keys = np.sort(tails.astype(np.int64) * nodes + heads)
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return keys // max(nodes, 1), keys % max(nodes, 1)


def starts_of(nodes: int, tails: Codes) -> Int64[np.ndarray, " start"]:
    """Start of each node's sorted arcs, and the end of all."""
    return np.concatenate([[0], np.cumsum(np.bincount(tails, minlength=nodes))]).astype(np.int64)


def connected(nodes: int, tails: Codes, heads: Codes, connection: str) -> tuple[int, Int64[np.ndarray, " node"]]:
    """Number of `strong` or `weak` components, and the component of each node."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if not nodes:
        return 0, np.zeros(0, np.int64)
    graph = csr_array((np.ones(len(tails), np.int32), (tails, heads)), shape=(nodes, nodes))
    count, labels = connected_components(graph, directed=True, connection=connection)
    return int(count), labels.astype(np.int64)


def levels(nodes: int, tails: Codes, heads: Codes) -> Int64[np.ndarray, " node"]:
    """Edges on the longest path to each node of an acyclic graph."""
    from ndg.graph.traversal import longest

    tails, heads = distinct(nodes, tails, heads)
    level = np.empty(nodes, np.int64)
    cyclic = longest(starts_of(nodes, tails), heads, level)
    if cyclic:
        raise GraphError(f"levels need an acyclic graph; {cyclic} nodes are on or behind a cycle")
    return level
