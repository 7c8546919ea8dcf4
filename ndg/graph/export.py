"""Condensed graph for other programs: one node per class, named by its first literal."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from ndg.errors import GraphError
from ndg.escape import undot, xml_json
from ndg.graph import causal_rows
from ndg.graph.condensation import Condensation
from ndg.graph.conjunctions import Conjunction
from ndg.graph.edges import EdgeMask, mined, or_nan, plain, strongest, texts_of
from ndg.graph.votes import Votes
from ndg.mining.implications import Implications
from ndg.results import Row

if TYPE_CHECKING:
    import networkx as nx

NODE: dict[str, type] = {
    "members": list,
    "layer": str,
    "unit": int,
    "value": bool,
    "prior": float,
    "label": bool,
    "concept": bool,
    "contradictory": bool,
    "size": int,
}
EDGE: dict[str, type] = {
    "antecedent": str,
    "consequent": str,
    "exceptions": int,
    "support": int,
    "precision": float,
    "recall": float,
    "lift": float,
}
AT_ONCE = 1 << 16  # edges
_QUOTE = re.compile(r'(?<!\\)((?:\\\\)*)\\"')  # in a JSON text; in DOT it would end the text


@dataclass(frozen=True, eq=False)
class Condensed:
    """Condensed graph as rows of plain values, made lazily.

    Node attributes: members (texts), layer, unit, value and prior (rate on the mined examples) of the literal in the
    key, label, concept, contradictory, size. Edge attributes: antecedent and consequent of the strongest implication
    from one class to the other (highest precision), and its exceptions, support, precision, recall, lift; null if
    undefined. Contradictory classes have no edges; isolated literals are nodes, constants are not. Each method of
    `scores` is a node attribute: the largest absolute score of the members, with its sign; labels have none. `only`
    limits the rows to the classes with these keys and the edges among them. `facts` describe the graph.

    A graph with conjunctions or votes has the further nodes, edges and attributes of `ndg.graph.causal_rows`, and every
    node and edge has a `kind`. It may have cycles.
    """

    implications: Implications
    condensation: Condensation
    facts: dict[str, Any]
    scores: Mapping[str, Mapping[int, float]]
    only: Collection[str] | None = None
    conjunctions: Sequence[Conjunction] = ()
    votes: Sequence[Votes] = ()

    @property
    def causal(self) -> bool:
        """Whether the graph has conjunctions or votes."""
        return bool(self.conjunctions or self.votes)

    @cached_property
    def keys(self) -> dict[int, str]:
        """Key of each selected component, by component number."""
        named = causal_rows.taking_part(self.conjunctions, self.votes, self.implications.nodes)
        all_keys = keys(self.implications, self.condensation, named)
        return all_keys if self.only is None else {number: key for number, key in all_keys.items() if key in self.only}

    @property
    def node_types(self) -> dict[str, type]:
        """Names and types of the node attributes."""
        return NODE | (causal_rows.NODE if self.causal else {}) | dict.fromkeys(self.scores, float)

    @property
    def edge_types(self) -> dict[str, type]:
        """Names and types of the edge attributes."""
        return EDGE | (causal_rows.EDGE if self.causal else {})

    def nodes(self) -> Iterator[tuple[str, Row]]:
        """Key and attributes of each class, then of each conjunction."""
        nodes, holds, n = self.implications.nodes, self.implications.holds, self.implications.examples
        texts = texts_of(nodes)
        for number, key in self.keys.items():
            members = self.condensation.members[number]
            node = members[0] >> 1
            row: Row = {"kind": causal_rows.CLASS} if self.causal else {}
            row |= {
                "members": [texts[code] for code in members],
                "layer": nodes.layer(node),
                "unit": nodes.unit(node),
                "value": bool(members[0] & 1),
                "prior": float(holds[members[0]] / n) if n else None,
                "label": nodes.is_label(node),
                "concept": nodes.is_concept(node),
                "contradictory": bool(self.condensation.contradictory[number]),
                "size": len(members),
            }
            own = sorted({code >> 1 for code in members})
            scores = {name: [values[i] for i in own if i in values] for name, values in self.scores.items()}
            yield key, row | {name: max(values, key=abs) for name, values in scores.items() if values}
        yield from causal_rows.conjunction_nodes(self.shown, nodes)

    def edges(self) -> Iterator[tuple[str, str, Row]]:
        """Keys of tail and head, and attributes, of each edge."""
        by_code = {code: key for number, key in self.keys.items() for code in self.condensation.members[number]}
        votes = causal_rows.vote_edges(self.shown_votes, self.implications.nodes, by_code)
        for rows in self.edge_values():
            for tail, head, *values in rows:
                row: Row = dict(zip(EDGE, values, strict=True))
                if self.causal:
                    row = votes.pop((tail, head), {}) | {"kind": causal_rows.IMPLICATION} | row
                yield tail, head, row
        yield from causal_rows.conjunction_edges(self.shown, by_code)
        yield from ((tail, head, row) for (tail, head), row in votes.items())

    @cached_property
    def shown(self) -> dict[int, Conjunction]:
        """Conjunctions among the selected classes, by number."""
        component = self.condensation.component
        return {
            number: each
            for number, each in enumerate(self.conjunctions)
            if {int(component[literal.code]) for literal in (*each.members, each.consequent)} <= self.keys.keys()
        }

    @cached_property
    def shown_votes(self) -> tuple[Votes, ...]:
        """Votes between the selected classes."""
        if self.only is None:
            return tuple(self.votes)
        return tuple(causal_rows.votes_among(each, self.implications.nodes, self._literals) for each in self.votes)

    def edge_values(self) -> Iterator[list[tuple[Any, ...]]]:
        """Implications between classes as tuples (tail, head, attributes in order), in large batches."""
        implications, tails, heads = self.implications, self.condensation.tails, self.condensation.heads
        best, texts = strongest(implications, self.condensation), texts_of(implications.nodes)
        counts, keys = mined(implications), self.keys
        if self.only is not None:
            selected = self._selected[tails] & self._selected[heads]
            tails, heads, best = tails[selected], heads[selected], best[selected]
        for start in range(0, len(best), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            part = best[rows]
            figures = (
                or_nan(counts.exceptions[part], implications),
                or_nan(counts.support[part], implications),
                counts.precision[part],
                counts.recall[part],
                counts.lift[part],
            )
            columns = [
                map(keys.__getitem__, tails[rows].tolist()),
                map(keys.__getitem__, heads[rows].tolist()),
                texts[implications.antecedents[part]].tolist(),
                texts[implications.consequents[part]].tolist(),
                *map(plain, figures),
            ]
            yield list(zip(*columns, strict=True))

    @cached_property
    def _selected(self) -> Bool[np.ndarray, " component"]:
        return np.isin(np.arange(len(self.condensation)), list(self.keys))

    @property
    def _literals(self) -> Bool[np.ndarray, " literal"]:
        inside: np.ndarray = self._selected[self.condensation.component]
        return inside

    def edge_rows(self) -> EdgeMask:
        """Mask of the implications among the literals of the selected classes."""
        inside = self._literals
        return inside[self.implications.antecedents] & inside[self.implications.consequents]


def keys(implications: Implications, condensation: Condensation, named: Collection[int] = ()) -> dict[int, str]:
    """Key of each component that is not constant or is `named`, by number."""
    texts = texts_of(implications.nodes)
    constant = {constant.node for constant in implications.constants} - set(named)
    first = {number: members[0] for number, members in enumerate(condensation.members)}
    return {
        number: texts[code]
        for number, code in sorted(first.items(), key=lambda item: item[1])
        if code >> 1 not in constant
    }


def to_networkx(graph: Condensed) -> nx.DiGraph:
    """Condensed graph as a frozen networkx.DiGraph with its facts."""
    import networkx as nx

    digraph = nx.DiGraph(**graph.facts)
    digraph.add_nodes_from(graph.nodes())
    digraph.add_edges_from(graph.edges())
    return nx.freeze(digraph)


def flat_networkx(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with flat attributes, as `write_graphml`, `write_gexf` and `write_gml` need them.

    Texts with control characters, which XML cannot hold, become JSON texts (`escape.xml_json`).
    Its `name` holds the facts that make it a graph, since GEXF keeps no other attribute of a graph.
    """
    import networkx as nx

    digraph = nx.DiGraph(**_writable(graph.graph), name=name_of(graph.graph))
    names = _identifiers(attribute for _, row in graph.nodes(data=True) for attribute in row)
    keys = {key: xml_json(key) for key in graph}
    digraph.add_nodes_from((keys[key], _writable(row, names)) for key, row in graph.nodes.items())
    digraph.add_edges_from((keys[tail], keys[head], _writable(row)) for tail, head, row in graph.edges(data=True))
    return nx.freeze(digraph)


def _writable(attributes: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Row:
    """Flat attributes by identifiers, with texts that XML can hold."""
    row = flat(attributes).items()
    return {(names or {}).get(name, name): xml_json(value) if isinstance(value, str) else value for name, value in row}


def name_of(facts: Mapping[str, Any]) -> str:
    """Nodes, constants and facts of votes as one JSON text."""
    named = {name: facts[name] for name in ("nodes", "constants", "votes") if name in facts}
    text = json.dumps(named, ensure_ascii=False)
    return text if xml_json(text) == text else json.dumps(json.loads(text))


def _identifiers(names: Iterable[str]) -> dict[str, str]:
    """Attribute names as identifiers, since GML has no others: `magnitude:side=outgoing` with underscores."""
    identifiers: dict[str, str] = {}
    for name in dict.fromkeys(names):
        word = re.sub(r"\W", "_", name if name[:1].isalpha() else f"x{name}", flags=re.ASCII)
        while word in identifiers.values():
            word += "_"
        identifiers[name] = word
    return identifiers


def flat(attributes: Mapping[str, Any]) -> Row:
    """Attributes for formats with text, numbers and booleans only, without unknown values.

    Lists of texts are joined by spaces, or are JSON if a text contains a space; nested values are JSON.
    """
    row = {}
    for name, value in attributes.items():
        texts = value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None
        if texts is not None and all(text.split() == [text] and not text.startswith("[") for text in texts):
            row[name] = " ".join(texts)
        elif isinstance(value, list | dict):
            row[name] = _QUOTE.sub(r"\1\\u0022", json.dumps(value, ensure_ascii=False))
        elif value is not None:
            row[name] = value
    return row


def unflat(value: str | list[str]) -> list[str]:
    """List of texts from `flat`, or the list itself. Raises GraphError."""
    value = undot(value)
    if isinstance(value, str) and value.startswith("["):
        try:
            return list(map(str, json.loads(value)))
        except (ValueError, RecursionError) as error:
            raise GraphError(
                f"a list of literals must be a JSON list, or texts with spaces between; got {value[:80]!r}; correct it"
            ) from error
    if not isinstance(value, str | list | tuple):
        raise GraphError(f"a list of literals must be a list or a text; got {value!r}; correct it")
    return value.split() if isinstance(value, str) else list(value)
