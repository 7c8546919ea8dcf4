"""Conjunctions and votes of a graph or of a part of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import GraphError, check_kind
from ndg.graph.causal_rows import vote_literals
from ndg.graph.conjunctions import Conjunction, among
from ndg.graph.rules import phrase
from ndg.graph.votes import Votes
from ndg.nodes import NodeSpace

if TYPE_CHECKING:
    import pandas as pd

Nodes = Bool[np.ndarray, " node"]
VOTE_COLUMNS = ("literal", "label", "weight", "layer")


def voting(votes: Votes | Iterable[Votes], nodes: NodeSpace) -> tuple[Votes, ...]:
    """Votes of distinct layers of a graph, in the order of the layers.

    GraphError for others.
    """
    rule, advice = "votes of a graph come from ndg.votes", "pass its result, or a list of them"
    check_kind(votes, (Votes, Iterable), rule, advice, GraphError)
    every: list[Votes] = [votes] if isinstance(votes, Votes) else list(votes)
    for each in every:
        check_kind(each, Votes, rule, advice, GraphError)
        each.check(nodes)
    layers = [each.layer for each in every]
    if len(set(layers)) < len(layers):
        raise GraphError(f"a graph has votes of each layer once; got those of {layers}; keep one of each layer")
    return tuple(sorted(every, key=lambda each: nodes.slice(each.layer).start))


def part(
    conjunctions: Sequence[Conjunction],
    votes: Sequence[Votes],
    spaces: tuple[NodeSpace, NodeSpace],
    inside: Nodes | None = None,
) -> tuple[tuple[Conjunction, ...], tuple[Votes, ...], dict[str, int]]:
    """Conjunctions and votes among some nodes, and how many are left out.

    `inside` marks nodes of the first space. Votes for labels stay if the second space has labels.
    """
    before, after = spaces
    place = np.full(len(before), -1, np.int64)
    for name, rows in after.groups:
        place[before.slice(name)] = np.arange(rows.start, rows.stop)
    kept = (place >= 0) & (True if inside is None else inside)
    own = tuple(each.moved(place) for each in among(conjunctions, kept))
    fewer = [each.among(kept[before.slice(each.layer)]) for each in votes] if after.labels else []
    remaining = tuple(each for each in fewer if each.edges)
    left = {
        "conjunctions left out": len(conjunctions) - len(own),
        "votes left out": sum(each.edges for each in votes) - sum(each.edges for each in remaining),
    }
    return own, remaining, {name: count for name, count in left.items() if count}


def moved(
    conjunctions: Sequence[Conjunction], votes: Sequence[Votes], nodes: NodeSpace, place: Int64[np.ndarray, " node"]
) -> tuple[tuple[Conjunction, ...], tuple[Votes, ...]]:
    """The same conjunctions and votes, with the units of each layer in another order."""
    back = np.argsort(place)
    units = {each.layer: nodes.slice(each.layer) for each in votes}
    columns = {layer: back[where] - where.start for layer, where in units.items()}
    return (
        tuple(each.moved(place) for each in conjunctions),
        tuple(replace(each, weights=each.weights[:, columns[each.layer]]) for each in votes),
    )


def votes_frame(votes: Sequence[Votes], nodes: NodeSpace) -> pd.DataFrame:
    """Table of votes, one row each, the strongest of each layer first."""
    import pandas as pd

    rows = [
        [nodes.text(literal), nodes.text(label), weight, each.layer]
        for each in votes
        for literal, label, weight in sorted(vote_literals(each, nodes), key=lambda row: (-row[2], row[1], row[0]))
    ]
    return pd.DataFrame(rows, columns=list(VOTE_COLUMNS))


def size(conjunctions: Sequence[Conjunction], votes: Sequence[Votes]) -> str:
    """Numbers of conjunctions and votes in words, with a comma in front.

    Empty without any.
    """
    counts = {"conjunctions": len(conjunctions), "votes": sum(each.edges for each in votes)}
    return "".join(f", {count:,} {name}" for name, count in counts.items() if count)


def sentences(
    conjunctions: Sequence[Conjunction],
    votes: Sequence[Votes],
    nodes: NodeSpace,
    limit: int | None = None,
    class_names: Sequence[str] = (),
) -> list[str]:
    """Conjunctions, the surest first, and the votes for each label, the strongest first.

    `limit` applies to both.
    """
    lines = []
    for each in sorted(conjunctions, key=lambda each: -each.interval[0])[:limit]:
        members = " and ".join(phrase(nodes, literal, class_names) for literal in each.members)
        low, high = each.interval
        (n, turned), rate = each.test, each.survival
        figures = f"{rate:.3f} [{low:.3f}, {high:.3f}], {turned:,} of {n:,}" if rate is not None else "not tried"
        lines.append(f"forcing {members} makes {phrase(nodes, each.consequent, class_names)}  ({figures})")
    if limit is not None and len(conjunctions) > limit:
        lines.append(f"and {len(conjunctions) - limit:,} more conjunctions")
    for own in votes:
        rows: dict[Any, list[str]] = {}
        for literal, label, weight in sorted(vote_literals(own, nodes), key=lambda row: -row[2]):
            rows.setdefault(label, []).append(f"{phrase(nodes, literal, class_names)} ({weight:.3g})")
        for label in sorted(rows):
            shown, more = rows[label][:limit], len(rows[label][limit:]) if limit is not None else 0
            rest = f" and {more:,} more" if more else ""
            lines.append(f"votes of {own.layer} that {phrase(nodes, label, class_names)}: {', '.join(shown)}{rest}")
    return lines
