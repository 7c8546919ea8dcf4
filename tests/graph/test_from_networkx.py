"""Graphs from networkx: same logic, counts from bits, errors for other graphs."""

import io
import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import GraphError
from ndg.graph.ndg import NDG
from ndg.literal import Literal
from ndg.nodes import LayerUnits, NodeSpace
from tests.references.graph_cases import drawn, edges_of, graphs, implications, mined, oddly_named, pack

SOME = settings(max_examples=15, deadline=None)


def same_logic(one: NDG, other: NDG) -> bool:
    literals = list(map(Literal.of, range(2 * len(one.nodes))))
    return (
        one.nodes == other.nodes
        and one.constants == other.constants
        and one.classes == other.classes
        and one.contradictory == other.contradictory
        and one.reduction() == other.reduction()
        and all(one.closure(a) == other.closure(a) and one.ancestors(a) == other.ancestors(a) for a in literals)
    )


def lawful(graph: NDG) -> bool:
    """Whether no class depends on a one-way implication of two labels or concepts."""
    edges = edges_of(graph)
    layer = list(map(graph.nodes.layer, range(len(graph.nodes))))
    given = ("label", "concept")
    return all((q, p) in edges for p, q in edges if layer[p // 2] in given and layer[p // 2] == layer[q // 2])


@given(st.one_of(mined().map(lambda case: case[0]), graphs().filter(lawful)))
@SOME
def test_classes_closure_ancestors_and_reduction_come_back(graph):
    back = NDG.from_networkx(graph.to_networkx())
    assert same_logic(back, graph)
    assert same_logic(NDG.from_networkx(back.to_networkx()), graph)


@pytest.mark.parametrize("graph", [drawn(), oddly_named()], ids=["drawn", "oddly named"])
def test_the_files_that_networkx_reads_come_back_too(graph):
    assert same_logic(NDG.from_networkx(nx.parse_graphml(graph.to_graphml())), graph)
    assert same_logic(NDG.from_networkx(nx.node_link_graph(json.loads(graph.to_json()), edges="edges")), graph)
    assert same_logic(NDG.from_networkx(nx.read_gexf(io.BytesIO(graph.to_gexf().encode()))), graph)


WRITERS = {
    "graphml": (nx.write_graphml, nx.read_graphml),
    "gexf": (nx.write_gexf, nx.read_gexf),
    "gml": (nx.write_gml, nx.read_gml),
}


class Scores:
    method, measure = "magnitude:side=outgoing", "logits"

    def by_node(self, space):
        return {space.labels: 0.5}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("sign", ["\x01", "\x1f", "\x7f", "\ufffe", "a\x0bb c", '"\x02"', "\r", "\t"])
def test_writers_of_networkx_take_names_with_control_characters(form, sign, tmp_path):
    write, read = WRITERS[form]
    nodes = NodeSpace(2, (LayerUnits(f"fc{sign}", 3),), (f"c{sign}",))
    values = np.random.default_rng(0).random((40, len(nodes))) < 0.5
    graph = NDG(implications(values, nodes, [(1, 5), (5, 1), (7, 9), (7, 11)])).with_class_names([f"class{sign}", "b"])
    write(graph.to_networkx(), tmp_path / "graph")
    assert same_logic(NDG.from_networkx(read(tmp_path / "graph")), graph)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    "graph", [drawn(), oddly_named(), drawn().with_scores(Scores())], ids=["drawn", "odd", "scored"]
)
def test_writers_of_networkx_take_the_graph_and_keep_its_constants(graph, form, tmp_path):
    write, read = WRITERS[form]
    write(graph.to_networkx(), tmp_path / "graph")
    back = read(tmp_path / "graph")
    assert same_logic(NDG.from_networkx(back), graph)
    assert all("magnitude_side_outgoing" in back.nodes[key] for key in ("a:0", "~a:0") if graph.scored)


@given(mined())
@SOME
def test_counts_on_bits_are_those_of_the_graph_mined_from_them(case):
    graph, values, labels = case
    plain = nx.DiGraph(constants=[graph.nodes.text(literal) for literal in graph.constants])
    frame = graph.edges_frame()
    plain.add_edges_from(zip(frame.antecedent, frame.consequent, strict=True))
    back = NDG.from_networkx(plain, pack(values, labels))
    for name in ("antecedents", "consequents", "exceptions", "on", "with_label", "examples", "bits_digest"):
        assert np.array_equal(getattr(back.implications, name), getattr(graph.implications, name)), name
    assert back.constants == graph.constants


def test_without_bits_no_figure_is_made_up():
    back = NDG.from_networkx(drawn().to_networkx())
    assert back.examples == 0
    assert back.binarizer == "unknown"
    figures = [
        "exceptions",
        "support",
        "precision",
        "recall",
        "lift",
        "antecedent_prior",
        "consequent_prior",
        "p_value",
        "q_value",
    ]
    assert back.edges_frame()[figures].isna().all(axis=None)
    assert back.to_networkx(flat=False).nodes["a:0"]["prior"] is None
    assert {
        back.to_networkx(flat=False).edges["a:0", "a:1"][name] for name in ("exceptions", "support", "precision")
    } == {None}
    assert "if a:0 is on then a:1 is on  (counts unknown)" in back.rules().split("\n")
    assert back.stats().to_dict()["worst_agreement"] is None
    assert not back.stats().to_dict()["worst_agreement_exact"]
    assert back.provenance["networkx"]["examples"] == 100


def test_edges_are_completed_by_their_contrapositives_and_nodes_by_what_is_named():
    graph = NDG.from_networkx(nx.DiGraph([("fc.1:0", "~fc.1:3"), ("concept:a b", "label:1")]))
    assert list(graph.nodes.nodes()) == ["label:0", "label:1", "fc.1:0", "fc.1:1", "fc.1:2", "fc.1:3", "concept:a b"]
    frame = graph.edges_frame()
    assert set(zip(frame.antecedent, frame.consequent, strict=True)) == {
        ("fc.1:0", "~fc.1:3"), ("fc.1:3", "~fc.1:0"), ("concept:a b", "label:1"), ("~label:1", "~concept:a b"),
    }  # fmt: skip


def test_an_edge_between_classes_joins_members_that_are_not_both_labels():
    graph = nx.DiGraph()
    graph.add_node("x", members=["label:0", "a:0"])
    graph.add_node("y", members="~label:1 a:1")
    graph.add_edge("x", "y")
    frame = NDG.from_networkx(graph).edges_frame()
    assert ("label:0", "a:1") in set(zip(frame.antecedent, frame.consequent, strict=True))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nx.Graph([("a:0", "a:1")]), r"must be read from a networkx.DiGraph; got a Graph"),
        (nx.MultiDiGraph([("a:0", "a:1")]), r"must be read from a networkx.DiGraph; got a MultiDiGraph"),
        (nx.DiGraph([(0, 1)]), r"a literal must be a text like 'layer:unit' or '~layer:unit'; got 0"),
        (nx.DiGraph([("a:0", "fc1")]), r"a literal must be a text like 'layer:unit' or '~layer:unit'; got 'fc1'"),
        (nx.DiGraph([("a:0", "a:0")]), r"an implication must join two different literals; got a:0 -> a:0"),
        (nx.DiGraph([("label:0", "~label:1")]), r"two labels, .* got label:\d -> ~label:\d without its converse"),
        (nx.DiGraph([("concept:x", "concept:y")]), r"or two concepts, must be an equivalence"),
        (nx.DiGraph([("a:0", "a:1")], nodes={"labels": 1, "layers": [["a", 1]]}), r"'a' has units 0 to 0; got unit 1"),
        (nx.DiGraph([("a:0", "a:1")], nodes="[1"), r"the attribute 'nodes' of a graph must look like \{'labels'"),
        (nx.DiGraph([("a:0", "a:1")], nodes={"labels": 1, "layers": [["a", 10**12]]}), r"a layer has at most 1,000"),
        (nx.DiGraph([("a:0", "a:1")], constants=5), r"a list of literals must be a list or a text; got 5; correct it"),
        (nx.DiGraph([("a:0", "a:1")], constants=[5]), r"constants of a graph must be a list of literals; got \[5\]"),
        (nx.DiGraph([("a:0", "a:1")], constants=["a:0"]), r"a constant must take part in no implication; a:0 does"),
    ],
)  # fmt: skip
def test_what_is_no_graph_of_literals_is_refused(graph, message):
    with pytest.raises(GraphError, match=message):
        NDG.from_networkx(graph)


@pytest.mark.parametrize("antecedent", [["a:0"], {}, 5, None])
def test_an_antecedent_that_is_no_text_is_the_end_of_the_edge(antecedent):
    graph = nx.DiGraph()
    graph.add_edge("a:0", "a:1", antecedent=antecedent)
    assert len(NDG.from_networkx(graph).implications) == 2


def test_nodes_that_the_bits_do_not_have_are_refused():
    bits = pack(np.ones((4, 3), bool), 1)
    with pytest.raises(GraphError, match=r"layer 'a' has units 0 to 0; got unit 7"):
        NDG.from_networkx(nx.DiGraph([("a:7", "label:0")]), bits)
    with pytest.raises(GraphError, match=r"no layer 'c' in this graph; there is: label, a, b|nearest"):
        NDG.from_networkx(nx.DiGraph([("c:0", "label:0")]), bits)
