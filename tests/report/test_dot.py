"""DOT of a drawing: what Graphviz reads back is what the drawing says."""

import dataclasses

import numpy as np
import pygraphviz
import pytest

from ndg.errors import ConfigError
from ndg.importance.scores import Scores
from ndg.report import dot
from ndg.report.drawing import draw
from ndg.report.straight_layout import positions


def read(drawing, layout="curved"):
    return pygraphviz.AGraph(dot.source(drawing, layout))


def identifier(key):
    return key.replace(":", "/")


@pytest.mark.parametrize("layout", list(dot.ENGINES))
def test_every_node_and_edge_is_there(planted, layout):
    drawing = draw(planted)
    graph = read(drawing, layout)
    drawn = {(identifier(edge.tail), identifier(edge.head)) for edge in drawing.edges}
    assert {identifier(node.key) for node in drawing.nodes} <= set(graph.nodes())
    assert {tuple(edge) for edge in graph.edges() if edge.attr["style"] != "invis"} == drawn
    assert graph.graph_attr["layout"] == dot.ENGINES[layout]


def test_nodes_look_like_what_they_are(planted):
    graph = read(draw(planted))
    on, off = graph.get_node("label/3"), graph.get_node("~second/0") if graph.has_node("~second/0") else None
    assert on.attr["fillcolor"] == dot.LABEL_ON
    assert "dashed" not in on.attr["style"]
    assert off is None or "dashed" in off.attr["style"]
    aimed = read(draw(planted, target=3))
    assert aimed.get_node("label/3").attr["penwidth"] == "2.6"
    muted = [node for node in aimed.nodes() if node.startswith("~label")]
    assert muted
    assert all(
        node.attr["fillcolor"] == dot.LABEL_OFF and "dashed" in node.attr["style"] and "¬label:" in node.attr["label"]
        for node in muted
    )


def test_an_equivalence_has_a_double_frame_and_says_how_many_members_are_not_listed(planted):
    graph = read(draw(planted))
    assert graph.get_node("label/0").attr["peripheries"] == "2"
    assert graph.get_node("label/3").attr["peripheries"] == "1"
    assert any("… and 2 more" in node.attr["label"] for node in graph.nodes())


def test_surer_edges_are_heavier(planted):
    widths = [float(stroke[1]) for stroke in dot.STROKES]
    assert widths == sorted(widths, reverse=True)
    assert len({stroke[2:4] for stroke in dot.STROKES}) == len(dot.STROKES)
    drawing = draw(planted)
    graph = read(drawing)
    for edge in drawing.edges:
        drawn = graph.get_edge(identifier(edge.tail), identifier(edge.head))
        assert drawn.attr["penwidth"] == str(dot.STROKES[edge.strength][1])
        assert f"exceptions {edge.exceptions}" in drawn.attr["edgetooltip"]


def test_the_head_has_the_key_the_rule_and_the_provenance(planted):
    scores = Scores("gndi", {"second": np.array([1.0, -4.0, 2.0])}, {"second": 1.0}, "all logits", "zero", 10)
    drawing = draw(planted, scores=scores)
    graph = read(drawing)
    head = graph.graph_attr["label"].replace("<BR/>", " ")
    for part in ("class predicted", "neuron on", "neuron off", "double frame", "always", "gndi (logits)", "±4"):
        assert part in head, part
    assert "Left out:" in head
    assert "not a cause" in head
    assert planted.digest in head
    assert "run run-1" in head


def test_columns_have_captions_and_stand_in_order(planted):
    drawing = draw(planted)
    graph = read(drawing)
    for i, band in enumerate(drawing.bands):
        assert band.caption in graph.get_node(f"column {i} 0").attr["label"]


def test_straight_positions_follow_the_columns_and_never_overlap(planted):
    drawing = draw(planted)
    places, captions = positions(drawing)
    nodes = {node.key: node for node in drawing.nodes}
    assert set(places) == set(nodes)
    assert len(captions) == len(drawing.bands)
    assert len(set(places.values())) == len(places)
    order = sorted(nodes, key=lambda key: places[key][0])
    columns = [(nodes[key].band, nodes[key].column) for key in order]
    assert columns == sorted(columns)
    assert min(y for _, y in captions) > max(y for _, y in places.values())


def test_hostile_names_stay_text(planted):
    names = ['<b>&"', "a\\N\\l", "\x00\x1bx", "</TABLE>"]
    for layout in dot.ENGINES:
        graph = read(draw(planted, class_names=names, title='<"&\\G>'), layout)
        labels = "".join(node.attr["label"] for node in graph.nodes())
        assert "&lt;b&gt;&amp;&quot;" in labels
        assert "&lt;/TABLE&gt;" in labels
        assert "\x1b" not in labels


def test_many_edges_are_drawn_straight(planted):
    drawing = draw(planted)
    assert dot.layout_of(drawing) == "curved"
    many = dataclasses.replace(drawing, edges=drawing.edges[:1] * (dot.ROUTED + 1))
    assert dot.layout_of(many) == "straight"


def test_an_unknown_layout_names_the_nearest(planted):
    with pytest.raises(ConfigError, match=r"a layout is curved or straight; got 'strait'; nearest: straight"):
        dot.source(draw(planted), "strait")
