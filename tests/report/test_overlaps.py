"""Pictures are legible: labels neither overlap nor leave the picture, every node is there, nothing is blank."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import pyplot

import ndg
from ndg.graph.ndg import NDG
from ndg.graph.of_votes import graph_of
from ndg.graph.votes import Votes
from ndg.nodes import LayerUnits
from ndg.plots import MOST, Plot, Series
from ndg.report import dot
from ndg.report.chart import Chart
from ndg.report.drawing import draw
from ndg.report.render import Look, render, svg
from tests.graph.test_conjunctions import conjunction
from tests.overlaps import labels, outside, overlaps, svg_labels

LONG = "digits_cnn, seed 0: encoder.conv2.relu, held out"


def many(kind, count):
    """A plot of so many series of long names."""
    rng = np.random.default_rng(0)
    x = tuple(f"{LONG} {i}" for i in range(MOST)) if kind == "rows" else tuple(np.linspace(0, 1, 30).tolist())
    series = []
    for number in range(count):
        y = tuple(rng.random(len(x)).tolist())
        low, high = (tuple(value + side for value in y) for side in (-0.1, 0.1))
        series.append(Series(f"{LONG} {number}", x, y, low, high, *((x, x) if kind == "points" else ())))
    title = f"Precision of implications, {LONG}, Spearman 0.981 [0.970, 0.988]"
    return Plot(title, "mined", "held out", tuple(series), kind)


@pytest.mark.parametrize(
    ("kind", "count"), [("lines", 2), ("lines", 12), ("points", 8), ("rows", 1), ("boxes", 8), ("steps", 6)]
)
def test_labels_of_a_plot_neither_overlap_nor_leave_it(kind, count):
    axes = many(kind, count).plot()
    try:
        assert overlaps(labels(axes.figure)) == []
        assert len(labels(axes.figure)) > count
        assert outside(axes.figure) == []
        colours = np.unique(np.asarray(axes.figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3), axis=0)
        assert len(colours) > 20
    finally:
        pyplot.close(axes.figure)


def test_the_helper_sees_what_overlaps():
    axes = many("lines", 1).plot()
    axes.text(0.5, 0.5, "one", transform=axes.transAxes)
    axes.text(0.5, 0.5, "two", transform=axes.transAxes)
    axes.text(0.9, 0.5, "x" * 80, transform=axes.transAxes).set_in_layout(False)
    try:
        pairs = [{name.split()[1] for name in pair} for pair in overlaps(labels(axes.figure))]
        assert {"one", "two"} in pairs
        assert [name.split()[1] for name in outside(axes.figure)] == ["x" * 80]
    finally:
        pyplot.close(axes.figure)


@pytest.mark.parametrize("lines", [2, 8, 24])
def test_labels_of_a_chart_neither_overlap_nor_leave_it(lines):
    names = [f"prototype of log odds {number}" for number in range(lines)]
    text = Chart("areas", "neurons", "aligned", {name: [(0.0, 0.0), (1.0, 1.0)] for name in names}).svg()
    boxes = svg_labels(text)
    _, _, wide, high = map(float, ElementTree.fromstring(text).get("viewBox").split())
    assert overlaps(boxes) == []
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= wide and box[3] <= high for box in boxes.values())


@pytest.mark.parametrize("layout", ["curved", "straight"])
def test_labels_of_a_graph_do_not_overlap_and_every_node_is_there(planted, layout):
    look = Look(layout=layout)
    text = svg(planted, look)
    boxes = svg_labels(text)
    shown = {name.split(" ", 1)[1] for name in boxes}
    drawing = draw(planted)
    assert drawing.nodes
    for node in drawing.nodes:
        assert any(node.lines[0] in label for label in shown), node.key
    assert overlaps(boxes) == []


def dense(labels: int, units: int) -> NDG:
    """Votes of every unit for every label, and conjunctions of seven literals for each unit."""
    weights = np.random.default_rng(0).normal(size=(labels, units))
    graph = graph_of(Votes("b", weights, np.zeros(labels), 10))
    nodes = ndg.NodeSpace(labels, (LayerUnits("a", 9), *graph.nodes.layers))
    literals = 2 * len(nodes)
    implications = replace(
        graph.implications,
        nodes=nodes,
        on=np.zeros(literals // 2, np.int64),
        with_label=np.zeros((labels, literals // 2), np.int64),
        thresholds=np.full(9 + units, np.nan),
    )
    whole = NDG(implications, votes=graph.votes)
    members = [" ".join(f"{'~' * ((place + unit) % 2)}a:{(place + unit) % 9}" for place in range(7))
               for unit in range(units)]  # fmt: skip
    joints = [conjunction(whole, text, f"b:{unit}", test=(100, 97)) for unit, text in enumerate(members)]
    return whole.with_conjunctions(joints)


@pytest.mark.parametrize(("labels", "units"), [(3, 4), (6, 12)])
@pytest.mark.parametrize("layout", ["curved", "straight"])
def test_labels_of_a_dense_causal_picture_do_not_overlap_and_its_captions_are_on_top(labels, units, layout):
    graph = dense(labels, units)
    drawing = draw(graph)
    boxes = svg_labels(svg(graph, Look(layout=layout)))
    texts = {name.split(" ", 1)[1]: box for name, box in boxes.items()}
    nodes = {node.lines[0] for node in drawing.nodes if not node.joint}
    assert nodes <= set(texts)
    assert len([link for link in drawing.links if link.kind == "vote"]) == labels * units
    assert sum(name.endswith(" ∧") for name in boxes) >= units
    assert overlaps(boxes) == []
    highest = min(box[1] for name, box in texts.items() if name in nodes)
    assert all(texts[band.caption][3] < highest for band in drawing.bands if band.caption)
    weights = [link.text for link in drawing.links if link.text]
    shown = layout == "curved" and len(weights) <= dot.WEIGHED
    assert shown == (layout == "curved" and units == 4)
    assert all(text in texts for text in weights) == shown


def test_captions_stand_above_parts_that_touch_no_other():
    weights = np.diag([1.0, 2.0, 3.0])
    boxes = svg_labels(svg(graph_of(Votes("b", weights, np.zeros(3), 10)), Look(layout="curved")))
    texts = {name.split(" ", 1)[1]: box for name, box in boxes.items()}
    assert texts["predicted class"][3] < min(texts[f"label:{number}"][1] for number in range(3))


def test_a_picture_of_a_graph_is_not_blank(planted, tmp_path):
    image = pyplot.imread(render(planted, tmp_path / "g.png"))
    assert len(np.unique((image[..., :3] * 255).astype(np.uint8).reshape(-1, 3), axis=0)) > 20
    assert re.search(rb"/Type\s*/Page", render(planted, tmp_path / "g.pdf").read_bytes())
