"""Reports from Python objects and run documents, in every format."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

import ndg
from ndg.errors import ConfigError
from ndg.escape import html as escape
from ndg.graph.votes import Votes
from ndg.importance.scores import Scores
from ndg.report import html, markdown, pdf, side_by_side
from ndg.report.answers import QUESTIONS, answers
from ndg.report.cautions import cautions
from ndg.report.html import Report
from ndg.report.objects import report
from ndg.report.render import MOST, Look, look_of, png, render, svg
from ndg.report.tables import Column, Table

SCORES = Scores("gndi", {"second": np.array([1.0, -4.0, 2.0])}, {"second": 1.0}, "all logits", "zero", 10)
TABLE = Table("A table", (Column("network", left=True), Column("n")), (("one", 3),))


def text_of(page):
    """Text of a page without code, pictures and its frame."""
    page = re.sub(r'srcdoc="[^"]*"', "", page)
    page = re.sub(r"<(style|pre|svg|footer|title).*?</\1>", "\n", page, flags=re.DOTALL)
    return re.sub(r"<[^>]+>", "\n", page)


@pytest.mark.parametrize("form", ["html", "md", "pdf"])
def test_a_graph_and_its_results_make_a_report(planted, planted_bits, tmp_path, form):
    path = report(
        planted, planted.held_out(planted_bits), SCORES, TABLE, path=tmp_path / f"report.{form}", title="A <title>"
    )
    content = path.read_bytes()
    if form == "pdf":
        assert content.startswith(b"%PDF")
        assert len(content) > 10_000
        return
    text = content.decode()
    assert "Do the implications hold on held-out data?" in text
    assert "A table" in text
    assert "gndi of 3 units" in text
    assert ("A &lt;title&gt;" in text) == (form == "html")
    if form == "html":
        assert text.index("The verdict") < text.index("In words") < text.index("What to believe")
        assert "<iframe" in text
        assert text.count("<svg") == 1


def test_the_package_is_called_for_a_report(planted, tmp_path):
    assert ndg.report(planted, path=tmp_path / "r.md").read_text(encoding="utf-8").startswith("# Report\n")
    assert ndg.report.html is html


def test_no_sentence_is_there_twice_and_no_internal_name(record):
    record["results"]["trial"] |= {"g2": {"test": record["results"]["trial"]["q"]["test"] | {"intervention": "G.2"}}}
    text = text_of(html.page(Report("Planted", record)))
    sentences = [line.strip() for line in re.split(r"(?<=[.!?])\s+|\n", text) if len(line.split()) > 6]
    assert len(sentences) == len(set(sentences))
    assert not re.findall(r"\b[a-z0-9]+_[a-z0-9_]+\b", text)
    assert "Q and G.2, on test" in text


def test_runs_stand_side_by_side(record, tmp_path):
    other = record | {"_id": "run-2", "seeds": {"seed": 8}}
    other["results"] = record["results"] | {"accuracy": {"test": {"rate": 0.2, "low": 0.15, "high": 0.3, "n": 210}}}
    page = report(record, other, path=tmp_path / "both.html").read_text(encoding="utf-8")
    row = re.search(r"<tr><th class=left>Is the network accurate\?</th>(.*?)</tr>", page)[1]
    assert [kind in row for kind in ("✓ yes", "✗ no")] == [True, True]
    assert "planted, seed 7" in page
    assert "planted, seed 8" in page
    text = report(record, other, path=tmp_path / "both.md").read_text(encoding="utf-8")
    assert "| Is the network accurate? | ✓ yes | ✗ no |" in text
    for text in cautions(record):
        assert text in cautions(other)
        assert page.count(escape(text)) == 1
    assert len(cautions(record)) < len(cautions(other))  # the second network is not accurate
    assert report(record, other, path=tmp_path / "both.pdf").read_bytes().startswith(b"%PDF")


def test_questions_keep_their_order_whichever_run_comes_first(record, tmp_path):
    """A run that answers a later question alone does not move it to the front, and each sentence has its question."""
    networks = [{"network": name, "parameters": size, "agreement": 0.999, "agreement_low": 0.995, "agreement_high": 1.0,
                 "n": 900, "accuracy_low": 0.9} for name, size in (("original", 100), ("compressed", 40))]  # fmt: skip
    late = {"_id": "run-2", "name": "smaller", "results": {"compress": {"networks": networks}, "data": {"classes": 4}}}
    for form, mark in (("html", "<th class=left>{}</th>"), ("md", "| {} |")):
        text = report(late, record, path=tmp_path / f"r.{form}").read_text(encoding="utf-8")
        places = [text.index(mark.format(question)) for question in QUESTIONS if mark.format(question) in text]
        assert len(places) > 2
        assert places == sorted(places)
    assert "**smaller**: What can be removed? 60 % of the parameters" in text
    heads = [line[-1] for line in pdf._beside("t", [Report("a", late), Report("b", record)])]
    places = [heads.index(question) for question in QUESTIONS if question in heads]
    assert len(places) > 2
    assert places == sorted(places)


def test_a_page_names_the_questions_that_the_run_did_not_measure(record):
    said, page = [answer.question for answer in answers(record)], html.page(Report("t", record))
    (missing,) = re.findall(r"Not measured in this run: (.*?)</p>", page)
    assert missing == " ".join(question for question in QUESTIONS if question not in said)
    assert "What can be removed?" in missing


def test_what_a_picture_leaves_out_is_said_once(record, planted):
    """The caption, legible at any size, is not repeated in small letters within the picture."""
    look = Look(None, None, 40)
    caption, picture = look.drawing(planted).left_out, svg(planted, look)
    assert caption
    inside = html.without(picture, caption)
    words = " ".join(unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)<", inside))).split())
    assert caption[:40] not in words
    assert html.without(picture, "another caption") == picture
    assert inside.count("<text") < picture.count("<text")
    page = html.page(Report("t", record, [html.Picture(caption, picture)] * 2))
    shown = re.sub(r"<[^>]+>", " ", page)
    assert shown.count(escape(caption)) == 2  # one above each of two pictures


@pytest.mark.parametrize("nodes", [4, 300])
def test_a_picture_has_its_natural_size_on_the_page_of_a_pdf(planted, nodes):
    image = png(planted, Look(max_nodes=nodes), pdf.DPI)
    high, wide = imread(BytesIO(image), format="png").shape[:2]
    page = pdf._image_page(image)
    room = page.get_size_inches() * pdf.INSIDE * pdf.DPI
    assert wide <= room[0] + 1
    assert high <= room[1] + 1
    assert min(page.get_size_inches()) >= min(pdf.INCHES)


def test_a_causal_graph_has_a_smaller_picture_in_a_report(planted):
    record = {"name": "n", "config": {"report": {"max_nodes": 250}}}
    labels, first = planted.nodes.labels, planted.nodes.layers[0]
    votes = Votes(first.name, np.ones((labels, first.units)), np.zeros(labels), 9)
    assert look_of(planted, record).max_nodes == 250
    assert look_of(planted.with_votes(votes), record).max_nodes == MOST


def test_equal_names_are_numbered(record):
    reports = [Report("t", record), Report("t", record)]
    assert side_by_side.names_of(reports) == ["planted, seed 7 (1)", "planted, seed 7 (2)"]


def test_markdown_says_what_the_page_says(record, planted, planted_bits):
    edges = planted.evaluate(planted_bits).to_dict("records")
    full = Report("Planted", record, edges=edges, rules=planted.rules(5), config="name: planted")
    text = markdown.text(full)
    for part in ("✓ yes", "## What to believe", "### Interventions on test", "    name: planted", "- commit: 0123abcd"):
        assert part in text, part
    assert "<" not in markdown.text(replace(full, rules="", title="x")).replace("< ", "")


def test_mistakes_are_named(planted, tmp_path):
    with pytest.raises(ConfigError, match=r"a report ends in one of \.html, \.md, \.pdf; got 'r\.doc'"):
        report(planted, path=tmp_path / "r.doc")
    with pytest.raises(ConfigError, match=r"a report ends in .*; name a file in this folder"):
        report(planted, path=tmp_path)
    with pytest.raises(ConfigError, match=r"a file name ends in .*; name a file in this folder"):
        render(planted, tmp_path)
    with pytest.raises(ConfigError, match="a report is of at least one graph"):
        report(path=tmp_path / "r.md")
    with pytest.raises(ConfigError, match=r"a report is of graphs .* got int"):
        report(3, path=tmp_path / "r.md")
