"""Text is escaped for the place it goes to: terminal, CSV, SVG, DOT."""

import ast
import csv
import io
import json
import re
import unicodedata
from contextlib import suppress
from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pandas as pd
import pygraphviz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import escape, runs
from ndg.cli import main
from ndg.config import Experiment
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from ndg.progress import log
from ndg.report import dot, engine
from ndg.report.chart import Chart
from ndg.report.drawing import draw
from ndg.report.html import inline
from ndg.report.tables import Column, Table
from tests.house import ROOT
from tests.references.graph_cases import implications

ESC = "\x1b[2J\x07\x9b\x7f\u202e"
NAMES = [
    "plain",
    'say "hi"',
    "<b>&</b>",
    "&nbsp; &amp; &#x0;",
    "]]> --> <!--",
    "back\\",
    'back\\"slash',
    "\\N\\G\\l",
    "line\nbreak\ttab\rreturn",
    "nul\x00",
    ESC,
    "a:b/c",
    "a/b:c",
    "100%",
    "猫 é \u200d\U0001f431",
    "digraph",
    '"',
    "{|}",
    "\ufffe\uffff",
    "=1+1",
]


def raw(text: str) -> list[str]:
    """Control characters of a text but line breaks and tabs."""
    return [c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"]


def named(layer: str, concept: str) -> NDG:
    nodes = NodeSpace(2, (LayerUnits(layer, 3),), (concept,))
    edges = [(nodes.literal(p).code, nodes.index(q) * 2 + 1) for p, q in [("label:0", f"{layer}:0")]]
    edges += [(2 * nodes.index(f"{layer}:1") + 1, 2 * nodes.index(f"concept:{concept}") + 1)]
    edges += [(2 * nodes.index(f"{layer}:2") + 1, 2 * nodes.index(f"{layer}:1") + 1)]
    return NDG(implications(np.random.default_rng(0).random((40, len(nodes))) < 0.5, nodes, edges))


@given(st.text())
def test_a_terminal_gets_no_control_characters_and_all_else(text):
    shown = escape.printable(text)
    assert not raw(shown)
    assert escape.printable(shown) == shown
    assert not raw(escape.one_line(text))
    assert "\n" not in escape.one_line(text)
    if not raw(text) and not re.search("[\u2028-\u202e\u2066-\u2069\ufffe\uffff]", text):
        assert shown == text


def test_commands_print_no_control_characters(tmp_path, capsys):
    with runs.start(None, "train", Experiment(name="x"), tmp_path) as run:
        run.result("said", {"by": f"a{ESC}b"})
    with runs.open(tmp_path / "ndg.db") as book:
        book.note(run.id, f"notes{ESC}")
        assert not raw(repr(book))
    where = ["--runs", str(tmp_path)]
    log.propagate, before = True, log.propagate
    for words in (["show", "last"], ["runs"], ["show", f"no{ESC}"], ["train", f"no{ESC}"], [f"no{ESC}"], ["runs", ESC]):
        with suppress(SystemExit):
            main([*words, *(where if len(words) > 1 else [])])
        out, err = capsys.readouterr()
        assert out + err
        assert not raw(out + err), words
    log.propagate = before


def test_commands_print_by_say_alone():
    printing = []
    for path in [ROOT / "ndg" / "cli.py", *sorted((ROOT / "ndg" / "commands").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printing.append((path.name, "printable(" in ast.unparse(node)))
    assert printing == [("cli.py", True), ("cli.py", True), ("shared.py", True)]


def test_tables_for_people_have_no_control_characters():
    columns = {"a": Column(f"head{ESC}", left=True)}
    table = Table.of(f"title{ESC}", columns, [{"a": f"cell{ESC}\nline"}], note=f"note{ESC}")
    assert not raw(table.text())
    assert "cell [2J" in table.text()
    assert not raw(table.html())
    assert not raw(named("fc", ESC).rules())


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_cells_of_csv_that_look_like_formulas_are_text(start):
    value = f'{start}HYPERLINK("x")'
    frame = pd.DataFrame({"text": [value, "plain"], "number": [-1.5, 2.0], value: [True, None]})
    rows = list(csv.reader(io.StringIO(escape.csv(frame), newline="")))
    assert rows[1][:2] == [f"'{value}", "-1.5"]
    assert rows[2][:2] == ["plain", "2.0"]
    assert rows[0] == ["text", "number", f"'{value}"]
    if start != "\r":  # pandas leaves it unquoted
        assert escape.csv(frame, raw=True) == frame.to_csv(index=False)


@pytest.mark.parametrize("text", ["a\rb", "\r", "a\r", "a\r\nb", 'a\r"b', "a,\rb"])
@pytest.mark.parametrize("raw", [False, True])
def test_a_carriage_return_in_a_cell_of_csv_is_quoted(text, raw):
    guarded = text if raw else escape.cell(text)
    for frame in (pd.DataFrame({"text": [text, "plain"], "n": [1.5, None]}), pd.DataFrame({text: ["x"]})):
        rows = list(csv.reader(io.StringIO(escape.csv(frame, raw), newline=""), strict=True))
        assert len(rows) == 1 + len(frame)
        assert guarded in (rows[1][0], rows[0][0])


def test_the_table_of_a_graph_guards_its_cells_unless_raw():
    graph = named("=cmd|' /C calc'!A0", "x")
    for text, start in ((graph.to_csv(), "'=cmd"), (graph.to_csv(raw=True), "=cmd")):
        frame = pd.read_csv(io.StringIO(text))
        assert any(value.startswith(start) for value in frame.antecedent)
        assert frame.precision.dtype == float
    assert (
        pd.read_csv(io.StringIO(graph.to_csv(raw=True))).antecedent.tolist() == graph.edges_frame().antecedent.tolist()
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_any_name_is_well_formed(name):
    graph = named(name, name).with_class_names([name, "other"])
    drawing = draw(graph, title=name)
    svg = engine.picture(dot.source(drawing), "svg").decode()
    ElementTree.fromstring(svg)
    ElementTree.fromstring(inline(svg, "p0-")[0])
    texts = "".join(ElementTree.fromstring(svg).itertext())
    assert not raw(texts)
    if re.fullmatch(r"[\w <>&/;]+", name):
        assert name in texts.replace("\xa0", " ")
    ElementTree.fromstring(Chart(name, name, name, {name: [(0.0, 0.5), (1.0, 1.0)]}).svg())


@pytest.mark.parametrize("name", NAMES)
def test_the_source_of_a_picture_of_any_name_is_read_back(name):
    graph = named(name, name).with_class_names([name, "other"])
    drawing = draw(graph)
    read = pygraphviz.AGraph(string=dot.source(drawing))
    assert len({dot._identifier(node.key) for node in drawing.nodes}) == len(drawing.nodes)
    assert {dot._identifier(node.key) for node in drawing.nodes} <= set(map(str, read.nodes()))


def back(graph: NDG) -> NDG:
    """The graph that Graphviz reads from its DOT."""
    read, found = pygraphviz.AGraph(string=graph.to_dot()), nx.DiGraph()
    for node in read.nodes_iter():
        found.add_node(str(node), **{key: value for key, value in node.attr.to_dict().items() if value})
    for edge in read.edges_iter():
        found.add_edge(*map(str, edge), **{key: value for key, value in edge.attr.to_dict().items() if value})
    facts = json.loads(graph.to_dot().split("\n", 1)[0].removeprefix("// "))
    found.graph.update(nodes=facts["nodes"], constants=facts["constants"])
    return NDG.from_networkx(found)


@given(st.one_of(st.sampled_from(NAMES), st.text('\\"\n\r<>&;~:/% é\x00\x1b', min_size=1, max_size=6)))
@settings(max_examples=30, deadline=None)
def test_dot_of_any_name_is_read_back(name):
    if name.startswith(("~", "label:", "concept:")):
        return
    graph = named(name, name)
    assert back(graph).reduction() == graph.reduction()
