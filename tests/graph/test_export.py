"""Exports for networkx, GraphML and JSON: stable keys, documented attributes."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.graph.ndg import NDG
from tests.references.graph_cases import constant_nodes, drawn, graphs, mined

NODE = {"members", "layer", "unit", "value", "prior", "label", "concept", "contradictory", "size"}
EDGE = {"antecedent", "consequent", "exceptions", "support", "precision", "recall", "lift"}


@given(st.one_of(graphs(), mined().map(lambda case: case[0])))
@settings(max_examples=30, deadline=None)
def test_every_literal_but_constants_is_in_one_node_named_after_its_first_member(graph):
    whole = graph.to_networkx(flat=False)
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
        assert attributes["concept"] == graph.nodes.is_concept(literal.node)
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
    whole = drawn().to_networkx(flat=False)
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
    for _, attributes in again.to_networkx(flat=False).nodes.items():
        members = [graph.literal(text).node for text in attributes["members"]]
        scores = [-float(node) for node in members if node in units]
        assert attributes.get("gndi") == (min(scores) if scores else None)
