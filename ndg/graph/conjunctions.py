"""Hyperedges of a graph: literals that together make another literal hold.

A conjunction S -> q says that forcing all members of S makes q hold; the graph keeps on which examples it was found and
judged. It is a causal statement with one direction: unlike an implication it has no contrapositive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import GraphError, check_kind
from ndg.intervals import wilson
from ndg.literal import Literal
from ndg.nodes import NodeSpace
from ndg.results import Row

if TYPE_CHECKING:
    import pandas as pd

Counts = tuple[int, int]
COLUMNS = ("members", "consequent", "size", "found_n", "found", "n", "turned", "survival", "low", "high", "effects")
"""Columns of the table of conjunctions."""


@dataclass(frozen=True)
class Conjunction:
    """Literals that together make the `consequent` hold when they are forced.

    `training` and `test` are (examples on which the consequent was false, those of them on which forcing the members
    made it true): the set was found on the first and judged on the second. `effects` are the factorial effects of the
    members on the consequent, P(q | p) - P(q | not p), in the order of the members; None if unknown. Members are sorted
    by node.

    Raises GraphError for no members, repeated ones, a node that is both member and consequent, and impossible counts.
    """

    members: tuple[Literal, ...]
    consequent: Literal
    training: Counts = (0, 0)
    test: Counts = (0, 0)
    effects: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        effects = None if self.effects is None else tuple(map(float, self.effects))
        nodes = [literal.node for literal in (*self.members, self.consequent)]
        if not self.members or len(set(nodes)) < len(nodes):
            raise GraphError(
                f"a conjunction has one member or more, of different nodes, and another node as its consequent; got "
                f"members {list(self.members)} and consequent {self.consequent}; leave the repeated ones out"
            )
        if effects is not None and (len(effects) != len(self.members) or not np.isfinite(effects).all()):
            raise GraphError(
                f"effects of a conjunction are one finite number per member; got {effects} for {len(self.members)} "
                "members; leave effects out if they are not known"
            )
        counts = []
        for n, turned in (self.training, self.test):
            if not 0 <= turned <= n:
                raise GraphError(
                    f"counts of a conjunction are (examples, those on which it worked); got {(n, turned)}; count again"
                )
            counts.append((int(n), int(turned)))
        order = sorted(range(len(self.members)), key=lambda place: self.members[place])
        object.__setattr__(self, "members", tuple(self.members[place] for place in order))
        object.__setattr__(self, "training", counts[0])
        object.__setattr__(self, "test", counts[1])
        object.__setattr__(self, "effects", effects and tuple(effects[place] for place in order))

    @property
    def survival(self) -> float | None:
        """Share of the test examples on which the consequent became true.

        None without examples.
        """
        return self.test[1] / self.test[0] if self.test[0] else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval (95 %) of `survival`."""
        low, high = wilson(self.test[1], self.test[0])
        return float(low), float(high)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Nodes of the members and of the consequent."""
        return (*(literal.node for literal in self.members), self.consequent.node)

    def text(self, nodes: NodeSpace) -> str:
        """Members and consequent as text: `a:0 & ~a:1 -> b:2`."""
        return f"{' & '.join(map(nodes.text, self.members))} -> {nodes.text(self.consequent)}"

    def moved(self, place: Int64[np.ndarray, " node"]) -> Conjunction:
        """The same conjunction over other nodes, by their number there."""
        members = tuple(Literal(int(place[literal.node]), literal.value) for literal in self.members)
        consequent = Literal(int(place[self.consequent.node]), self.consequent.value)
        return replace(self, members=members, consequent=consequent)

    def plain(self, nodes: NodeSpace) -> Row:
        """All fields in plain JSON types."""
        return {
            "members": [nodes.text(literal) for literal in self.members],
            "consequent": nodes.text(self.consequent),
            "training": list(self.training),
            "test": list(self.test),
            "effects": None if self.effects is None else list(self.effects),
        }

    @classmethod
    def read(cls, document: Mapping[str, Any], nodes: NodeSpace) -> Conjunction:
        """Conjunction of the fields of `plain`.

        Raises LookupError, TypeError, ValueError or GraphError for others.
        """
        members = tuple(nodes.literal(text) for text in document["members"])
        (training, found), (test, turned) = document["training"], document["test"]
        if not all(type(count) is int for count in (training, found, test, turned)):
            raise TypeError("counts of a conjunction must be whole numbers")
        effects = None if document["effects"] is None else tuple(map(float, document["effects"]))
        return cls(members, nodes.literal(document["consequent"]), (training, found), (test, turned), effects)


@runtime_checkable
class Conjunctive(Protocol):
    """Result that gives conjunctions over some nodes, such as `SufficientSets`."""

    def conjunctions(self, nodes: NodeSpace, /) -> tuple[Conjunction, ...]: ...


Conjunctions = Sequence[Conjunction]


def checked(conjunctions: Iterable[Conjunction], nodes: NodeSpace) -> tuple[Conjunction, ...]:
    """Distinct conjunctions over these nodes, in order; GraphError for others."""
    rule, advice = "conjunctions of a graph are ndg.graph.conjunctions.Conjunction", "pass a list of them"
    check_kind(conjunctions, Iterable, rule, advice, GraphError)
    every = list(conjunctions)
    for each in every:
        check_kind(each, Conjunction, rule, advice, GraphError)
        for node in each.nodes:
            nodes.layer(node)  # raises for a node that the graph lacks
    every.sort(key=lambda each: (each.consequent, len(each.members), each.members))
    for first, second in pairwise(every):
        if (first.members, first.consequent) == (second.members, second.consequent):
            raise GraphError(
                f"conjunctions of a graph are distinct; got {first.text(nodes)} twice; keep one, with its counts"
            )
    return tuple(every)


def among(conjunctions: Conjunctions, nodes: Bool[np.ndarray, " node"]) -> tuple[Conjunction, ...]:
    """Conjunctions whose nodes are all among these."""
    return tuple(each for each in conjunctions if nodes[list(each.nodes)].all())


def frame(conjunctions: Conjunctions, nodes: NodeSpace) -> pd.DataFrame:
    """Table of conjunctions, one row each."""
    import pandas as pd

    return pd.DataFrame([row(each, nodes) for each in conjunctions], columns=list(COLUMNS))


def row(conjunction: Conjunction, nodes: NodeSpace) -> Row:
    """Figures of a conjunction, by COLUMNS.

    Members and effects as one text.
    """
    low, high = conjunction.interval
    return {
        "members": " & ".join(map(nodes.text, conjunction.members)),
        "consequent": nodes.text(conjunction.consequent),
        "size": len(conjunction.members),
        "found_n": conjunction.training[0],
        "found": conjunction.training[1],
        "n": conjunction.test[0],
        "turned": conjunction.test[1],
        "survival": conjunction.survival,
        "low": low,
        "high": high,
        "effects": None if conjunction.effects is None else " ".join(f"{effect:.4g}" for effect in conjunction.effects),
    }
