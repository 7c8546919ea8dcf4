"""The definitions of closure, classes, reduction and figures, on sets of pairs of literal codes. Slow by intent."""

from __future__ import annotations

from itertools import combinations

Edges = set[tuple[int, int]]


def contrapositive(edge: tuple[int, int]) -> tuple[int, int]:
    return edge[1] ^ 1, edge[0] ^ 1


def reachable(edges: Edges, start: int) -> set[int]:
    """What can be reached from `start`, itself included."""
    found = {start}
    while more := {q for p, q in edges if p in found} - found:
        found |= more
    return found


def components(literals: int, edges: Edges) -> list[set[int]]:
    """Sets of literals that reach each other."""
    below = [reachable(edges, literal) for literal in range(literals)]
    found = []
    for a in range(literals):
        part = {b for b in range(literals) if b in below[a] and a in below[b]}
        if part not in found:
            found.append(part)
    return found


def contradictory(part: set[int]) -> bool:
    return any(literal ^ 1 in part for literal in part)


def sound(literals: int, edges: Edges) -> Edges:
    """The edges that touch no contradictory component."""
    bad = set().union(*(part for part in components(literals, edges) if contradictory(part)))
    return {(p, q) for p, q in edges if p not in bad and q not in bad}


def closure(literals: int, edges: Edges, seeds: set[int]) -> set[int]:
    return set().union(*(reachable(sound(literals, edges), seed) for seed in seeds))


def condensed(literals: int, edges: Edges) -> tuple[list[set[int]], Edges]:
    """The components, and pairs of them joined by an edge that touches no contradictory one."""
    parts = components(literals, edges)
    of = {literal: number for number, part in enumerate(parts) for literal in part}
    return parts, {(of[p], of[q]) for p, q in sound(literals, edges) if of[p] != of[q]}


def reduction(edges: Edges) -> Edges:
    """The edges of an acyclic graph whose ends no other path joins."""
    return {(p, q) for p, q in edges if q not in reachable(edges - {(p, q)}, p)}


def height(nodes: int, edges: Edges) -> int:
    """Edges on the longest path of an acyclic graph."""

    def longest(start: int) -> int:
        return max((1 + longest(q) for p, q in edges if p == start), default=0)

    return max((longest(node) for node in range(nodes)), default=0)


def cycles(nodes: int, edges: Edges, limit: int) -> int:
    """Elementary cycles, each counted from its smallest node; at most `limit`."""
    total = 0

    def walk(first: int, path: list[int]) -> None:
        nonlocal total
        for p, q in edges:
            if p != path[-1] or total >= limit:
                continue
            if q == first:
                total += 1
            elif q > first and q not in path:
                walk(first, [*path, q])

    for node in range(nodes):
        walk(node, [node])
    return total


def weak_components(nodes: set[int], edges: Edges) -> int:
    either = edges | {(q, p) for p, q in edges}
    return len({frozenset(reachable(either, node)) for node in nodes})


def paper_figures(literals: int, edges: Edges, constants: set[int], neurons: int, limit: int) -> dict[str, object]:
    """Table 2 on literals: edges that hold in both directions are taken out and counted as equivalences."""
    mutual = {(p, q) for p, q in edges if (q, p) in edges and p != q}
    left = {(p, q) for p, q in edges - mutual if p != q}
    return _figures(
        {literal for literal in range(literals) if literal // 2 not in constants},
        left,
        {literal: {literal} for literal in range(literals)},
        len({p for p, _ in mutual}),
        constants,
        neurons,
        limit,
    )


def condensed_figures(literals: int, edges: Edges, constants: set[int], neurons: int, limit: int) -> dict[str, object]:
    """Table 2 on classes."""
    parts, arcs = condensed(literals, edges)
    return _figures(
        {number for number, part in enumerate(parts) if not {literal // 2 for literal in part} & constants},
        arcs,
        dict(enumerate(parts)),
        sum(len(part) for part in parts if len(part) > 1 and not contradictory(part)),
        constants,
        neurons,
        limit,
    )


def _figures(
    nodes: set[int],
    edges: Edges,
    members: dict[int, set[int]],
    equivalent: int,
    constants: set[int],
    neurons: int,
    limit: int,
) -> dict[str, object]:
    size = max(members, default=-1) + 1
    found = cycles(size, edges, limit)
    follows = {node: set().union(*(members[below] for below in reachable(edges, node))) for node in nodes}
    return {
        "neurons": neurons,
        "nodes": len(nodes),
        "edges": len(edges),
        "isolated": sum(all(node not in edge for edge in edges) for node in nodes),
        "equivalent": equivalent,
        "constant": len(constants),
        "mean_degree": sum((p == n) + (q == n) for n in nodes for p, q in edges) / len(nodes) if nodes else 0.0,
        "height": None if found else height(size, edges),
        "cycles": found,
        "contradictions": sum(contradictory(follows[node]) for node in nodes),
        "components": weak_components(nodes, edges),
    }


def agreement(values, part: list[int]) -> float:
    """The smallest share of examples on which two literals of `part` have the same truth value."""

    def truth(row, literal: int) -> bool:
        return bool(row[literal // 2]) == bool(literal % 2)

    shares = [sum(truth(row, a) == truth(row, b) for row in values) / len(values) for a, b in combinations(part, 2)]
    return min(shares)
