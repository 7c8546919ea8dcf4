"""Choice of the classes (nodes of the condensed graph) and edges to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

Edge = tuple[str, str]

MIRROR_RULE = (
    "p → q and ¬q → ¬p mean the same; the one that ends in a predicted label is drawn, else the one that starts there, "
    "else the one with more neurons on"
)
OVERVIEW_RULE = "labels are kept first, then the classes with most implications"
TARGET_RULE = "the classes nearest to the target are kept, and among equally near ones those with most implications"


@dataclass(frozen=True)
class Selection:
    """Classes and edges to draw, in node order, and counts of the others.

    `edges` (drawn), `mirrored` (images of drawn ones), `implied` (by a path of others) and `outside` (not between drawn
    classes) add up to the edges of the condensed graph. `isolated` are classes of one literal without edges,
    `unrelated` counts classes apart from the target, `beyond` those above the maximum, `faint`
    edges that were left out for their precision.
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    mirrored: int
    implied: int
    outside: int
    isolated: tuple[str, ...]
    unrelated: int
    beyond: int
    faint: int = 0


def mirror(dag: nx.DiGraph) -> dict[str, str]:
    """Class of the negations of each class."""
    home = {member: key for key, members in dag.nodes(data="members") for member in members}
    return {key: home[negated(members[0])] for key, members in dag.nodes(data="members")}


def negated(literal: str) -> str:
    """Text of the negation of a literal."""
    return literal[1:] if literal.startswith("~") else "~" + literal


def overview(dag: nx.DiGraph, max_nodes: int, full: bool = False) -> Selection:
    """One edge of each mirrored pair of the transitive reduction, or with `full` of all edges."""
    sound = [key for key, bad in dag.nodes(data="contradictory") if not bad]
    isolated = tuple(key for key in sound if not dag.degree(key) and dag.nodes[key]["size"] == 1)
    candidates = [key for key in sound if key not in set(isolated)]
    twin = mirror(dag)

    def positive_first(key: str) -> tuple[int, bool]:
        return -_polarity(dag.nodes[key]["members"]), key.startswith("~")

    pairs = list(dict.fromkeys(min(key, twin[key], key=positive_first) for key in candidates))
    pairs.sort(key=lambda key: (not dag.nodes[key]["label"], -dag.degree(key)))  # stable sort: ties keep node order

    def select(count: int) -> tuple[list[str], list[Edge], list[Edge]]:
        kept = {key for pair in pairs[:count] for key in (pair, twin[pair])}
        reduced = edges_among(dag, [key for key in candidates if key in kept], full)
        chosen = half(dag, reduced, twin)
        drawn = {key for edge in chosen for key in edge}
        drawn |= {pair for pair in pairs[:count] if dag.nodes[pair]["size"] > 1 and not {pair, twin[pair]} & drawn}
        return [key for key in candidates if key in drawn], chosen, reduced

    count = len(pairs)
    nodes, chosen, reduced = select(count)
    if len(nodes) > max_nodes:
        low, high = 0, count
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if len(select(middle)[0]) <= max_nodes else (low, middle)
        count = low
        nodes, chosen, reduced = select(count)
    kept = {key for pair in pairs[:count] for key in (pair, twin[pair])}
    among = sum(tail in kept and head in kept for tail, head in dag.edges)
    return Selection(
        nodes=tuple(nodes),
        edges=tuple(chosen),
        mirrored=len(reduced) - len(chosen),
        implied=among - len(reduced),
        outside=dag.number_of_edges() - among,
        isolated=isolated,
        unrelated=0,
        beyond=len(candidates) - len(kept),
    )


def around(dag: nx.DiGraph, target: str, max_nodes: int, full: bool = False) -> Selection:
    """Ancestors and descendants of the class `target`, up to `max_nodes`, nearest first.

    `full` as in `overview`.
    """
    import networkx as nx

    bad = {key for key, contradictory in dag.nodes(data="contradictory") if contradictory}
    steps = {target: 0}
    if target not in bad:
        sound = nx.restricted_view(dag, bad, ())
        for way in (sound.reverse(copy=False), sound):
            steps |= nx.single_source_shortest_path_length(way, target)
    ranked = sorted(steps, key=lambda key: (steps[key], -dag.degree(key)))
    kept = set(ranked[:max_nodes])
    nodes = [key for key in dag if key in kept]
    edges = edges_among(dag, nodes, full)
    among = sum(tail in kept and head in kept for tail, head in dag.edges)
    isolated = tuple(key for key in dag if key != target and not dag.degree(key) and dag.nodes[key]["size"] == 1)
    return Selection(
        nodes=tuple(nodes),
        edges=tuple(edges),
        mirrored=0,
        implied=among - len(edges),
        outside=dag.number_of_edges() - among,
        isolated=isolated,
        unrelated=len(dag) - len(steps) - len(isolated) - len(bad - {target}),
        beyond=len(steps) - len(kept),
    )


def half(dag: nx.DiGraph, edges: Iterable[Edge], twin: dict[str, str]) -> list[Edge]:
    """One edge of each mirrored pair.

    Ties go to one whose ends are drawn.
    """
    edges = list(edges)
    order = {key: place for place, key in enumerate(dag)}
    polarity = {key: _polarity(dag.nodes[key]["members"]) for key in {key for edge in edges for key in edge}}

    def merit(edge: Edge) -> tuple[bool, bool, int]:
        tail, head = edge
        return _predicts(dag.nodes[head]), _predicts(dag.nodes[tail]), polarity[tail] + polarity[head]

    chosen, tied = set(), []
    for edge in edges:
        image = (twin[edge[1]], twin[edge[0]])
        if image == edge or merit(edge) > merit(image):
            chosen.add(edge)
        elif merit(edge) == merit(image) and (order[edge[0]], order[edge[1]]) < (order[image[0]], order[image[1]]):
            tied.append((edge, image))
    drawn = Counter(key for edge in chosen for key in edge)
    for edge, image in tied:
        better = image if sum(key in drawn for key in image) > sum(key in drawn for key in edge) else edge
        chosen.add(better)
        drawn.update(better)
    return [edge for edge in edges if edge in chosen]


def edges_among(dag: nx.DiGraph, nodes: Collection[str], full: bool) -> list[Edge]:
    """All edges among `nodes`, or their transitive reduction, in node order."""
    if not full:
        return reduction(dag, nodes)
    order = {key: place for place, key in enumerate(nodes)}
    return sorted(dag.subgraph(nodes).edges, key=lambda edge: (order[edge[0]], order[edge[1]]))


def fewer_edges(chosen: Selection, dag: nx.DiGraph, most: int) -> Selection:
    """The selection with its most precise edges alone.

    The others count as `faint`.
    """
    if len(chosen.edges) <= most:
        return chosen
    precise = sorted(chosen.edges, key=lambda edge: -(dag.edges[edge]["precision"] or 0.0))[:most]
    kept = frozenset(precise)
    return replace(chosen, edges=tuple(edge for edge in chosen.edges if edge in kept), faint=len(chosen.edges) - most)


def reduction(dag: nx.DiGraph, nodes: Collection[str]) -> list[Edge]:
    """Transitive reduction among `nodes`, in node order (computed on bitsets)."""
    import networkx as nx

    order = {key: place for place, key in enumerate(nodes)}
    heads = {key: [head for head in dag.successors(key) if head in order] for key in order}
    finished: dict[str, int] = {}
    edges = []
    for key in reversed(list(nx.topological_sort(nx.DiGraph(heads)))):
        below = 0
        for head in heads[key]:
            below |= finished[head]
        edges += [(key, head) for head in heads[key] if not below >> order[head] & 1]
        for head in heads[key]:
            below |= 1 << order[head]
        finished[key] = below
    return sorted(edges, key=lambda edge: (order[edge[0]], order[edge[1]]))


def _polarity(members: Iterable[str]) -> int:
    """1 if most members are on, -1 if most are off, else 0."""
    total = sum(-1 if member.startswith("~") else 1 for member in members)
    return (total > 0) - (total < 0)


def _predicts(attributes: dict[str, Any]) -> bool:
    """Whether a class contains a predicted label."""
    return any(member.startswith("label:") for member in attributes["members"])
