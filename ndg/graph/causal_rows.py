"""Conjunctions and votes as nodes and edges of the condensed graph.

A conjunction is a node of its own, `conjunction 0`, with an edge from the class of each member and one to the class of
its consequent. A vote is an edge from the class of its literal to that of its label. A key without a colon is the key
of no literal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool

from ndg.graph.conjunctions import Conjunction
from ndg.graph.votes import Votes
from ndg.literal import Literal
from ndg.nodes import LABEL, NodeSpace
from ndg.results import Row

CLASS, CONJUNCTION = "class", "conjunction"
IMPLICATION, MEMBER, CONCLUSION, VOTE = "implication", "member", "conclusion", "vote"
NODE: dict[str, type] = {
    "kind": str,
    "literals": list,
    "consequent": str,
    "training_n": int,
    "training_turned": int,
    "test_n": int,
    "test_turned": int,
    "low": float,
    "high": float,
    "effects": list,
}
"""Further attributes of nodes: `kind` of all, the others of conjunctions."""
EDGE: dict[str, type] = {"kind": str, "effect": float, "vote": float, "votes": list}
"""Further attributes of edges: `kind` of all, `effect` of members, the others where literals vote."""


def key(number: int) -> str:
    """Key of a conjunction by its number in the graph."""
    return f"{CONJUNCTION} {number}"


def conjunction_nodes(conjunctions: Mapping[int, Conjunction], nodes: NodeSpace) -> Iterator[tuple[str, Row]]:
    """Key and attributes of each conjunction."""
    for number, each in conjunctions.items():
        plain, (low, high) = each.plain(nodes), each.interval
        yield (
            key(number),
            {
                "kind": CONJUNCTION,
                "literals": plain["members"],
                "consequent": plain["consequent"],
                "training_n": each.training[0],
                "training_turned": each.training[1],
                "test_n": each.test[0],
                "test_turned": each.test[1],
                "low": low,
                "high": high,
                "effects": plain["effects"],
            },
        )


def conjunction_edges(
    conjunctions: Mapping[int, Conjunction], keys: Mapping[int, str]
) -> Iterator[tuple[str, str, Row]]:
    """Edges from the members and to the consequent.

    `keys` are those of classes by literal code.
    """
    for number, each in conjunctions.items():
        effects: dict[str, list[float | None]] = defaultdict(list)
        for place, literal in enumerate(each.members):
            effects[keys[literal.code]].append(None if each.effects is None else each.effects[place])
        for tail, values in effects.items():
            known = [value for value in values if value is not None]
            yield tail, key(number), {"kind": MEMBER, "effect": max(known, key=abs, default=None)}
        yield key(number), keys[each.consequent.code], {"kind": CONCLUSION}


def vote_edges(votes: Sequence[Votes], nodes: NodeSpace, keys: Mapping[int, str]) -> dict[tuple[str, str], Row]:
    """Attributes of votes by the keys of their ends: sum and single weights."""
    edges: dict[tuple[str, str], Row] = {}
    for each in votes:
        for literal, label, weight in vote_literals(each, nodes):
            row = edges.setdefault((keys[literal.code], keys[label.code]), {"kind": VOTE, "vote": 0.0, "votes": []})
            row["vote"] += weight
            row["votes"].append([nodes.text(literal), nodes.text(label), weight])
    return edges


def table(conjunctions: Iterable[Conjunction], votes: Sequence[Votes], nodes: NodeSpace) -> Iterator[Row]:
    """Rows of conjunctions and votes for the table of edges."""
    for each in conjunctions:
        low, high = each.interval
        yield {
            "antecedent": " & ".join(map(nodes.text, each.members)),
            "consequent": nodes.text(each.consequent),
            "antecedent_layer": " & ".join(dict.fromkeys(nodes.layer(literal.node) for literal in each.members)),
            "consequent_layer": nodes.layer(each.consequent.node),
            "kind": CONJUNCTION,
            "n": each.test[0],
            "turned": each.test[1],
            "low": low,
            "high": high,
        }
    for voting in votes:
        for literal, label, weight in vote_literals(voting, nodes):
            yield {
                "antecedent": nodes.text(literal),
                "consequent": nodes.text(label),
                "antecedent_layer": voting.layer,
                "consequent_layer": LABEL,
                "kind": VOTE,
                "weight": weight,
            }


def vote_literals(votes: Votes, nodes: NodeSpace) -> Iterator[tuple[Literal, Literal, float]]:
    """Literal, label and weight above 0 of each vote, by unit."""
    start = nodes.slice(votes.layer).start
    units, labels = np.nonzero(votes.weights.T)
    for unit, label in zip(units.tolist(), labels.tolist(), strict=True):
        weight = float(votes.weights[label, unit])
        yield Literal(start + unit, weight > 0), Literal(label), abs(weight)


def votes_among(votes: Votes, nodes: NodeSpace, literals: Bool[np.ndarray, " literal"]) -> Votes:
    """Votes of these literals for labels that are among them."""
    units = nodes.slice(votes.layer)
    off, on = literals[2 * units.start : 2 * units.stop : 2], literals[2 * units.start + 1 : 2 * units.stop : 2]
    labels = literals[1 : 2 * nodes.labels : 2]
    kept = np.where(votes.weights > 0, on, off) & labels[:, None]
    return replace(votes, weights=np.where(kept, votes.weights, 0.0))


def facts(votes: Sequence[Votes]) -> list[dict[str, Any]]:
    """What edges do not say of votes."""
    return [each.context() | ({"network": each.network} if each.network else {}) for each in votes]


def taking_part(conjunctions: Sequence[Conjunction], votes: Sequence[Votes], nodes: NodeSpace) -> set[int]:
    """Nodes of conjunctions and votes.

    These are in the condensed graph even where they are constant.
    """
    own = {node for each in conjunctions for node in each.nodes}
    for each in votes:
        start = nodes.slice(each.layer).start
        own |= {start + unit for unit in np.flatnonzero(each.weights.any(axis=0)).tolist()}
        own |= set(np.flatnonzero(each.weights.any(axis=1)).tolist())
    return own
