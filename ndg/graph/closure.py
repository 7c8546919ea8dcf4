"""Transitive reduction, and the closure of a set of literals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import compress

import numpy as np
from jaxtyping import Bool, Int64

from ndg.graph.condensation import Condensation, starts_of
from ndg.literal import Literal
from ndg.nodes import NodeSpace

SHOWN = 10
"""Literals that a representation names."""
BLOCK_BYTES = 16 << 20  # of reachability bits at a time


@dataclass(frozen=True, eq=False)
class Closure:
    """Literals that follow from some literals, those included, marked by code.

    `nodes` name them.

    >>> closure = graph.closure(["1:0"])
    >>> ndg.Literal(graph.nodes.index("1:0"), True) in closure
    True
    >>> closure.contradictions
    frozenset()
    """

    marked: Bool[np.ndarray, " literal"]
    nodes: NodeSpace | None = None

    @cached_property
    def literals(self) -> frozenset[Literal]:
        return literals_of(self.marked)

    @cached_property
    def contradictions(self) -> frozenset[int]:
        """Nodes that are both on and off."""
        return frozenset(np.flatnonzero(self.marked.reshape(-1, 2).all(axis=1)).tolist())

    @property
    def consistent(self) -> frozenset[Literal]:
        """Literals of the nodes that have one value only."""
        return frozenset(literal for literal in self.literals if literal.node not in self.contradictions)

    def __iter__(self) -> Iterator[Literal]:
        return iter(self.literals)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.marked))

    def __contains__(self, literal: object) -> bool:
        return isinstance(literal, Literal) and literal.code < len(self.marked) and bool(self.marked[literal.code])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Closure) and np.array_equal(self.marked, other.marked)

    def __hash__(self) -> int:
        return hash(self.marked.tobytes())

    def __repr__(self) -> str:
        literals = map(Literal.of, np.flatnonzero(self.marked)[:SHOWN].tolist())
        names = ", ".join(map(str, literals) if self.nodes is None else map(self.nodes.text, literals))
        more = f" and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        return f"Closure({len(self)} literals: {names}{more})"


@dataclass(frozen=True, eq=False)
class Reachability:
    """Transitive reduction of a condensation, and its contradicting components.

    The essential arcs are those whose ends no other path joins; they are the transitive reduction, unique for an
    acyclic graph (Aho, Garey & Ullman 1972). From a contradicting component some node follows both on and off. By
    skew-symmetry, x and ~x both follow from c iff ~c follows from c.
    """

    condensation: Condensation
    essential: Bool[np.ndarray, " arc"]
    contradicting: Bool[np.ndarray, " component"]

    @cached_property
    def _reduced(self) -> tuple[Int64[np.ndarray, " start"], Int64[np.ndarray, " arc"]]:
        tails, heads = self.condensation.tails[self.essential], self.condensation.heads[self.essential]
        return starts_of(len(self.condensation), tails), heads

    def below(self, codes: Int64[np.ndarray, " code"]) -> Bool[np.ndarray, " literal"]:
        """Literals that follow from these codes, those included.

        Nothing else follows from contradictory ones.
        """
        from ndg.graph.traversal import follow

        numbers = self.condensation.component[codes]
        seen = np.zeros(len(self.condensation), np.bool_)
        seen[numbers[~self.condensation.contradictory[numbers]]] = True
        follow(*self._reduced, seen)
        reached: np.ndarray = seen[self.condensation.component]
        reached[codes] = True
        return reached

    def below_each(self, marked: Bool[np.ndarray, "row literal"]) -> Bool[np.ndarray, "row literal"]:
        """Literals that follow from those marked, row by row, as `below`."""
        from ndg.graph.traversal import follow_each

        rows, component = len(marked), self.condensation.component
        sources = marked[:, ~self.condensation.contradictory[component]]
        members = component[~self.condensation.contradictory[component]]
        seen = np.zeros((len(self.condensation), -(-max(rows, 1) // 64)), np.uint64)
        for number, column in zip(members.tolist(), np.ascontiguousarray(sources.T), strict=True):
            packed = np.packbits(column, bitorder="little")
            seen[number].view(np.uint8)[: len(packed)] |= packed
        follow_each(*self._reduced, seen)
        bits = np.unpackbits(seen.view(np.uint8), axis=1, count=rows, bitorder="little").astype(np.bool_)
        reached: np.ndarray = bits[component].T | marked
        return reached


def reach(condensation: Condensation, block_bytes: int = BLOCK_BYTES) -> Reachability:
    """Reachability of all components: rows of bits, in blocks that bound the memory."""
    from ndg.graph.traversal import reach_block

    count = len(condensation)
    essential, contradicting = np.zeros(len(condensation.heads), np.bool_), np.zeros(count, np.bool_)
    words = max(min(-(-count // 64), block_bytes // (8 * max(count, 1))), 1)
    below = np.empty((count, words), np.uint64)
    for low in range(0, count, 64 * words):
        high = min(low + 64 * words, count)
        reach_block(
            condensation.starts, condensation.heads, condensation.mirror, low, high, below, essential, contradicting
        )
    return Reachability(condensation, essential, contradicting)


def literals_of(mask: Bool[np.ndarray, " literal"]) -> frozenset[Literal]:
    """Literals whose codes are marked."""
    return frozenset(compress(_literals(len(mask)), mask.tolist()))


@lru_cache(maxsize=2)
def _literals(count: int) -> tuple[Literal, ...]:
    return tuple(map(Literal.of, range(count)))


def negated(marked: Bool[np.ndarray, "*row literal"]) -> Bool[np.ndarray, "*row literal"]:
    """Negations of the marked literals."""
    return marked.reshape(*marked.shape[:-1], marked.shape[-1] // 2, 2)[..., ::-1].reshape(marked.shape)
