"""Pictures are legible: labels neither overlap nor leave the picture, every node is there, nothing is blank."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import pyplot

from ndg.plots import MOST, Plot, Series
from ndg.report.chart import Chart
from ndg.report.drawing import draw
from ndg.report.render import Look, render, svg
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


def test_a_picture_of_a_graph_is_not_blank(planted, tmp_path):
    image = pyplot.imread(render(planted, tmp_path / "g.png"))
    assert len(np.unique((image[..., :3] * 255).astype(np.uint8).reshape(-1, 3), axis=0)) > 20
    assert re.search(rb"/Type\s*/Page", render(planted, tmp_path / "g.pdf").read_bytes())
