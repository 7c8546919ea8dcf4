"""Conjunctions and votes that two graphs share."""

from __future__ import annotations

from dataclasses import dataclass

from ndg.comparison.units import Matching
from ndg.graph.causal_rows import vote_literals
from ndg.graph.ndg import NDG
from ndg.literal import Literal

Edge = tuple[frozenset[int], int]
"""Codes of the tails, and of the head."""


@dataclass(frozen=True)
class SharedEdges:
    """Counts of the conjunctions or votes of two graphs.

    Conjunctions are the same if members and consequent are; votes if literal and label are, whatever their weight.
    `consequents` counts the consequents (or labels) that both graphs have. `unmatched` edges of the second graph have a
    node without a partner in the first.
    """

    kind: str
    both: int
    only_a: int
    only_b: int
    consequents: int
    unmatched: int

    def words(self) -> str:
        """Counts in one sentence."""
        left = f" {self.unmatched:,} of b have a node without a partner." if self.unmatched else ""
        return (
            f"{self.both:,} {self.kind} are in both graphs, {self.only_a:,} in a only, {self.only_b:,} in b only; "
            f"{self.consequents:,} heads are in both.{left}"
        )


def shared_edges(a: NDG, b: NDG, match: Matching | None) -> tuple[SharedEdges, ...]:
    """Shared conjunctions and votes of two graphs over the same or matched nodes.

    None of kinds that neither has.
    """
    kinds = {"conjunctions": (_conjunctions(a), _conjunctions(b)), "votes": (_votes(a), _votes(b))}
    return tuple(_shared(name, *edges, match) for name, edges in kinds.items() if any(edges))


def _shared(kind: str, own: set[Edge], other: set[Edge], match: Matching | None) -> SharedEdges:
    moved = other
    if match is not None:
        moved = {(frozenset(int(match.codes[code]) for code in tails), int(match.codes[head])) for tails, head in other}
    known = {(tails, head) for tails, head in moved if head >= 0 and min(tails) >= 0}
    return SharedEdges(
        kind=kind,
        both=len(own & known),
        only_a=len(own - known),
        only_b=len(known - own),
        consequents=len({head for _, head in own} & {head for _, head in known}),
        unmatched=len(other) - len(known),
    )


def _conjunctions(graph: NDG) -> set[Edge]:
    return {(_codes(each.members), each.consequent.code) for each in graph.conjunctions}


def _votes(graph: NDG) -> set[Edge]:
    return {
        (_codes([literal]), label.code)
        for votes in graph.votes
        for literal, label, _ in vote_literals(votes, graph.nodes)
    }


def _codes(literals: tuple[Literal, ...] | list[Literal]) -> frozenset[int]:
    return frozenset(literal.code for literal in literals)
