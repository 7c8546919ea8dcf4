"""Choices of a picture: fill, verdicts, part of the graph, all edges, and what is too slow to lay out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import ndg
from benchmarks.graph import random_graph
from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError, GraphError
from ndg.importance.scores import Scores
from ndg.nodes import LayerUnits, NodeSpace
from ndg.report import dot, engine, render
from ndg.report.drawing import PRIOR, Style, draw
from ndg.report.html import Picture
from ndg.report.render import Look
from tests.references.verdicts import every_second_survives

SCORES = [
    Scores(name, {"second": np.array(values)}, {"second": 1.0}, "all logits", "zero", 10)
    for name, values in (("gndi", [1.0, -4.0, 2.0]), ("ablation", [0.5, 0.1, 0.2]))
]


@pytest.fixture(scope="module")
def judged(planted):
    """The planted graph, where every second forced edge survives."""
    return replace(planted, verdicts=every_second_survives(planted))


def test_nodes_are_filled_by_the_prior_or_by_any_score(planted):
    drawing = draw(planted, style=Style(fill=PRIOR))
    assert all(node.shade == pytest.approx(node.prior) for node in drawing.nodes)
    assert "share of the examples on which it holds, from 0" in dot.source(drawing)
    drawing = draw(planted, scores=SCORES, style=Style(fill="ablation"))
    shades = {node.key: node.shade for node in drawing.nodes if node.scores[1] is not None}
    assert shades["second:0"] == pytest.approx(1.0)
    assert shades["second:1"] == pytest.approx(0.2)
    assert "ablation (logits), from 0" in dot.source(drawing)


def test_edges_are_drawn_by_their_verdict(judged):
    drawing = draw(judged, style=Style(verdict="alone"))
    dag = judged.to_networkx()
    assert [edge.verdict for edge in drawing.edges] == [
        dag.edges[edge.tail, edge.head]["verdict_alone"] for edge in drawing.edges
    ]
    source = dot.source(drawing)
    for verdict in {edge.verdict for edge in drawing.edges}:
        assert dot.VERDICTS[verdict][0] in source
        assert dot.VERDICTS[verdict][4] in source


def test_all_edges_are_drawn_in_full_and_one_literal_of_a_class_if_wanted(planted):
    reduced, full = draw(planted), draw(planted, style=Style(full=True))
    assert set(reduced.edges) < set(full.edges)
    assert full.selection.implied == 0
    hidden = draw(planted, style=Style(hide_equivalent=True))
    assert {len(node.lines) for node in hidden.nodes} == {1}
    assert [node.more + 1 for node in hidden.nodes] == [len(node.lines) + node.more for node in reduced.nodes]


def test_a_part_of_the_graph_is_drawn_and_the_picture_says_so(planted):
    look = Look(labels=False, min_precision=0.999, layers=["first"])
    drawing = look.drawing(planted)
    assert {node.label for node in drawing.nodes} == {False}
    assert all(edge.precision >= 0.999 for edge in drawing.edges)
    part = planted.filter(min_precision=0.999, layers=["first"]).subgraph(["first"], labels=False)
    assert drawing.left_out.startswith(
        f"Of {len(planted):,} implications {len(part):,} are considered (precision at least 0.999, layers first, "
        "without labels)."
    )
    assert Look().part(planted) is planted


def test_of_very_many_edges_the_most_precise_are_drawn(monkeypatch):
    graph = random_graph(30, 400)
    monkeypatch.setattr("ndg.report.drawing.MOST_EDGES", 20)
    drawing = draw(graph, style=Style(full=True))
    assert len(drawing.edges) == 20
    whole = replace(drawing.selection, faint=0)
    assert f"{drawing.selection.faint:,} edges of lowest precision beyond the 20" in drawing.left_out
    assert whole.faint == 0
    assert drawing.selection.faint > 0


def test_a_slow_layout_becomes_straight_then_smaller_and_the_picture_says_so(planted, monkeypatch, tmp_path):
    tried = []

    def picture(source, form, *, engine, timeout, size):
        tried.append((engine, size))
        if len(tried) < 4:
            raise render.engine.SlowLayoutError("too slow")
        return b"<svg>" + source.encode() + b"</svg>"

    monkeypatch.setattr(engine, "picture", picture)
    monkeypatch.setattr(dot, "CROWDED", 5)
    text = ndg.render(planted, tmp_path / "graph.svg").read_text(encoding="utf-8")
    assert [name for name, _ in tried] == ["dot", "nop2", "nop2", "nop2"]
    sizes = [int(size.split()[0]) for _, size in tried]
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3]
    assert "Drawn with straight edges: the layout took more than 10 s." in text.replace("<BR/>", " ")
    assert Picture.of(text).caption.startswith("Drawn with straight edges: the layout took more than 10 s. Shown: ")
    tried.clear()
    with pytest.raises(engine.SlowLayoutError):
        ndg.render(planted, tmp_path / "graph.svg", layout="curved")


def test_eps_is_written(planted, tmp_path):
    assert ndg.render(planted, tmp_path / "graph.eps").read_bytes().startswith(b"%!PS-Adobe")


def test_a_graph_of_one_node_has_picture_explorer_and_report(tmp_path):
    bits = BitMatrix.from_bool(np.array([[True], [False]]), NodeSpace(0, (LayerUnits("only", 1),)))
    graph = ndg.mine(bits, alpha=2.0)
    assert "Shown: " in ndg.render(graph, tmp_path / "one.dot").read_text(encoding="utf-8").replace("<BR/>", " ")
    assert '"only:0"' in ndg.explore(graph, tmp_path / "one.html").read_text(encoding="utf-8")
    assert "0 implications" in ndg.report(graph, path=tmp_path / "one.md").read_text(encoding="utf-8")


def test_a_picture_takes_the_options_of_its_style_by_name(planted, tmp_path):
    plain, styled = (tmp_path / name for name in ("plain.dot", "styled.dot"))
    ndg.render(planted, plain)
    ndg.render(planted, styled, fill="prior", full=True)
    texts = [path.read_text(encoding="utf-8") for path in (plain, styled)]
    assert ["fill: share of the examples" in text for text in texts] == [False, True]
    reduced, full = (len(draw(planted, style=style).ends) for style in (Style(), Style(fill="prior", full=True)))
    assert texts[1].count(" -> ") - texts[0].count(" -> ") == full - reduced > 0
    for drawn in (partial(ndg.render, planted, tmp_path / "graph.dot"), planted.plot):
        with pytest.raises(ConfigError, match=r"a picture has the options .*; got 'ful'; nearest: full, fill"):
            drawn(ful=True)


def test_mistakes_are_named(planted):
    with pytest.raises(ConfigError, match="nodes are filled by prior; got 'gndi'"):
        draw(planted, style=Style(fill="gndi"))
    with pytest.raises(GraphError, match="this graph has no verdicts; got 'alone'"):
        draw(planted, style=Style(verdict="alone"))
    with pytest.raises(ConfigError, match="full is True or False"):
        Style(full="yes")
