"""Choice of the conjunctions and votes of a picture.

Votes are taken in turns, the strongest of each label first. With a vote comes the surest conjunction that makes its
literal hold, with all its members, as long as the picture has room. Where several layers vote, only the last is drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from ndg.graph.causal_rows import CONCLUSION, CONJUNCTION, IMPLICATION, MEMBER, VOTE
from ndg.report.captions import Names
from ndg.report.selection import Selection

if TYPE_CHECKING:
    import networkx as nx

THIN, VOTE_WIDTH = 0.7, 3.0
"""Pen widths (points) of the weakest edges, and what the strongest vote has more."""


@dataclass(frozen=True)
class Link:
    """Edge of a conjunction, or vote, as it is drawn."""

    tail: str
    head: str
    kind: str
    width: float
    text: str
    tip: str


@dataclass(frozen=True)
class CausalPart:
    """Drawn classes, conjunctions and edges, and what is left out.

    Classes and conjunctions are keys; the last is in words.
    """

    classes: tuple[str, ...] = ()
    joints: dict[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    left_out: str = ""

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Ends of the edges."""
        return [(link.tail, link.head) for link in self.links]


def implications_alone(whole: nx.DiGraph) -> nx.DiGraph:
    """Classes and implications of a graph.

    Itself if it has nothing else.
    """
    import networkx as nx

    if all("kind" not in row for row in whole.nodes.values()):
        return whole
    dag = nx.DiGraph()
    dag.add_nodes_from((key, row) for key, row in whole.nodes.items() if row["kind"] != CONJUNCTION)
    dag.add_edges_from((*ends, row) for *ends, row in whole.edges(data=True) if row["kind"] == IMPLICATION)
    return dag


def fewer_isolated(chosen: Selection, whole: nx.DiGraph) -> Selection:
    """The selection, whose isolated classes take part in no conjunction and no vote either."""
    return replace(chosen, isolated=tuple(key for key in chosen.isolated if not whole.degree(key)))


def causal_part(whole: nx.DiGraph, home: str | None, room: int, names: Names) -> CausalPart:
    """Conjunctions and votes of an overview, or around the class `home`, with at most `room` nodes."""
    votes = [(tail, head, row["vote"]) for tail, head, row in whole.edges(data=True) if "vote" in row]
    joints = [key for key, row in whole.nodes.items() if row.get("kind") == CONJUNCTION]
    if not votes and not joints:
        return CausalPart()
    last = list(dict.fromkeys(layer for _, layer in sorted(_voting_layers(whole, votes))))
    drawn_layer = last[-1] if last else ""
    eligible = [vote for vote in votes if whole.nodes[vote[0]]["layer"] == drawn_layer]
    eligible.sort(key=lambda vote: -vote[2])
    picked = _Picked(whole, room, sorted(joints, key=lambda key: -whole.nodes[key]["low"]))
    if home is None:
        picked.overview(eligible)
    else:
        picked.around(home, eligible)
    largest = max((weight for *_, weight in eligible), default=1.0)
    links = [*_vote_links(whole, picked.votes, largest, names), *_joint_links(whole, picked.joints)]
    others = (
        f"; votes of {', '.join(names.layers.get(name, name) for name in last[:-1])} are not drawn" if last[1:] else ""
    )
    shown = [
        f"{len(picked.joints):,} of {len(joints):,} conjunctions" if joints else "",
        f"{len(picked.votes):,} of {len(votes):,} votes (the strongest of each label first{others})" if votes else "",
    ]
    return CausalPart(
        tuple(key for key in whole if key in picked.classes),
        {key: _about(whole.nodes[key], names) for key in picked.joints},
        tuple(links),
        f"Drawn: {' and '.join(filter(None, shown))}.",
    )


def behind(whole: nx.DiGraph, keys: Collection[str]) -> set[str]:
    """Classes from which conjunctions and votes lead to these, through others too."""
    causal = [
        ends for *ends, row in whole.edges(data=True) if row.get("kind", IMPLICATION) != IMPLICATION or "vote" in row
    ]
    tails: dict[str, list[str]] = defaultdict(list)
    for tail, head in causal:
        tails[head].append(tail)
    found, waiting = set(keys), list(keys)
    while waiting:
        new = [tail for tail in tails[waiting.pop()] if tail not in found]
        found.update(new)
        waiting += new
    return {key for key in found if whole.nodes[key].get("kind") != CONJUNCTION}


def _voting_layers(whole: nx.DiGraph, votes: Iterable[tuple[str, str, float]]) -> set[tuple[int, str]]:
    """Layers that vote, by the place of their first literal in the graph."""
    place = {key: number for number, key in enumerate(whole)}
    first: dict[str, int] = {}
    for tail, *_ in votes:
        layer = whole.nodes[tail]["layer"]
        first[layer] = min(first.get(layer, len(place)), place[tail])
    return {(number, layer) for layer, number in first.items()}


class _Picked:
    """Classes, conjunctions and votes taken so far."""

    def __init__(self, whole: nx.DiGraph, room: int, joints: list[str]) -> None:
        self._whole, self._room = whole, room
        self._concluding: dict[str, list[str]] = defaultdict(list)
        self._of_member: dict[str, list[str]] = defaultdict(list)
        for key in joints:
            self._concluding[next(whole.successors(key))].append(key)
            for member in whole.predecessors(key):
                self._of_member[member].append(key)
        self._all = joints
        self.classes: set[str] = set()
        self.joints: list[str] = []
        self.votes: list[tuple[str, str, float]] = []

    def overview(self, votes: list[tuple[str, str, float]]) -> None:
        """Votes in turns with the conjunctions behind them.

        All conjunctions where nothing votes.
        """
        by_label: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
        for vote in votes:
            by_label[vote[1]].append(vote)
        for vote in chain.from_iterable(zip_longest(*by_label.values())):
            if vote is not None and self._vote(vote):
                self._joint(self._concluding[vote[0]][:1])
        if not votes:
            self._joint(self._all)

    def around(self, home: str, votes: list[tuple[str, str, float]]) -> None:
        """What makes a class hold, nearest first, then what it takes part in."""
        self.classes.add(home)
        waiting, seen = [home], {home}
        while waiting:
            key = waiting.pop(0)
            for vote in (vote for vote in votes if vote[1] == key):
                self._vote(vote)
            self._joint(self._concluding[key][: None if key == home else 1])
            behind = [tail for tail in self._behind(key) if tail not in seen]
            seen.update(behind)
            waiting += behind
        for vote in (vote for vote in votes if vote[0] == home):
            self._vote(vote)
        self._joint(self._of_member[home])

    def _behind(self, key: str) -> Iterator[str]:
        yield from (tail for tail, head, _ in self.votes if head == key)
        for joint in self.joints:
            if key in self._whole.successors(joint):
                yield from self._whole.predecessors(joint)

    def _vote(self, vote: tuple[str, str, float]) -> bool:
        fits = self._fits({vote[0], vote[1]}, 0)
        if fits:
            self.votes.append(vote)
        return fits

    def _joint(self, keys: Iterable[str]) -> None:
        for key in keys:
            ends = {*self._whole.predecessors(key), *self._whole.successors(key)}
            if key not in self.joints and self._fits(ends, 1):
                self.joints.append(key)

    def _fits(self, keys: set[str], further: int) -> bool:
        """Add classes if there is room for them and for a conjunction."""
        if len(self.classes | keys) + len(self.joints) + further > self._room:
            return False
        self.classes |= keys
        return True


def _vote_links(
    whole: nx.DiGraph, votes: Iterable[tuple[str, str, float]], largest: float, names: Names
) -> Iterator[Link]:
    for tail, head, weight in votes:
        several = whole.edges[tail, head]["votes"]
        tip = "; ".join(f"{names(text)} votes for {names(label)}: {own:.3g}" for text, label, own in several)
        yield Link(tail, head, VOTE, THIN + VOTE_WIDTH * weight / largest, f"{weight:.2g}", tip)


def _joint_links(whole: nx.DiGraph, joints: Iterable[str]) -> Iterator[Link]:
    for key in joints:
        for tail in whole.predecessors(key):
            effect = whole.edges[tail, key]["effect"]
            tip = "" if effect is None else f"factorial effect {effect:.3g}"
            yield Link(tail, key, MEMBER, THIN + abs(effect or 0.0), "", tip)
        for head in whole.successors(key):
            yield Link(key, head, CONCLUSION, 2 * THIN, "", "")


def _about(row: dict[str, Any], names: Names) -> str:
    members = " and ".join(map(names, row["literals"]))
    n, turned = row["test_n"], row["test_turned"]
    figures = f"{turned:,} of {n:,} examples, {row['low']:.3f} to {row['high']:.3f}" if n else "not tried"
    return f"forcing {members} makes {names(row['consequent'])} hold: {figures}"
