"""What follows from literals by implications and conjunctions together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from ndg.graph.closure import Reachability
from ndg.graph.conjunctions import Conjunction

ROWS = 1024
"""Literals whose closures are computed at once, to find ancestors."""

Marked = Bool[np.ndarray, "row literal"]


@dataclass(frozen=True, eq=False)
class Chaining:
    """Forward chaining: implications are followed, and a conjunction fires once all its members hold.

    This is repeated until nothing changes. As for implications, nothing enters or passes through a contradictory class:
    a conjunction with a literal of one never fires.
    """

    reach: Reachability
    conjunctions: Sequence[Conjunction] = ()

    @cached_property
    def active(self) -> tuple[Conjunction, ...]:
        """Conjunctions that can fire."""
        condensation = self.reach.condensation
        contradictory = condensation.contradictory[condensation.component].reshape(-1, 2).any(axis=1)
        return tuple(each for each in self.conjunctions if not contradictory[list(each.nodes)].any())

    def below(self, codes: Int64[np.ndarray, " code"]) -> Bool[np.ndarray, " literal"]:
        """Literals that follow from these codes, those included."""
        if not self.active:
            return self.reach.below(codes)
        marked = np.zeros((1, len(self.reach.condensation.component)), np.bool_)
        marked[0, codes] = True
        closed: np.ndarray = self.below_each(marked)[0]
        return closed

    def below_each(self, marked: Marked, blocked: Bool[np.ndarray, " literal"] | None = None) -> Marked:
        """Literals that follow from those marked, row by row.

        `blocked` ones let no conjunction fire.
        """
        closed = self.reach.below_each(marked)
        if not self.active:
            return closed
        members = [[literal.code for literal in each.members] for each in self.active]
        consequents = [each.consequent.code for each in self.active]
        while True:
            holds = closed if blocked is None else closed & ~blocked
            before = closed.copy()
            for codes, consequent in zip(members, consequents, strict=True):
                closed[:, consequent] |= holds[:, codes].all(axis=1)
            if np.array_equal(before, closed):
                return closed
            closed = self.reach.below_each(closed)

    def above(self, code: int) -> Bool[np.ndarray, " literal"]:
        """Literals from which this one follows, itself included."""
        literals = len(self.reach.condensation.component)
        found = np.zeros(literals, np.bool_)
        for start in range(0, literals, ROWS):
            rows = np.arange(start, min(start + ROWS, literals))
            marked = np.zeros((len(rows), literals), np.bool_)
            marked[np.arange(len(rows)), rows] = True
            found[rows] = self.below_each(marked)[:, code]
        return found
