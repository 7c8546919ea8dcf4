"""A drawing is computed before it is drawn: these tests read what it says."""

import dataclasses

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndg.errors import ConfigError, GraphError, ShapeError
from ndg.importance.scores import Scores
from ndg.literal import Literal
from ndg.report.captions import AFTER, BEFORE, MIDDLE, Names, short_layers
from ndg.report.drawing import PRECISIONS, draw
from tests.references.graph_cases import graphs


def by_key(drawing):
    return {node.key: node for node in drawing.nodes}


def test_an_equivalence_is_one_node_that_lists_its_members(planted):
    nodes = by_key(draw(planted))
    duplicates = nodes["label:0"]
    assert duplicates.lines == ("label:0", "first:0", "¬first:1")
    assert duplicates.more == 0
    assert duplicates.label
    assert duplicates.value is True


def test_a_long_equivalence_is_shortened(planted):
    long = by_key(draw(planted))["first:2"]
    assert long.lines == tuple(f"first:{i}" for i in range(2, 8))
    assert long.more == 2


def test_what_is_left_out_is_said(planted):
    drawing = draw(planted)
    said = drawing.left_out
    assert f"Shown: {len(drawing.nodes)} of {len(planted.to_networkx())} classes of equivalent literals" in said
    assert f"{drawing.selection.mirrored} mirror images" in said
    assert f"{drawing.selection.implied} implications that follow from a path" in said
    assert "2 literals in no implication" in said
    assert "constants: first:10" in said


def test_nodes_beyond_the_largest_number_are_counted_with_the_rule(planted):
    drawing = draw(planted, max_nodes=4)
    assert len(drawing.nodes) <= 4
    assert (
        f"{drawing.selection.beyond} classes of equivalent literals beyond the 4 that a picture may hold"
        in drawing.left_out
    )
    assert "labels are kept first, then the classes with most implications" in drawing.left_out


def test_contradictory_components_are_named(graph_with_contradiction):
    drawing = draw(graph_with_contradiction)
    assert "1 contradictory component, in which a literal and its negation imply each other" in drawing.left_out
    contradictory = {graph_with_contradiction.nodes.text(one) for one in graph_with_contradiction.contradictory[0]}
    assert not contradictory & {node.key for node in drawing.nodes}


@pytest.fixture(scope="module")
def graph_with_contradiction():
    from ndg.graph.ndg import NDG
    from tests.references import graph_cases
    from tests.references.graph_cases import DRAWN, implications

    nodes = graph_cases.space(11, 2)
    values = np.random.default_rng(0).random((50, 11)) < 0.5
    edges = []
    for tail, head in DRAWN:
        try:
            edges.append((nodes.literal(tail).code, nodes.literal(head).code))
        except GraphError:
            continue
    return NDG(implications(values, nodes, edges))


def test_labels_stand_between_what_implies_them_and_what_they_imply(planted):
    drawing = draw(planted)
    side = {node.key: drawing.bands[node.band].side for node in drawing.nodes}
    assert side["label:3"] == MIDDLE
    assert side["second:0"] == BEFORE
    assert side["second:1"] == AFTER
    assert [band.side for band in drawing.bands] == sorted(band.side for band in drawing.bands)
    captions = [band.caption for band in drawing.bands]
    assert "second · antecedents" in captions
    assert "second · implied by a class" in captions


@given(graphs(max_nodes=6, max_edges=14), st.booleans())
def test_ranks_are_bands_of_one_layer_and_edges_run_to_the_right_within_them(graph, aimed):
    dag = graph.to_networkx(flat=False)
    if not len(dag):
        return
    drawing = draw(graph, target=next(iter(dag)) if aimed else None)
    nodes = by_key(drawing)
    for node in drawing.nodes:
        assert drawing.bands[node.band].layer == dag.nodes[node.key]["layer"]
    for edge in drawing.edges:
        tail, head = nodes[edge.tail], nodes[edge.head]
        if tail.band == head.band:
            assert tail.column < head.column
        if drawing.bands[tail.band].side == AFTER:
            assert drawing.bands[head.band].side == AFTER


@given(graphs(max_nodes=6, max_edges=14))
def test_drawing_leaves_the_graph_as_it_is(graph):
    before = nx.node_link_data(graph.to_networkx(), edges="edges")
    digest = graph.digest
    draw(graph)
    assert graph.digest == digest
    assert nx.node_link_data(graph.to_networkx(), edges="edges") == before


def test_a_target_is_a_class_a_literal_or_its_text(planted):
    for same in (3, "3", "label:3", Literal(3)):
        drawing = draw(planted, target=same)
        assert [node.key for node in drawing.nodes if node.target] == ["label:3"]
        assert drawing.title == "What implies label:3, and what label:3 implies"
    expected = {planted.key(one) for one in planted.ancestors("label:3") | planted.descendants("label:3")}
    assert {node.key for node in draw(planted, target=3).nodes} == expected | {"label:3"}
    assert draw(planted, target="¬second:1") == draw(planted, target="~second:1")


def test_edges_carry_the_figures_of_the_graph_and_a_class_of_precision(planted):
    dag = planted.to_networkx(flat=False)
    for edge in draw(planted).edges:
        facts = dag.edges[edge.tail, edge.head]
        assert (edge.precision, edge.support, edge.exceptions) == tuple(
            facts[name] for name in ("precision", "support", "exceptions")
        )
        assert edge.strength == sum(edge.precision < low for low in PRECISIONS)


def test_scores_are_shown_and_the_first_shades_the_nodes(planted):
    first = Scores("gndi", {"second": np.array([1.0, -4.0, 2.0])}, {"second": 1.0}, "all logits", "zero", 10)
    second = dataclasses.replace(first, method="conductance", measure="share")
    drawing = draw(planted, scores=[first, second])
    nodes = by_key(drawing)
    assert drawing.measures == ("gndi (logits)", "conductance (share)")
    assert nodes["second:1"].scores == (-4.0, -4.0)
    assert nodes["second:1"].shade == 1.0
    assert nodes["second:0"].shade == 0.25
    assert nodes["label:3"].scores == (None, None)
    assert nodes["label:3"].shade == 0.0
    assert draw(planted.with_scores([first, second])) == drawing
    assert draw(planted, scores=planted.with_scores(first).scores["gndi"]).measures == ("score",)


def test_a_class_has_the_score_of_its_member_with_the_largest_absolute_one(planted):
    values = np.array([0.1, -0.5, *[0.0] * 9])
    scores = Scores("gndi", {"first": values}, {"first": 1.0}, "all logits", "zero", 10)
    assert by_key(draw(planted, scores=scores))["label:0"].scores == (-0.5,)


def test_class_names_stand_beside_class_numbers(planted):
    drawing = draw(planted, class_names=["shirt", "1", "boot", "bag"], target=3, title="Bags")
    assert drawing.title == "Bags"
    assert "label:3 bag" in by_key(drawing)["label:3"].lines
    assert Names(planted.nodes, ["shirt", "1", "boot", "bag"])("~label:1") == "¬label:1"


def test_provenance_is_flat_text(planted):
    assert draw(planted).provenance == f"graph {planted.digest} · run run-1 · config.digest ab12 · seed 7"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_nodes": 0}, ConfigError, r"max_nodes must be a whole number, at least 1; got 0"),
        ({"target": 4}, GraphError, r"a target class is between 0 and 3; got 4"),
        ({"target": "frist:1"}, GraphError, r"no layer 'frist'.*nearest: first"),
        ({"target": "first:10"}, GraphError, r"first:10 is constant over the 3,000 mined examples"),
        ({"class_names": ["a"]}, ShapeError, r"one name per class: expected 4, got 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(planted, arguments, error, message):
    with pytest.raises(error, match=message):
        draw(planted, **arguments)


def test_long_layers_keep_the_parts_that_tell_them_apart():
    layers = ["encoder.layer.0.output.dense", "encoder.layer.1.output.dense", "head"]
    assert short_layers(layers) == {layers[0]: "0.output.dense", layers[1]: "1.output.dense", "head": "head"}
    assert short_layers(["a.very.long.layer.name", "name"])["a.very.long.layer.name"] == "layer.name"
