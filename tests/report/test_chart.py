"""A chart draws every point where it belongs, and every name."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from ndg.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart

LINES = {"graph <1>": [(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)], "other": [(0.0, 0.1), (4.0, 0.1)]}


def test_points_lie_where_they_belong():
    text = Chart("areas", "neurons", "aligned", LINES).svg()
    ElementTree.fromstring(text)
    assert "graph &lt;1&gt;" in text
    drawn = [
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'polyline points="([^"]*)"', text)
    ]
    other, graph = drawn
    assert graph[0] == (LEFT, HEIGHT - BOTTOM)
    assert graph[-1] == (WIDTH - RIGHT, TOP)
    assert graph[1] == ((graph[0][0] + graph[-1][0]) / 2, (graph[0][1] + graph[-1][1]) / 2)
    assert len(other) == 2


def test_ticks_are_round_and_few():
    for high in (0.7, 3, 8, 9, 31.5, 512, 9216):
        text = Chart("", "neurons", "aligned", {"a": [(0.0, 0.0), (float(high), 1.0)]}).svg()
        ticks = [float(found) for found in re.findall(r'text-anchor="middle">([\d.e+]+)</text>', text)]
        assert 3 <= len(ticks) <= 9, (high, ticks)
        assert ticks[-1] <= high


def test_nothing_is_drawn_of_nothing():
    assert Chart("", "x", "y", {"a": []}).svg() == ""
