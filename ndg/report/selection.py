"""Which classes and edges of a graph are drawn, and how many are left out by which rule.

An NDG says everything twice: p -> q and ~q -> ~p are one fact. The overview draws one edge of each mirrored pair: the
one that ends in a predicted label, else the one that starts there, else the one with more neurons that are on. A
picture of one target draws what implies it and what it implies, both as they stand.

Here a class is a node of the condensed graph: a literal alone, or literals that are equivalent.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

Edge = tuple[str, str]

MIRROR_RULE = (
    "of p → q and ¬q → ¬p, which say the same, the one that ends in a predicted label is drawn, else the one that "
    "starts there, else the one with more neurons on"
)
OVERVIEW_RULE = "labels are kept first, then the classes that take part in most implications"
TARGET_RULE = (
    "those fewest steps away from the target are kept, and of these the ones that take part in most implications"
)


@dataclass(frozen=True)
class Selection:
    """Classes and edges to draw, in the order of the graph's nodes, and what became of all other edges.

    `edges`, `mirrored`, `implied` and `outside` add up to the edges of the condensed graph: drawn, mirror images of
    drawn ones, implied by a path of others, and those that touch a class which is not in the picture. `isolated` are
    classes of one literal without any edge, `unrelated` those that neither imply the target nor follow from it,
    `beyond` those dropped because a picture holds only so many.
    """

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    mirrored: int
    implied: int
    outside: int
    isolated: tuple[str, ...]
    unrelated: int
    beyond: int


def mirror(dag: nx.DiGraph) -> dict[str, str]:
    """The class of the negations of each class; a contradictory class is its own mirror."""
    home = {member: key for key, members in dag.nodes(data="members") for member in members}
    return {key: home[negated(members[0])] for key, members in dag.nodes(data="members")}


def negated(literal: str) -> str:
    """How the negation of a written literal is written."""
    return literal[1:] if literal.startswith("~") else "~" + literal


def overview(dag: nx.DiGraph, max_nodes: int) -> Selection:
    """One edge of every mirrored pair of the transitive reduction, over at most `max_nodes` classes."""
    sound = [key for key, bad in dag.nodes(data="contradictory") if not bad]
    isolated = tuple(key for key in sound if not dag.degree(key) and dag.nodes[key]["size"] == 1)
    apart = set(isolated)
    candidates = [key for key in sound if key not in apart]
    twin = mirror(dag)
    pairs = list(dict.fromkeys(min(key, twin[key], key=_positive_first(dag)) for key in candidates))
    pairs.sort(key=lambda key: (not dag.nodes[key]["label"], -dag.degree(key)))  # stable: ties stay in node order

    def select(count: int) -> tuple[list[str], list[Edge], list[Edge]]:
        kept = {key for pair in pairs[:count] for key in (pair, twin[pair])}
        reduced = reduction(dag, [key for key in candidates if key in kept])
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


def around(dag: nx.DiGraph, target: str, max_nodes: int) -> Selection:
    """All that implies the class `target` and all that it implies, at most `max_nodes` classes, the nearest first."""
    bad = {key for key, contradictory in dag.nodes(data="contradictory") if contradictory}
    steps = {target: 0}
    if target not in bad:
        for neighbours in (dag.predecessors, dag.successors):
            steps |= {key: step for key, step in _steps(target, neighbours, bad).items() if key not in steps}
    ranked = sorted(steps, key=lambda key: (steps[key], -dag.degree(key)))
    kept = set(ranked[:max_nodes])
    nodes = [key for key in dag if key in kept]
    edges = reduction(dag, nodes)
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
    """One edge of each mirrored pair, in the given order.

    Where the rule leaves a tie, the edge is taken whose ends are already drawn, then the first in node order.
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
    seen = Counter(key for edge in chosen for key in edge)
    for edge, image in tied:
        better = image if sum(key in seen for key in image) > sum(key in seen for key in edge) else edge
        chosen.add(better)
        seen.update(better)
    return [edge for edge in edges if edge in chosen]


def reduction(dag: nx.DiGraph, nodes: Collection[str]) -> list[Edge]:
    """Edges among `nodes` that no path among them implies, sorted by node order (transitive reduction, on bitsets)."""
    order = {key: place for place, key in enumerate(nodes)}
    heads = {key: [head for head in dag.successors(key) if head in order] for key in order}
    finished: dict[str, int] = {}
    found = []
    for key in reversed(_topological(heads)):
        below = 0
        for head in heads[key]:
            below |= finished[head]
        found += [(key, head) for head in heads[key] if not below >> order[head] & 1]
        for head in heads[key]:
            below |= 1 << order[head]
        finished[key] = below
    return sorted(found, key=lambda edge: (order[edge[0]], order[edge[1]]))


def _topological(heads: dict[str, list[str]]) -> list[str]:
    waiting = Counter(head for row in heads.values() for head in row)
    ready = [key for key in heads if not waiting[key]]
    done = []
    while ready:
        key = ready.pop()
        done.append(key)
        for head in heads[key]:
            waiting[head] -= 1
            if not waiting[head]:
                ready.append(head)
    return done


def _steps(start: str, neighbours: Callable[[str], Iterable[str]], avoid: set[str]) -> dict[str, int]:
    """Fewest edges from `start` to each class that can be reached without entering `avoid`."""
    steps, queue = {start: 0}, deque([start])
    while queue:
        key = queue.popleft()
        for other in neighbours(key):
            if other not in steps and other not in avoid:
                steps[other] = steps[key] + 1
                queue.append(other)
    return steps


def _polarity(members: Iterable[str]) -> int:
    """1 when most members say "on", -1 when most say "off"."""
    total = sum(-1 if member.startswith("~") else 1 for member in members)
    return (total > 0) - (total < 0)


def _predicts(attributes: dict[str, Any]) -> bool:
    """Whether a class has a label that is predicted."""
    return any(member.startswith("label:") for member in attributes["members"])


def _positive_first(dag: nx.DiGraph) -> Callable[[str], tuple[int, bool]]:
    return lambda key: (-_polarity(dag.nodes[key]["members"]), key.startswith("~"))
