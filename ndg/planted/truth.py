"""Which implications a mechanism makes true, and how much of them a miner found.

Planted implications, their contrapositives and all that follows from both are true. Noise is not part of the truth: it
is what hides it. An implication that the mechanism does not make true may still hold for nearly all of its examples, by
the way that other implications meet; to call such a pair false would punish a miner for seeing what is there. So it is
`near`, and counts neither for nor against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from ndg.errors import ShapeError
from ndg.mining.implications import Implications
from ndg.nodes import NodeSpace

NEAR_PRECISION = 0.9
NEAR_RATIO = 0.5

Relation = Bool[np.ndarray, "literal literal"]


@dataclass(frozen=True)
class Recovery:
    """What of a truth was found; an implication and its contrapositive count once.

    `true` were found and hold, `false` were found and do not, `missed` hold and were not found, `near` were found and
    count for neither side.
    """

    true: int
    false: int
    missed: int
    near: int

    @property
    def found(self) -> int:
        """Discoveries that are judged: true and false ones."""
        return self.true + self.false

    @property
    def precision(self) -> float:
        """Share of the discoveries that hold, in [0, 1]; NaN where nothing was found."""
        return self.true / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the truth that was found, in [0, 1]; NaN where nothing is true."""
        return self.true / (self.true + self.missed) if self.true + self.missed else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in [0, 1]; NaN where nothing is true and nothing was found."""
        whole = 2 * self.true + self.false + self.missed
        return 2 * self.true / whole if whole else float("nan")

    @property
    def false_discovery(self) -> float:
        """Share of the discoveries that do not hold; 0 where nothing was found (Benjamini & Hochberg 1995)."""
        return self.false / self.found if self.found else 0.0


@dataclass(frozen=True, eq=False)
class Truth:
    """`follows[p, q]`: the mechanism makes literal p imply literal q; `near[p, q]`: it does not, and nearly so.

    Literals are codes, `2 * node + value`; both are closed under contraposition, and no literal is paired with its own
    node. Pairs of labels are in neither count: two labels exclude each other trivially.
    """

    nodes: NodeSpace
    follows: Relation
    near: Relation

    def __post_init__(self) -> None:
        for relation in (self.follows, self.near):
            relation.flags.writeable = False

    @classmethod
    def of(cls, nodes: NodeSpace, follows: Relation, joint: Float64[np.ndarray, "literal literal"]) -> Truth:
        """The truth `follows`, with what is near it by the noise-free probabilities that two literals both hold.

        Near is a pair of which both members, p -> q and ~q -> ~p, have a precision above 0.9, with fewer than half of
        the exceptions that independence would give. Without the second condition rare literals that have nothing to do
        with each other would be near; a miner that reports those is wrong.
        """
        rate = joint.diagonal()
        negated = np.arange(len(rate)) ^ 1
        exceptions, antecedent, negation = joint[:, negated], rate[:, None], rate[negated][None, :]
        precise = exceptions < (1 - NEAR_PRECISION) * np.minimum(antecedent, negation)
        dependent = exceptions < NEAR_RATIO * (antecedent * negation)
        return cls(nodes, follows, precise & dependent & ~follows & apart(len(nodes)))

    @property
    def judged(self) -> Relation:
        """One member of each pair {p -> q, ~q -> ~p} that counts: not near, and not between two labels."""
        node = np.arange(2 * len(self.nodes)) >> 1
        label = node < self.nodes.labels
        return (node[:, None] < node[None, :]) & ~(label[:, None] & label[None, :]) & ~self.near

    def __len__(self) -> int:
        """Number of true implications, an implication and its contrapositive once."""
        return int((self.follows & self.judged).sum())

    def texts(self) -> frozenset[tuple[str, str]]:
        """Antecedent and consequent of every true implication, contrapositives included, pairs of labels left out."""
        names = [("~" if code % 2 == 0 else "") + self.nodes.name(code >> 1) for code in range(2 * len(self.nodes))]
        label = np.arange(len(names)) >> 1 < self.nodes.labels
        pairs = np.argwhere(self.follows & ~(label[:, None] & label[None, :])).tolist()
        return frozenset((names[p], names[q]) for p, q in pairs)

    def recovered(self, found: Implications) -> Recovery:
        """How much of this truth is among mined implications over the same nodes.

        Raises ShapeError where the nodes are others.
        """
        if found.nodes != self.nodes:
            raise ShapeError(
                f"a truth is compared with implications over its own nodes: expected {self.nodes}, got {found.nodes}; "
                "mine the bits that its mechanism gave"
            )
        mined = np.zeros_like(self.follows)
        mined[found.antecedents, found.consequents] = True
        judged = self.judged
        return Recovery(
            true=int((mined & self.follows & judged).sum()),
            false=int((mined & ~self.follows & judged).sum()),
            missed=int((~mined & self.follows & judged).sum()),
            near=int((mined & np.triu(self.near)).sum()),
        )


def apart(nodes: int) -> Relation:
    """Whether two literals are of different nodes."""
    node = np.arange(2 * nodes) >> 1
    return node[:, None] != node[None, :]
