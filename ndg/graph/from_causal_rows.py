"""Conjunctions and votes of a networkx graph, as `ndg.graph.causal_rows` writes them.

In a graph made by hand, a node of kind "conjunction" may have edges alone: its members are then the first literals of
the nodes before it, its consequent that of the node behind it. An edge of kind "vote" may have its sum `vote` alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ndg.errors import GraphError
from ndg.escape import undot
from ndg.graph.causal_rows import CONCLUSION, CONJUNCTION, MEMBER, VOTE
from ndg.graph.conjunctions import Conjunction, checked
from ndg.graph.export import unflat
from ndg.graph.votes import Votes
from ndg.nodes import NodeSpace

if TYPE_CHECKING:
    import networkx as nx

Members = Mapping[Any, Sequence[str]]


def implications_of(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph without conjunctions and votes; itself if it has none."""
    import networkx as nx

    skipped = {node for node, row in graph.nodes.items() if undot(row.get("kind")) == CONJUNCTION}
    causal = [
        ends
        for *ends, row in graph.edges(data=True)
        if undot(row.get("kind")) in (MEMBER, CONCLUSION, VOTE) or skipped & set(ends)
    ]
    if not skipped and not causal:
        return graph
    rest = nx.DiGraph(graph)
    rest.remove_edges_from(causal)
    rest.remove_nodes_from(skipped)
    return rest


def conjunctions_of(graph: nx.DiGraph, members: Members, nodes: NodeSpace) -> tuple[Conjunction, ...]:
    """Conjunctions of a graph; GraphError for damaged ones."""
    found = []
    for node, row in graph.nodes.items():
        if undot(row.get("kind")) != CONJUNCTION:
            continue
        try:
            literals = row.get("literals") or [members[tail][0] for tail in graph.predecessors(node)]
            (consequent,) = (
                [row["consequent"]] if "consequent" in row else [members[h][0] for h in graph.successors(node)]
            )
            plain = {
                "members": unflat(literals),
                "consequent": undot(consequent),
                "training": _counts(row, "training"),
                "test": _counts(row, "test"),
                "effects": _listed(row.get("effects")),
            }
            found.append(Conjunction.read(plain, nodes))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise GraphError(
                f"a conjunction has edges from its members, one to its consequent, and whole counts; got {node!r} with "
                f"{dict(row)} ({error}); correct it, or leave it out"
            ) from error
    return checked(found, nodes)


def _counts(row: Mapping[str, Any], name: str) -> list[int]:
    values = (undot(row.get(f"{name}_{part}", 0)) for part in ("n", "turned"))
    return [int(value) if isinstance(value, str) else value for value in values]


def _listed(value: Any) -> Any:
    """A list, or the one that a JSON text means."""
    value = undot(value)
    return json.loads(value) if isinstance(value, str) else value


def votes_of(graph: nx.DiGraph, facts: Any, nodes: NodeSpace, members: Members) -> tuple[Votes, ...]:
    """Votes of a graph, with bias, margin and n of the fact `votes`.

    GraphError for damaged ones.
    """
    weights: dict[str, np.ndarray] = {}
    for tail, head, row in graph.edges(data=True):
        if "vote" not in row and undot(row.get("kind")) != VOTE:
            continue
        try:
            several = _listed(row.get("votes")) or [[members[tail][0], members[head][0], row["vote"]]]
            for text, voted, weight in several:
                literal, label = nodes.literal(undot(text)), nodes.literal(undot(voted))
                layer = nodes.layer(literal.node)
                where = nodes.slice(layer)
                own = weights.setdefault(layer, np.zeros((nodes.labels, where.stop - where.start)))
                if not (label.value and nodes.is_label(label.node)):
                    raise ValueError(f"{voted} is no label")
                own[label.node, literal.node - where.start] = float(weight) if literal.value else -float(weight)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise GraphError(
                f"a vote is an edge from a literal to a label, with a number `vote`; got {tail!r} -> {head!r} with "
                f"{dict(row)} ({error}); correct it, or leave it out"
            ) from error
    try:
        known = {each["layer"]: each for each in _listed(facts) or ()}
        blank = {"bias": [0.0] * nodes.labels, "margin": 0.0, "n": 0}
        for layer in known.keys() - weights.keys():
            where = nodes.slice(layer)
            weights[layer] = np.zeros((nodes.labels, where.stop - where.start))
        return tuple(
            Votes.read({**blank, **known.get(layer, {}), "layer": layer, "weights": weights[layer]})
            for layer in sorted(weights, key=lambda layer: nodes.slice(layer).start)
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise GraphError(
            f"the attribute 'votes' of a graph has layer, bias, margin and n of votes; got {facts!r} ({error}); "
            "correct it, or leave it out"
        ) from error
