"""The explorer of a graph: its columns, its layout, and a page that asks for nothing and runs its own script alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

import ndg
from benchmarks.graph import random_graph
from ndg.report.explorer import page as pages
from ndg.report.explorer.layout import HEIGHT, WIDTH, places
from ndg.report.explorer.table import tabulate

HOSTILE = '</script><img src=x onerror="window.hacked=1">\n"\\ -->digraph{' + "x" * 200


def embedded(text: str) -> dict:
    """The JSON of a page, as a browser reads it."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_every_class_and_edge_of_the_graph_is_in_the_table(planted):
    dag, table = planted.to_networkx(flat=False), tabulate(planted)
    keys = [texts[0] for texts in table.classes["texts"]]
    assert keys == list(dag)
    assert table.classes["texts"] == [dag.nodes[key]["members"] for key in keys]
    ends = {(keys[tail], keys[head]) for tail, head in zip(table.edges["tail"], table.edges["head"], strict=True)}
    assert ends == set(dag.edges)
    for place, (tail, head) in enumerate(zip(table.edges["tail"], table.edges["head"], strict=True)):
        row = dag.edges[keys[tail], keys[head]]
        assert table.edges["precision"][place] == pytest.approx(row["precision"], rel=1e-5)
        assert table.edges["exceptions"][place] == row["exceptions"]
    essential = {ends for ends, kept in zip(
        ((keys[tail], keys[head]) for tail, head in zip(table.edges["tail"], table.edges["head"], strict=True)),
        table.edges["essential"], strict=True,
    ) if kept}  # fmt: skip
    assert essential == set(planted.reduction())


def test_the_mirror_of_a_class_holds_the_negations(planted):
    table = tabulate(planted)
    for place, mirror in enumerate(table.classes["mirror"]):
        negations = {str(planted.nodes.text(~planted.literal(text))) for text in table.classes["texts"][place]}
        assert negations == {str(planted.nodes.text(planted.literal(text))) for text in table.classes["texts"][mirror]}


def test_the_columns_have_one_length_and_labels_are_the_last_layer(planted):
    table = tabulate(planted)
    assert {len(column) for column in table.classes.values()} == {planted.to_networkx(flat=False).number_of_nodes()}
    assert len({len(column) for column in table.edges.values()}) == 1
    assert table.layers == ("first", "second", "label")


def test_boxes_do_not_overlap_and_bands_stand_apart():
    rng = np.random.default_rng(0)
    band = rng.integers(0, 3, 300)
    tails, heads = rng.integers(0, 300, (2, 900))
    centres, left = places(band, tails, heads)
    apart = np.abs(centres[:, None] - centres[None]) + 1e-9 >= np.array([WIDTH, HEIGHT])
    assert (apart.any(axis=2) | np.eye(300, dtype=bool)).all()
    ends = [(centres[band == number, 0].min(), centres[band == number, 0].max()) for number in range(3)]
    assert all(here[1] < there[0] for here, there in pairwise(ends))
    assert (np.diff(left) > 0).all()


def test_neighbours_stand_at_like_heights():
    """Two bands joined like with like: sorted by their neighbours, no two edges cross."""
    rng = np.random.default_rng(0)
    order = rng.permutation(20)
    band = np.repeat([0, 1], 20)
    centres, _ = places(band, np.arange(20), 20 + order)
    first, second = centres[:20, 1], centres[20 + order, 1]
    assert (np.argsort(first) == np.argsort(second)).all()


def test_the_page_asks_for_nothing_and_allows_its_own_script_alone(planted, tmp_path):
    text = ndg.explore(planted, tmp_path / "graph").read_text(encoding="utf-8")
    assert (tmp_path / "graph.html").is_file()
    assert planted.explore(tmp_path) == tmp_path / "explorer.html"
    assert not re.search(r"https?://|url\(|@import|<link|<iframe|fetch\(|XMLHttp|WebSocket", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in text
    assert "default-src 'none'" in text
    assert embedded(text) == json.loads(json.dumps(tabulate(planted).to_dict()))


def test_hostile_names_stay_data(planted):
    text = pages.page(tabulate(planted.with_class_names([HOSTILE, "b", "c", "d"]), title=HOSTILE))
    assert text.count("<script") == 2
    assert "<img" not in text
    assert any(HOSTILE in member for members in embedded(text)["classes"]["members"] for member in members)


@pytest.mark.parametrize("implications", [0, 1])
def test_a_graph_without_edges_or_with_few_has_a_page(planted, implications):
    few = planted.filter(min_support=10**6) if not implications else planted.subgraph(["second"])
    table = tabulate(few)
    assert len(table.edges["tail"]) == few.to_networkx(flat=False).number_of_edges()
    assert embedded(pages.page(table))["classes"]["x"] == table.classes["x"]


def test_of_a_huge_graph_the_most_precise_edges_are_there_and_the_page_says_so(monkeypatch):
    graph = random_graph(30, 200)
    monkeypatch.setattr("ndg.report.explorer.table.MOST_EDGES", 50)
    table = tabulate(graph)
    dag = graph.to_networkx(flat=False)
    left = dag.number_of_edges() - 50
    assert f"{left:,} others are not" in table.left_out
    assert table.left_out in pages.page(table)
    least = sorted(nx.get_edge_attributes(dag, "precision").values(), reverse=True)[49]
    assert min(table.edges["precision"]) >= least - 1e-5
