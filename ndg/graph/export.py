"""The graph as others read it: networkx, GraphML, JSON.

There is one node per class of equivalent literals. Its key is the text of the member with the smallest node index (of
two values of one node, off comes first): `label:3`, `~latent:7`. So a key changes only when the class changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ndg.graph.condensation import Condensation
from ndg.graph.edges import mined, strongest, texts_of
from ndg.mining.implications import Implications

if TYPE_CHECKING:
    import networkx as nx


def keys(implications: Implications, condensation: Condensation) -> dict[int, str]:
    """The key of each component that is not a constant, by component number, labels and lower nodes first."""
    texts = texts_of(implications.nodes)
    constant = {constant.node for constant in implications.constants}
    first = {number: members[0] for number, members in enumerate(condensation.members)}
    return {
        number: texts[code]
        for number, code in sorted(first.items(), key=lambda item: item[1])
        if code >> 1 not in constant
    }


def to_networkx(
    implications: Implications,
    condensation: Condensation,
    facts: dict[str, Any],
    scores: Mapping[str, Mapping[int, float]] | None = None,
) -> nx.DiGraph:
    """The condensed graph, acyclic and frozen; `facts` become attributes of the graph.

    Node attributes: members (texts), layer, unit, value and prior (rate on the mined examples) of the literal in the
    key, label, contradictory, size. Edge attributes: antecedent and consequent of the strongest implication from one
    class to the other (highest precision), and its exceptions, support, precision, recall, lift; null where undefined.
    Contradictory classes have no edges; isolated literals are nodes, constants are not. Each method of `scores` is a
    node attribute: the score of the member's node that has the largest absolute one; labels have none.
    """
    import networkx as nx

    nodes, holds = implications.nodes, implications.holds
    texts, named = texts_of(nodes), keys(implications, condensation)
    graph = nx.DiGraph(**facts)
    for number, key in named.items():
        members = condensation.members[number]
        node = members[0] >> 1
        graph.add_node(
            key,
            members=[texts[code] for code in members],
            layer=nodes.layer(node),
            unit=nodes.unit(node),
            value=bool(members[0] & 1),
            prior=float(holds[members[0]] / max(implications.examples, 1)),
            label=nodes.is_label(node),
            contradictory=bool(condensation.contradictory[number]),
            size=len(members),
            **_scored({code >> 1 for code in members}, scores or {}),
        )
    best, counts = strongest(implications, condensation), mined(implications)
    columns = {
        "exceptions": counts.exceptions,
        "support": counts.support,
        "precision": counts.precision,
        "recall": counts.recall,
        "lift": counts.lift,
    }
    values = [[_plain(value) for value in column[best].tolist()] for column in columns.values()]
    ends = zip(condensation.tails.tolist(), condensation.heads.tolist(), best.tolist(), strict=True)
    for (tail, head, edge), row in zip(ends, zip(*values, strict=True), strict=True):
        graph.add_edge(
            named[tail],
            named[head],
            antecedent=texts[implications.antecedents[edge]],
            consequent=texts[implications.consequents[edge]],
            **dict(zip(columns, row, strict=True)),
        )
    return nx.freeze(graph)


def to_graphml(graph: nx.DiGraph) -> str:
    """GraphML text; lists are joined by spaces, nested values become JSON, and unknown values are left out."""
    import networkx as nx

    copy = nx.DiGraph(**_flat(graph.graph))
    copy.add_nodes_from((key, _flat(attributes)) for key, attributes in graph.nodes.items())
    copy.add_edges_from((*ends, _flat(attributes)) for ends, attributes in graph.edges.items())
    head = '<?xml version="1.0" encoding="utf-8"?>'
    return "\n".join([head, *nx.generate_graphml(copy)]) + "\n"


def to_json(graph: nx.DiGraph) -> str:
    """Node-link JSON: `nodes` with their key as `id`, `edges` with `source` and `target`, both with all attributes."""
    import networkx as nx

    return json.dumps(nx.node_link_data(graph, edges="edges"), allow_nan=False, indent=1, ensure_ascii=False) + "\n"


def _scored(members: set[int], scores: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """The score of the most important member, by each method that has one."""
    found = {method: [values[node] for node in sorted(members) if node in values] for method, values in scores.items()}
    return {method: max(values, key=abs) for method, values in found.items() if values}


def _plain(value: float | int) -> float | int | None:
    return value if np.isfinite(value) else None


def _flat(attributes: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in attributes.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            flat[name] = " ".join(value)
        elif isinstance(value, list | dict):
            flat[name] = json.dumps(value, ensure_ascii=False)
        elif value is not None:
            flat[name] = value
    return flat
