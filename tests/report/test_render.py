"""Every format of REPORTS, through the one public call."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import ndg
from ndg.errors import ConfigError, GraphError, OutputError, RenderError
from ndg.importance.scores import Scores
from ndg.report.render import REPORTS, Look, render, svg

MAGIC = {
    "gexf": b"<?xml",
    "csv": b"antecedent",
    "parquet": b"PAR1",
    "pdf": b"%PDF",
    "svg": b"<?xml",
    "png": b"\x89PNG",
    "eps": b"%!PS",
    "dot": b"digraph",
    "graphml": b"<?xml",
    "json": b"{",
}
SCORES = Scores("gndi", {"second": np.array([1.0, -4.0, 2.0])}, {"second": 1.0}, "all logits", "zero", 10)


@pytest.fixture(autouse=True)
def no_dot(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


@pytest.mark.parametrize("form", REPORTS)
@pytest.mark.parametrize("target", [None, 3])
def test_every_format_is_written_whole(planted, tmp_path, form, target):
    path = render(planted, tmp_path / "new" / f"ndg.{form}", scores=SCORES, target=target)
    assert path.read_bytes().startswith(MAGIC[form])
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("form", ["svg", "png", "dot", "graphml", "json"])
def test_the_same_graph_gives_the_same_file(planted, tmp_path, form):
    first, second = (render(planted, tmp_path / f"{i}.{form}", scores=SCORES) for i in range(2))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("layout", ["curved", "straight"])
def test_an_svg_shows_labels_scores_and_the_line_of_what_was_left_out(planted, layout):
    text = svg(planted, Look(scores=SCORES, layout=layout))
    shown = " ".join(
        "".join(element.itertext()) for element in ET.fromstring(text).iter() if element.tag.endswith("}text")
    )
    for part in (
        "label:3",
        "¬first:1",
        "… and 2 more",
        "-4",
        "Left out:",
        "mirror images",
        "run run-1",
        "predicted class",
    ):
        assert part in shown, part


def test_exports_hold_every_class_with_scores_or_those_of_the_target(planted, tmp_path):
    whole = json.loads(render(planted, tmp_path / "whole.json", scores=SCORES).read_text())
    assert {node["id"] for node in whole["nodes"]} == set(planted.to_networkx())
    assert next(node for node in whole["nodes"] if node["id"] == "second:1")["gndi"] == -4.0
    part = json.loads(render(planted, tmp_path / "part.json", target=3).read_text())
    around = planted.ancestors("label:3") | planted.descendants("label:3")
    assert {node["id"] for node in part["nodes"]} == {"label:3"} | {planted.key(one) for one in around}


def test_a_graph_without_implications_is_drawn_and_says_so(planted, tmp_path):
    empty = planted.filter(min_support=10**9)
    assert "Shown: 0 of" in svg(empty)
    for layout in ("curved", "straight"):
        assert render(empty, tmp_path / "ndg.pdf", layout=layout).stat().st_size > 1000


def test_an_unknown_suffix_lists_the_formats(planted, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in one of \.pdf, \.svg, .*; got 'ndg.pfd'; nearest: pdf"):
        render(planted, tmp_path / "ndg.pfd")


def test_what_fails_writes_nothing_and_keeps_what_was_there(planted, tmp_path):
    old = tmp_path / "ndg.pdf"
    old.write_text("old")
    for arguments, error in (
        ({"target": 9}, GraphError),
        ({"timeout": 0.0}, RenderError),
        ({"layout": "?"}, ConfigError),
    ):
        with pytest.raises(error):
            render(planted, old, **arguments)
        assert old.read_text() == "old"
        assert list(tmp_path.iterdir()) == [old]


def test_a_layout_out_of_time_names_the_size_and_the_next_step(planted, tmp_path):
    with pytest.raises(RenderError, match=r"\d+ nodes and \d+ edges took longer; draw fewer nodes \(max_nodes="):
        render(planted, tmp_path / "ndg.svg", timeout=0.0)


def test_a_place_that_cannot_be_written_is_named(planted, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"ndg\.dot cannot be written"):
        render(planted, tmp_path / "file" / "ndg.dot")


def test_render_is_the_public_name():
    assert ndg.render is render
