"""What networkx, GraphML and JSON readers get: stable keys, documented attributes, a frozen acyclic graph."""

import json

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.graph.ndg import NDG
from tests.references.graph_cases import constant_nodes, drawn, graphs, implications, mined, space

NODE = {"members", "layer", "unit", "value", "prior", "label", "contradictory", "size"}
EDGE = {"antecedent", "consequent", "exceptions", "support", "precision", "recall", "lift"}


@given(st.one_of(graphs(), mined().map(lambda case: case[0])))
@settings(max_examples=30, deadline=None)
def test_every_literal_but_constants_is_in_one_node_named_after_its_first_member(graph):
    whole = graph.to_networkx()
    members = [text for _, found in whole.nodes(data="members") for text in found]
    constant = constant_nodes(graph)
    wanted = [
        f"{sign}{name}" for node, name in enumerate(graph.nodes.nodes()) if node not in constant for sign in ("", "~")
    ]
    assert sorted(members) == sorted(wanted)
    for key, attributes in whole.nodes.items():
        literal = graph.literal(key)
        assert set(attributes) == NODE
        assert literal.node == min(graph.literal(text).node for text in attributes["members"])
        assert (attributes["layer"], attributes["unit"]) == (
            graph.nodes.layer(literal.node),
            graph.nodes.unit(literal.node),
        )
        assert attributes["value"] == literal.value
        assert attributes["prior"] == graph.implications.holds[literal.code] / graph.examples
        assert attributes["label"] == any(text.lstrip("~").startswith("label:") for text in attributes["members"])
        assert all(graph.key(text) == key for text in attributes["members"])
    frame = graph.edges_frame().set_index(["antecedent", "consequent"])
    for (tail, head), attributes in whole.edges.items():
        assert set(attributes) == EDGE
        row = frame.loc[attributes["antecedent"], attributes["consequent"]]
        assert graph.key(attributes["antecedent"]) == tail
        assert graph.key(attributes["consequent"]) == head
        for name in EDGE - {"antecedent", "consequent"}:
            assert attributes[name] == row[name] or (attributes[name] is None and np.isnan(row[name]))


def test_keys_and_order_of_the_graph_drawn_by_hand():
    whole = drawn().to_networkx()
    assert list(whole) == [
        "~label:0", "label:0", "~label:1", "label:1", "~a:0", "a:0", "~a:1", "a:1", "~a:2", "a:2", "~b:0", "b:0",
        "~b:3",
    ]  # fmt: skip
    assert whole.nodes["a:2"]["members"] == ["a:2", "a:3"]
    assert whole.nodes["~b:3"]["contradictory"]
    assert whole.graph["constants"] == ["a:4"]
    assert set(drawn().reduction()) == set(whole.edges) - {("a:0", "label:0"), ("~label:0", "~a:0")}


def test_the_graph_handed_out_is_frozen_and_the_callers_own():
    graph = drawn()
    whole = graph.to_networkx()
    with pytest.raises(nx.NetworkXError, match="Frozen"):
        whole.remove_node("a:0")
    whole.nodes["a:0"]["layer"] = "changed"
    assert graph.to_networkx().nodes["a:0"]["layer"] == "a"


def test_graphml_can_be_read_back(tmp_path):
    graph = drawn()
    text = graph.to_graphml(tmp_path / "graph.graphml")
    assert (tmp_path / "graph.graphml").read_text() == text
    back, whole = nx.read_graphml(tmp_path / "graph.graphml"), graph.to_networkx()
    assert set(back.nodes) == set(whole.nodes)
    assert set(back.edges) == set(whole.edges)
    assert back.nodes["~b:3"]["members"] == "~b:3 b:3 ~b:4 b:4"
    assert back.nodes["a:2"]["prior"] == whole.nodes["a:2"]["prior"]
    assert back.edges["a:0", "a:1"]["precision"] == whole.edges["a:0", "a:1"]["precision"]
    assert json.loads(back.graph["criterion"]) == graph.criterion


def test_json_can_be_read_back(tmp_path):
    graph = drawn()
    document = json.loads(graph.to_json(tmp_path / "graph.json"))
    assert document == json.loads((tmp_path / "graph.json").read_text())
    back, whole = nx.node_link_graph(document, edges="edges"), graph.to_networkx()
    assert dict(back.nodes(data=True)) == dict(whole.nodes(data=True))
    assert {ends: back.edges[ends] for ends in back.edges} == {ends: whole.edges[ends] for ends in whole.edges}
    assert back.graph == whole.graph


def test_figures_without_a_value_are_null_in_json_and_absent_in_graphml():
    graph = NDG(implications(np.zeros((4, 2), bool), space(2, 0), [(3, 1)]))
    assert graph.to_networkx().edges["b:0", "a:0"]["precision"] is None
    assert '"precision": null' in graph.to_json()
    back = nx.parse_graphml(graph.to_graphml())
    assert "precision" not in back.edges["b:0", "a:0"]
    assert back.edges["~a:0", "~b:0"]["precision"] == 1


def test_scores_lie_on_the_nodes_of_their_units_and_travel_with_the_graph(tmp_path):
    graph = drawn()
    units = [node for node in range(len(graph.nodes)) if not graph.nodes.is_label(node)]

    class Scores:
        method, measure = "gndi", "logits"

        def by_node(self, space):
            return {node: -float(node) for node in units}

    scored = graph.with_scores(Scores())
    assert scored == graph
    assert graph.scores == {}
    again = NDG.load(scored.save(tmp_path / "g.json"))
    assert again.scores == {"gndi": {node: -float(node) for node in units}}
    assert again.subgraph([]).scores == {"gndi": {}}
    for _, attributes in again.to_networkx().nodes.items():
        members = [graph.literal(text).node for text in attributes["members"]]
        scores = [-float(node) for node in members if node in units]
        assert attributes.get("gndi") == (min(scores) if scores else None)
