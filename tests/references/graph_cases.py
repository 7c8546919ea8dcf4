"""Implication sets for the tests of the graph: drawn at random, mined from random bits, and drawn by hand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from hypothesis import strategies as st

from ndg.bits.matrix import BitMatrix
from ndg.graph.ndg import NDG
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.mining.miner import find
from ndg.nodes import LayerUnits, NodeSpace
from tests.references.graph import Edges, contrapositive


def space(nodes: int, labels: int, concepts: int = 0) -> NodeSpace:
    """`labels` labels, then two layers that share the rest but for the `concepts` at the end."""
    units = nodes - labels - concepts
    layers = (("a", units // 2), ("b", units - units // 2))
    names = tuple(f"is {number}" for number in range(concepts))
    return NodeSpace(labels, tuple(LayerUnits(name, units) for name, units in layers if units), names)


def pack(values: np.ndarray, labels: int, thresholds: np.ndarray | None = None) -> BitMatrix:
    return BitMatrix.from_bool(values, space(values.shape[1], labels), thresholds)


def implications(values: np.ndarray, nodes: NodeSpace, edges: Iterable[tuple[int, int]], constants: Iterable[int] = ()):
    """These implications and their contrapositives, whatever a criterion would say, with their counts on `values`."""
    edges = set(edges)
    pairs = np.array(sorted(edges | set(map(contrapositive, edges))), np.int32).reshape(-1, 2)
    truth = np.stack([~values, values], axis=2).reshape(len(values), -1)
    return Implications(
        nodes=nodes,
        antecedents=pairs[:, 0].copy(),
        consequents=pairs[:, 1].copy(),
        exceptions=(truth[:, pairs[:, 0]] & ~truth[:, pairs[:, 1]]).sum(axis=0, dtype=np.int64),
        on=values.sum(axis=0, dtype=np.int64),
        with_label=(values[:, : nodes.labels].astype(np.int64).T @ values.astype(np.int64)),
        examples=len(values),
        constants=tuple(Literal(node) for node in sorted(constants)),
        criterion={"name": "given"},
        thresholds=np.full(nodes.neurons, np.nan),
        binarizer="given",
        bits_digest="0" * 16,
    )


def edges_of(graph: NDG) -> Edges:
    found = graph.implications
    return set(zip(found.antecedents.tolist(), found.consequents.tolist(), strict=True))


def constant_nodes(graph: NDG) -> set[int]:
    return {literal.node for literal in graph.constants}


@st.composite
def graphs(draw, max_nodes: int = 5, max_edges: int = 10, least: int = 0) -> NDG:
    """Any skew-symmetric graph: cycles, contradictions, constants and concepts included, with counts on random bits.

    It has at least so many labels, and so many units.
    """
    nodes = draw(st.integers(max(2 * least, 1), max_nodes))
    labels = draw(st.integers(least, nodes - least))
    concepts = draw(st.integers(0, nodes - labels - least))
    constants = draw(st.sets(st.integers(0, nodes - 1), max_size=1))
    free = [literal for literal in range(2 * nodes) if literal // 2 not in constants]
    pair = st.tuples(st.sampled_from(free), st.sampled_from(free)).filter(lambda edge: edge[0] != edge[1])
    edges = draw(st.lists(pair, max_size=max_edges)) if free else []
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.random((draw(st.integers(1, 70)), nodes)) < 0.5
    return NDG(implications(values, space(nodes, labels, concepts), edges, constants))


@st.composite
def tables(draw, max_nodes: int = 8) -> tuple[np.ndarray, int]:
    """Booleans with equal, negated, implied, noisy, constant and free columns, and a number of labels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    examples, nodes = draw(st.sampled_from([40, 64, 90])), draw(st.integers(2, max_nodes))
    values = rng.random((examples, nodes)) < rng.choice([0.2, 0.5, 0.8], nodes)
    for column in range(1, nodes):
        other = rng.integers(column)
        match draw(st.sampled_from(["free", "equal", "negated", "implied", "noisy", "noisy", "constant"])):
            case "equal":
                values[:, column] = values[:, other]
            case "negated":
                values[:, column] = ~values[:, other]
            case "implied":
                values[:, column] |= values[:, other]
            case "noisy":
                values[:, column] = values[:, other] ^ (rng.random(examples) < 0.08)
            case "constant":
                values[:, column] = rng.random() < 0.5
    return values, draw(st.integers(0, nodes - 1))


CRITERIA = [("paper", {"alpha": 1.01}), ("paper", {"alpha": 3.0}), ("confidence", {"confidence": 0.8, "support": 2})]


@st.composite
def mined(draw, max_nodes: int = 8) -> tuple[NDG, np.ndarray, int]:
    """A graph mined from booleans under one of the criteria, with those booleans and the number of labels."""
    values, labels = draw(tables(max_nodes))
    name, parameters = draw(st.sampled_from(CRITERIA))
    return NDG(find(pack(values, labels), name, **parameters)), values, labels


DRAWN = [
    ("a:0", "a:1"),
    ("a:1", "label:0"),
    ("a:0", "label:0"),  # follows from the two above
    ("a:2", "a:3"),
    ("a:3", "a:2"),  # equivalent
    ("a:3", "label:1"),
    ("b:0", "b:1"),
    ("b:1", "b:2"),
    ("b:2", "b:0"),  # a cycle of which no two imply each other
    ("b:3", "b:4"),
    ("b:4", "~b:3"),
    ("~b:3", "b:3"),  # b:3 and b:4, on and off, imply each other
    ("a:0", "b:3"),
    ("b:4", "label:1"),
]


def drawn() -> NDG:
    """Twelve nodes: two labels, five units of layer a of which a:4 is constant, five of layer b."""
    nodes = NodeSpace(2, (LayerUnits("a", 5), LayerUnits("b", 5)))
    values = np.random.default_rng(0).random((100, 12)) < 0.5
    values[:, 6] = True
    edges = [(nodes.literal(p).code, nodes.literal(q).code) for p, q in DRAWN]
    return NDG(implications(values, nodes, edges, {6}))


ODD = ('has "wings" & <fur>', "één\nline\ttab", "~label:0", "[a] b", "", "it's \\ odd; {x}")


def oddly_named() -> NDG:
    """A label, three units and concepts with names of all signs, among them a class of two and a chain."""
    nodes = NodeSpace(1, (LayerUnits("enc.0", 2), LayerUnits("b", 1)), tuple(name for name in ODD if name))
    values = np.random.default_rng(0).random((50, len(nodes))) < 0.5
    edges = [(3, 9), (9, 3), (11, 3), (3, 13), (13, 1), (15, 7), (6, 17), (5, 15), (3, 5)]
    return NDG(implications(values, nodes, edges))
