"""Truth of a mechanism, compared with mined implications.

Planted implications, their contrapositives and everything that follows are true; noise hides it. An implication that
the mechanism does not make true may still hold for nearly all of its examples, through other implications. Such a pair
is `near`, and counts neither for nor against.
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
    """Comparison of mined implications with a truth.

    Contrapositives count once, near ones apart.
    """

    true: int
    false: int
    missed: int
    near: int

    @property
    def found(self) -> int:
        """Number of judged discoveries, true and false."""
        return self.true + self.false

    @property
    def precision(self) -> float:
        """Share of the discoveries that hold; NaN if nothing was found."""
        return self.true / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the truth that was found.

        NaN if nothing is true.
        """
        return self.true / (self.true + self.missed) if self.true + self.missed else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN if both are undefined."""
        whole = 2 * self.true + self.false + self.missed
        return 2 * self.true / whole if whole else float("nan")

    @property
    def false_discovery(self) -> float:
        """Share of false discoveries (Benjamini & Hochberg 1995); 0 without any."""
        return self.false / self.found if self.found else 0.0


@dataclass(frozen=True, eq=False)
class Truth:
    """True and near implications between literals, as matrices by literal code.

    `follows[p, q]`: the mechanism makes literal p imply literal q; `near[p, q]`: it does not, but nearly so. Both are
    closed under contraposition. Pairs of labels count in neither, since two labels exclude each other trivially.
    """

    nodes: NodeSpace
    follows: Relation
    near: Relation

    def __post_init__(self) -> None:
        for relation in (self.follows, self.near):
            relation.flags.writeable = False

    @classmethod
    def of(cls, nodes: NodeSpace, follows: Relation, joint: Float64[np.ndarray, "literal literal"]) -> Truth:
        """Truth `follows`, with near pairs by the joint probabilities of literals.

        A near pair has both precisions above 0.9, with fewer than half of the exceptions expected by chance.
        """
        rate = joint.diagonal()
        negated = np.arange(len(rate)) ^ 1
        exceptions, antecedent, negation = joint[:, negated], rate[:, None], rate[negated][None, :]
        precise = exceptions < (1 - NEAR_PRECISION) * np.minimum(antecedent, negation)
        dependent = exceptions < NEAR_RATIO * (antecedent * negation)
        return cls(nodes, follows, precise & dependent & ~follows & different_nodes(len(nodes)))

    @property
    def judged(self) -> Relation:
        """Mask of the pairs that count, without near and label pairs."""
        node = np.arange(2 * len(self.nodes)) >> 1
        label = node < self.nodes.labels
        return (node[:, None] < node[None, :]) & ~(label[:, None] & label[None, :]) & ~self.near

    def __len__(self) -> int:
        """Number of true implications, contrapositives counted once."""
        return int((self.follows & self.judged).sum())

    def texts(self) -> frozenset[tuple[str, str]]:
        """Antecedent and consequent of every true implication, without label pairs."""
        names = [("~" if code % 2 == 0 else "") + self.nodes.name(code >> 1) for code in range(2 * len(self.nodes))]
        label = np.arange(len(names)) >> 1 < self.nodes.labels
        pairs = np.argwhere(self.follows & ~(label[:, None] & label[None, :])).tolist()
        return frozenset((names[p], names[q]) for p, q in pairs)

    def recovered(self, implications: Implications) -> Recovery:
        """Comparison of mined implications with this truth; ShapeError for other nodes."""
        if implications.nodes != self.nodes:
            raise ShapeError(
                f"implications to compare must be over the truth's nodes: expected {self.nodes}, got "
                f"{implications.nodes}; mine the bits of its mechanism"
            )
        mined = np.zeros_like(self.follows)
        mined[implications.antecedents, implications.consequents] = True
        judged = self.judged
        return Recovery(
            true=int((mined & self.follows & judged).sum()),
            false=int((mined & ~self.follows & judged).sum()),
            missed=int((~mined & self.follows & judged).sum()),
            near=int((mined & np.triu(self.near)).sum()),
        )


def different_nodes(nodes: int) -> Relation:
    """Whether two literals are of different nodes."""
    node = np.arange(2 * nodes) >> 1
    return node[:, None] != node[None, :]
