"""What follows from what: reachability as one integer of bits per component, and the closure of a set of literals.

Bit l of such an integer is the literal with code l, so that a union of sets is one `|` and the nodes that are both on
and off are the even bits of `x & (x >> 1)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from ndg.graph.condensation import Condensation
from ndg.literal import Literal


@dataclass(frozen=True)
class Closure:
    """The literals that follow from some literals, themselves included, and the nodes that come out both on and off."""

    literals: frozenset[Literal]
    contradictions: frozenset[int]

    def __iter__(self) -> Iterator[Literal]:
        return iter(self.literals)

    def __len__(self) -> int:
        return len(self.literals)

    def __contains__(self, literal: object) -> bool:
        return literal in self.literals

    @property
    def consistent(self) -> frozenset[Literal]:
        """The literals of the nodes that come out with one value only."""
        return frozenset(literal for literal in self.literals if literal.node not in self.contradictions)


@dataclass(frozen=True, eq=False)
class Reachability:
    """For each component the literals that it reaches, its members included, as bits; and which arcs are essential.

    An arc is essential when no other path joins its ends: the essential arcs are the transitive reduction, which is
    unique for an acyclic graph (Aho, Garey & Ullman 1972).
    """

    below: tuple[int, ...]
    essential: Bool[np.ndarray, " arc"]


def reach(condensation: Condensation) -> Reachability:
    """The reachability of all components, from the last in topological order to the first.

    Successors are visited in topological order: one that an earlier successor reaches is reached by a longer path, so
    the arc to it is not essential and brings nothing new. Memory is at most one bit per literal and component.
    """
    starts = np.searchsorted(condensation.tails, np.arange(len(condensation) + 1)).tolist()
    heads = condensation.heads.tolist()
    essential = bytearray(len(heads))
    below = [0] * len(condensation)
    members = condensation.members
    for number in range(len(condensation) - 1, -1, -1):
        covered = 0
        for arc in range(starts[number], starts[number + 1]):
            head = heads[arc]
            if not (covered >> members[head][0]) & 1:
                covered |= below[head]
                essential[arc] = 1
        below[number] = covered | bits_of(members[number])
    return Reachability(tuple(below), np.frombuffer(essential, np.bool_))


def bits_of(codes: Iterable[int]) -> int:
    """The set of these literal codes as bits of one integer."""
    bits = 0
    for code in codes:
        bits |= 1 << code
    return bits


def codes_of(bits: int) -> Int64[np.ndarray, " code"]:
    """The literal codes of a set, ascending; inverse of `bits_of`."""
    raw = np.frombuffer(bits.to_bytes(-(-bits.bit_length() // 8), "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(raw, bitorder="little")).astype(np.int64)


def literals_of(bits: int) -> frozenset[Literal]:
    """The literals of a set."""
    return frozenset(map(Literal.of, codes_of(bits).tolist()))


def both_values(bits: int, nodes: int) -> int:
    """The nodes of a set that are in it both on and off; node i is bit 2 i."""
    return bits & (bits >> 1) & off_bits(nodes)


def negate(bits: int, nodes: int) -> int:
    """The negations of all literals of a set."""
    off = off_bits(nodes)
    return ((bits & off) << 1) | ((bits >> 1) & off)


def off_bits(nodes: int) -> int:
    """The literals of all nodes that are off: the even codes."""
    return ((1 << (2 * nodes)) - 1) // 3
