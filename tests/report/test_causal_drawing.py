"""Pictures of conjunctions and votes: what is drawn, what is left out, how it looks."""

from dataclasses import replace

import numpy as np
import pytest

import ndg
from ndg.graph.ndg import NDG
from ndg.graph.of_votes import graph_of
from ndg.graph.votes import Votes
from ndg.report import dot, render
from ndg.report.drawing import draw
from ndg.report.explorer.table import tabulate
from ndg.report.html import Picture, study_page
from tests.graph.test_conjunctions import causal, conjunction


def chain() -> NDG:
    """Votes of b for both labels, and conjunctions of a for literals of b, without implications."""
    weights = np.array([[2.0, 0.0, -1.0], [0.0, 0.5, 0.0]])
    graph = graph_of(Votes("b", weights, np.zeros(2), 10))
    nodes = ndg.NodeSpace(2, (ndg.nodes.LayerUnits("a", 3), *graph.nodes.layers))
    implications = replace(
        graph.implications,
        nodes=nodes,
        on=np.zeros(8, np.int64),
        with_label=np.zeros((2, 8), np.int64),
        thresholds=np.full(6, np.nan),
    )
    whole = NDG(implications, votes=graph.votes)
    return whole.with_conjunctions(
        [
            conjunction(whole, "a:0 ~a:1", "b:0", test=(100, 97), effects=(0.3, -0.2)),
            conjunction(whole, "a:2", "b:0", test=(100, 60)),
            conjunction(whole, "a:1 a:2", "~b:2", test=(50, 50)),
        ]
    )


def test_votes_come_with_the_surest_conjunction_behind_them():
    drawing = draw(chain())
    links = {(link.tail, link.head): link for link in drawing.links}
    assert links["b:0", "label:0"].width > links["~b:2", "label:0"].width > links["b:1", "label:1"].width
    assert links["b:0", "label:0"].text == "2"
    joints = {node.key: node.joint for node in drawing.nodes if node.joint}
    assert set(joints) == {"conjunction 1", "conjunction 2"}
    assert joints["conjunction 1"].startswith("forcing a:0 and ¬a:1 makes b:0 hold: 97 of 100 examples, 0.915 to")
    assert ("a:0", "conjunction 1") in links
    assert drawing.left_out.endswith("Drawn: 2 of 3 conjunctions and 3 of 3 votes (the strongest of each label first).")
    places = {node.key: node.band for node in drawing.nodes}
    assert places["a:0"] < places["conjunction 1"] < places["b:0"] < places["label:0"]
    assert [band.caption for band in drawing.bands] == ["a", "", "b", "predicted class"]
    few = draw(chain(), max_nodes=2)
    assert [(link.tail, link.head) for link in few.links] == [("b:0", "label:0")]


def test_a_target_shows_all_that_leads_to_it():
    drawing = draw(chain(), target="b:0")
    assert {node.key for node in drawing.nodes if node.joint} == {"conjunction 0", "conjunction 1"}
    assert [(link.tail, link.head) for link in drawing.links if link.kind == "vote"] == [("b:0", "label:0")]
    assert drawing.title == "What leads to b:0, and what b:0 leads to"
    assert {node.key for node in draw(chain(), target=1).nodes} == {"label:1", "b:1"}
    rest = NDG.from_networkx(ndg.NDG.to_networkx(chain()))
    assert draw(rest, target=0).links == draw(chain(), target=0).links


@pytest.mark.parametrize("layout", ["curved", "straight"])
def test_a_conjunction_is_a_small_node_and_a_vote_as_thick_as_its_weight(layout):
    source = dot.source(draw(causal()), layout)
    assert "shape=circle" in source
    assert 'label="∧"' in source or "label=∧" in source
    assert "makes the next one hold" in source
    assert "penwidth=3.70" in source
    assert ("label=2 " in source) == (layout == "curved")


def test_files_of_a_causal_graph_and_of_votes(tmp_path):
    svg = ndg.render(chain(), tmp_path / "g.svg").read_text()
    assert svg.count("<ellipse") == 2
    page = study_page("Title", {}, [], [], graphs=[Picture("Drawn", svg)])
    assert "The picture" in page
    assert page.count("<ellipse") == 2
    votes = Votes("fc", np.array([[1.0, 0.0], [0.0, -2.0]]), np.zeros(2), 5)
    assert "~fc:1" in ndg.render(votes, tmp_path / "votes.json").read_text()
    assert "a vote for a class" in render.svg(graph_of(votes))
    assert "conjunction 1" in ndg.render(chain(), tmp_path / "g.graphml", target="b:0").read_text()
    explorer = tabulate(chain())
    assert explorer.left_out == ""
    assert sum(about != "" for about in explorer.classes["about"]) == 3
    assert sum(vote is not None for vote in explorer.edges["vote"]) == 3
    about = ndg.render(chain(), tmp_path / "g.csv", target="label:1").read_text()
    assert len(about.splitlines()) == 2
