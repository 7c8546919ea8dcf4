"""Implications from a networkx graph of literals.

A node is a literal ("layer:unit", "~layer:unit") or, with the attribute `members` (a list, or the text in GraphML, GEXF
and DOT), a class of equivalent literals. An edge is an implication between the literals of its attributes `antecedent`
and `consequent` if they are members of its ends, else between the first members that are not both labels or both
concepts. Contrapositives are added, and equivalences between neighbouring members of a class. The graph attributes
`nodes` and `constants`, or the JSON in `name`, give the nodes and the constant literals. Without `nodes`, the nodes are
those of the bits, or else the named ones; a layer then has units up to its largest number.

A graph of `to_networkx` has the same classes, closure, ancestors and reduction, but lacks thresholds, counts, and all
implications between two classes but the strongest. Counts come from bits, or are unknown: then every figure is null.
Conjunctions and votes are read as `ndg.graph.causal_rows` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ndg.bits.matrix import BitMatrix
from ndg.errors import GraphError
from ndg.escape import undot
from ndg.graph import from_causal_rows
from ndg.graph.condensation import distinct
from ndg.graph.conjunctions import Conjunction
from ndg.graph.edges import texts_of
from ndg.graph.evaluate import common_counts, edge_counts
from ndg.graph.export import unflat
from ndg.graph.votes import Votes
from ndg.literal import Literal, whole_number
from ndg.mining.implications import Implications
from ndg.nodes import CONCEPT, LABEL, LayerUnits, NodeSpace

if TYPE_CHECKING:
    import networkx as nx


Read = tuple[Implications, dict[str, Any], dict[str, Any], None, tuple[Conjunction, ...], tuple[Votes, ...]]
"""Implications, provenance, no scores, no verdicts, conjunctions and votes."""


def read(graph: nx.DiGraph, bits: BitMatrix | None = None) -> Read:
    """Implications of a graph, counted on `bits` if passed, their provenance, conjunctions and votes.

    Raises GraphError for other graphs, nodes that the bits lack, and one-way implications between labels or concepts.
    """
    if not hasattr(graph, "is_directed") or not graph.is_directed() or graph.is_multigraph():
        raise GraphError(
            f"implications must be read from a networkx.DiGraph; got a {type(graph).__name__}; pass one whose "
            "nodes are literals, or one that to_networkx gave"
        )
    facts, whole = _facts(graph), graph
    graph = from_causal_rows.implications_of(whole)
    members = {node: _members(node, attributes) for node, attributes in graph.nodes.items()}
    constants = unflat(facts.get("constants", []))
    if not all(isinstance(text, str) for text in constants):
        raise GraphError(f"the constants of a graph must be a list of literals; got {constants!r}; correct them")
    nodes = bits.nodes if bits is not None else _nodes(facts, [*members.values(), constants])
    known = {text: code for code, text in enumerate(texts_of(nodes))}
    codes = {  # `literal` reads "a:03", or raises
        node: [known[text] if text in known else nodes.literal(text).code for text in texts]
        for node, texts in members.items()
    }

    names = [name for name, where in nodes.groups for _ in range(where.stop - where.start)]
    group = [1 if name == LABEL else 2 if name == CONCEPT else 0 for name in names]

    def implication(tails: list[int], heads: list[int], attributes: Mapping[str, Any]) -> tuple[int, int]:
        """Implication that an edge between two classes stands for."""
        p, q = (known.get(f"{undot(attributes.get(end, ''))}", -1) for end in ("antecedent", "consequent"))
        if p in tails and q in heads:
            return p, q
        ends = ((p, q) for p in tails for q in heads if not group[p >> 1] or group[p >> 1] != group[q >> 1])
        p, q = next(ends, (tails[0], heads[0]))
        if p == q:
            text = nodes.text(Literal.of(p))
            raise GraphError(f"an implication must join two different literals; got {text} -> {text}")
        return p, q

    edges = [implication(codes[tail], codes[head], row) for tail, head, row in graph.edges(data=True)]
    for class_codes in codes.values():
        for code, following in pairwise(class_codes):
            edges += [(code, following), (following, code)]
    tails, heads = np.array(edges, np.int64).reshape(-1, 2).T
    tails, heads = distinct(2 * len(nodes), np.concatenate([tails, heads ^ 1]), np.concatenate([heads, tails ^ 1]))
    groups = np.array(group, np.int64)
    alike = (groups[tails >> 1] > 0) & (groups[tails >> 1] == groups[heads >> 1])
    pairs = set(zip(tails[alike].tolist(), heads[alike].tolist(), strict=True))
    for p, q in sorted(pairs):
        if (q, p) not in pairs:
            raise GraphError(
                "an implication between two labels, or two concepts, must be an equivalence; got "
                f"{nodes.text(Literal.of(p))} -> {nodes.text(Literal.of(q))} without its converse; leave it out"
            )

    antecedents, consequents = tails.astype(np.int32), heads.astype(np.int32)
    none = np.zeros((len(nodes), 0), np.uint64)
    counted = BitMatrix(nodes, none, 0, np.full(nodes.neurons, np.nan), "unknown") if bits is None else bits
    labels = np.arange(nodes.labels)
    both = common_counts(counted, np.repeat(labels, len(nodes)), np.tile(np.arange(len(nodes)), len(labels)))
    implications = Implications(
        nodes=nodes,
        antecedents=antecedents,
        consequents=consequents,
        exceptions=edge_counts(antecedents, consequents, counted).exceptions,
        on=counted.on(),
        with_label=both.reshape(len(labels), len(nodes)),
        examples=counted.examples,
        constants=tuple(map(nodes.literal, constants)),
        criterion={"name": "given"},
        thresholds=np.array(counted.thresholds),
        binarizer=counted.binarizer,
        bits_digest="" if bits is None else bits.digest,
    )
    provenance = {"networkx": {key: value for key, value in facts.items() if _is_json(value)}}
    conjunctions = from_causal_rows.conjunctions_of(whole, members, nodes)
    votes = from_causal_rows.votes_of(whole, facts.get("votes"), nodes, members)
    return implications, provenance, {}, None, conjunctions, votes


UNITS = 1_000_000
"""Limit of units per layer, since one misread name or number could fill the memory."""


def _members(node: Any, attributes: Mapping[str, Any]) -> list[str]:
    members = attributes.get("members")
    if members is not None and not isinstance(members, str | list | tuple):
        raise GraphError(f"the members of a class must be a list of literals; got {members!r} at node {node!r}")
    texts = unflat(members if isinstance(members, str) else list(members)) if members else [undot(node)]
    for text in texts:
        if not isinstance(text, str):
            raise GraphError(f"a literal must be a text like 'layer:unit' or '~layer:unit'; got {text!r}")
    return texts


def _facts(graph: nx.DiGraph) -> dict[str, Any]:
    """Attributes of a graph, with those that its name holds."""
    facts = dict(graph.graph)
    with suppress(ValueError, TypeError, RecursionError):
        if isinstance(named := json.loads(facts.get("name", "")), dict):
            facts = named | {key: value for key, value in facts.items() if key != "name"}
    return facts


def _nodes(facts: Mapping[str, Any], texts: Iterable[list[str]]) -> NodeSpace:
    """Nodes of the fact `nodes`, else those named in texts."""
    stated = facts.get("nodes")
    if stated:
        try:
            nodes = NodeSpace.from_dict(json.loads(undot(stated)) if isinstance(stated, str) else stated)
            counts = [nodes.labels, *(layer.units for layer in nodes.layers)]
            if not all(type(count) is int for count in counts):
                raise ValueError("numbers of labels and units are whole")
            if (largest := max(counts)) > UNITS:
                raise ValueError(f"a layer has at most {UNITS:,} units; it says {largest:,}")
            return nodes
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise GraphError(
                "the attribute 'nodes' of a graph must look like {'labels': 2, 'layers': [['fc1', 32]]}; "
                f"got {stated!r} ({error})"
            ) from error
    sizes: dict[str, int] = {}
    concepts: dict[str, None] = {}
    for text in chain.from_iterable(texts):
        name = text.removeprefix("~")
        if name.startswith(f"{CONCEPT}:"):
            concepts[name.removeprefix(f"{CONCEPT}:")] = None
            continue
        layer, _, unit = name.rpartition(":")
        number = whole_number(unit)
        if not layer or number is None:
            raise GraphError(f"a literal must be a text like 'layer:unit' or '~layer:unit'; got {text!r}")
        sizes[layer] = max(sizes.get(layer, 0), number + 1)
        if sizes[layer] > UNITS:
            raise GraphError(
                f"units of a layer must be numbered 0 to {UNITS - 1:,}; got {text!r}; use consecutive numbers"
            )
    labels = sizes.pop(LABEL, 0)
    return NodeSpace(labels, tuple(LayerUnits(name, units) for name, units in sizes.items()), tuple(concepts))


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
