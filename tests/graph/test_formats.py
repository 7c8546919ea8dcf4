"""Export formats: reading back gives the same graph, streaming the same text."""

import io
import json
import os
import sys

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import atomic
from ndg.errors import GraphError, MissingPackageError, OutputError
from ndg.escape import undot
from ndg.graph import edges, export
from ndg.graph.export import flat, unflat
from ndg.graph.formats import EXPORTS
from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from tests.references.graph_cases import drawn, graphs, implications, mined, oddly_named, space


class Scores:
    method, measure = "integrated g-ndi", "logits"

    def by_node(self, space):
        return {node: 0.1 * node for node in range(space.labels, space.labels + space.neurons)}


GRAPHS = {
    "drawn": drawn,
    "oddly named": oddly_named,
    "scored": lambda: drawn().with_scores(Scores()),
    "without implications": lambda: NDG(implications(np.ones((3, 4), bool), space(4, 1), [])),
    "constants only": lambda: NDG(implications(np.ones((3, 2), bool), space(2, 1), [], {0, 1})),
    "without figures": lambda: NDG(implications(np.zeros((4, 2), bool), space(2, 0), [(3, 1)])),
}
CONDENSED = ["json", "graphml", "gexf", "dot"]


def exported(graph: NDG, form: str) -> bytes:
    return b"".join(p if isinstance(p, bytes) else p.encode() for p in EXPORTS[form](graph.condensed()))


def read(form: str, content: bytes):
    """Nodes and edges with attributes, read from a file."""
    match form:
        case "json":
            found = nx.node_link_graph(json.loads(content), edges="edges")
        case "graphml":
            found = nx.read_graphml(io.BytesIO(content))
        case "gexf":
            found = nx.read_gexf(io.BytesIO(content))
            for attributes in found.nodes.values():
                assert attributes.pop("label")
            for attributes in found.edges.values():
                del attributes["id"]
        case "dot":
            pygraphviz = pytest.importorskip("pygraphviz")
            drawing = pygraphviz.AGraph(string=content.decode())
            found = nx.DiGraph()
            for node in drawing.nodes_iter():
                row = {name: undot(value) for name, value in node.attr.to_dict().items() if value}
                found.add_node(undot(str(node)), **row)
            for edge in drawing.edges_iter():
                row = {name: undot(value) for name, value in edge.attr.to_dict().items() if value}
                found.add_edge(*(undot(str(end)) for end in edge), **row)
    return dict(found.nodes(data=True)), {ends: found.edges[ends] for ends in found.edges}


def expected(form: str, graph: NDG):
    """Graph of `to_networkx`, as the format writes it."""
    whole = graph.to_networkx(flat=False)
    nodes, edges = dict(whole.nodes(data=True)), {ends: dict(whole.edges[ends]) for ends in whole.edges}
    if form == "json":
        return nodes, edges
    nodes, edges = ({key: flat(row) for key, row in rows.items()} for rows in (nodes, edges))
    if form in ("gexf", "dot"):
        nodes = {key: {{"label": "is_label"}.get(name, name): row[name] for name in row} for key, row in nodes.items()}
    if form == "dot":
        text = lambda row: {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in row.items()}  # noqa: E731
        nodes, edges = ({key: text(row) for key, row in rows.items()} for rows in (nodes, edges))
    return nodes, edges


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("form", CONDENSED)
def test_a_format_reads_back_with_the_keys_and_attributes_of_networkx(form, name):
    graph = GRAPHS[name]()
    assert read(form, exported(graph, form)) == expected(form, graph)


@given(st.one_of(graphs(), mined().map(lambda case: case[0])))
@settings(max_examples=20, deadline=None)
def test_any_graph_reads_back(graph):
    for form in ("json", "graphml", "gexf"):
        assert read(form, exported(graph, form)) == expected(form, graph)


def test_facts_of_the_graph_lie_in_each_file():
    graph = oddly_named()
    facts = graph.to_networkx(flat=False).graph
    assert nx.node_link_graph(json.loads(graph.to_json()), edges="edges").graph == facts
    document = json.loads(graph.to_json())
    assert (document["format"], document["schema"]) == ("ndg-condensed", 1)
    found = nx.read_graphml(io.BytesIO(exported(graph, "graphml"))).graph
    assert json.loads(found["nodes"]) == facts["nodes"]
    assert (json.loads(found["criterion"]), found["examples"], found["digest"]) == ({"name": "given"}, 50, graph.digest)
    assert graph.digest in graph.to_gexf()
    assert graph.digest in graph.to_dot()


@pytest.mark.parametrize("name", GRAPHS)
def test_tables_read_back_as_the_frame_of_edges(name):
    graph = GRAPHS[name]()
    frame = graph.edges_frame()
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(exported(graph, "csv"))), frame, check_dtype=False)

    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(exported(graph, "parquet")))
    assert json.loads(table.schema.metadata[b"ndg"]) == graph.to_networkx(flat=False).graph
    pd.testing.assert_frame_equal(table.to_pandas(), frame, check_dtype=False)
    assert table.schema.field("antecedent").type in (pyarrow.string(), pyarrow.large_string())


@pytest.mark.parametrize("form", EXPORTS)
def test_a_streamed_file_holds_what_is_returned_however_small_its_parts(form, tmp_path, monkeypatch):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    graph = oddly_named()
    method = getattr(graph, f"to_{form}")
    whole = exported(graph, form)
    assert method(tmp_path / "new" / f"x.{form}") == tmp_path / "new" / f"x.{form}"
    assert (tmp_path / "new" / f"x.{form}").read_bytes() == whole
    assert os.listdir(tmp_path / "new") == [f"x.{form}"]
    if form == "parquet":
        return
    assert method().encode() == whole
    monkeypatch.setattr(export, "AT_ONCE", 2)
    monkeypatch.setattr("ndg.graph.formats.table.AT_ONCE", 3)
    assert method().encode() == whole


@pytest.mark.parametrize("form", EXPORTS)
def test_a_disk_that_fills_leaves_the_old_file(form, tmp_path, monkeypatch):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    path = atomic.write(tmp_path / "file", "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        getattr(drawn(), f"to_{form}")(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_parquet_without_pyarrow_names_the_package_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"pip install '.*\[parquet\]'"):
        drawn().to_parquet(tmp_path / "edges.parquet")
    assert not list(tmp_path.iterdir())


def test_parts_of_the_graph_have_the_classes_asked_for_and_what_is_among_them():
    graph = drawn()
    some = {"a:0", "a:1", "a:2", "label:1"}
    part = export.to_networkx(graph.condensed(some))
    whole = graph.to_networkx(flat=False).subgraph(some)
    assert dict(part.nodes(data=True)) == dict(whole.nodes(data=True))
    assert {ends: part.edges[ends] for ends in part.edges} == {ends: whole.edges[ends] for ends in whole.edges}
    table = pd.concat(edges.frames(graph.implications, 2, graph.condensed(some).edge_rows()))
    assert set(zip(table.antecedent, table.consequent, strict=True)) == {
        ("a:0", "a:1"), ("a:2", "a:3"), ("a:3", "a:2"), ("a:3", "label:1"),
    }  # fmt: skip


def test_figures_without_a_value_are_null_in_json_and_absent_in_xml():
    graph = GRAPHS["without figures"]()
    assert '"precision": null' in graph.to_json()
    back = nx.parse_graphml(graph.to_graphml())
    assert "precision" not in back.edges["b:0", "a:0"]
    assert back.edges["~a:0", "~b:0"]["precision"] == 1


@given(st.lists(st.text(min_size=1)))
def test_lists_of_texts_come_back_from_one_text(texts):
    assert unflat(flat({"members": texts})["members"]) == texts


def named(concept: str) -> NDG:
    return NDG(implications(np.ones((3, 2), bool), NodeSpace(0, (LayerUnits("a", 1),), (concept,)), [(1, 3)]))


@given(st.text(min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_name_of_a_concept_comes_back_or_is_refused(concept):
    graph = named(concept)
    for form in ("json", "graphml", "gexf"):
        try:
            content = exported(graph, form)
        except (GraphError, UnicodeEncodeError):
            continue
        assert read(form, content) == expected(form, graph)


@given(st.text('\\"\n<>&;~: é', min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_quotes_and_backslashes_come_back_from_dot(concept):
    graph = named(concept)
    assert read("dot", exported(graph, "dot")) == expected("dot", graph)


@pytest.mark.parametrize("concept", ["a\\", 'a\\"b', "a\x00b", "a\\\nb"])
def test_what_dot_cannot_quote_comes_back_from_json_text(concept):
    graph = named(concept)
    assert read("dot", exported(graph, "dot")) == expected("dot", graph)
    assert '"\\"concept:a' in graph.to_dot()


@pytest.mark.parametrize(
    ("form", "concept", "message"),
    [
        ("graphml", "a\x07", r"XML cannot hold the control character '\\x07' in '~?concept:a\\x07'; rename it, or"),
        ("gexf", "a\x07", r"XML cannot hold the control character"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_writes_nothing(form, concept, message, tmp_path):
    with pytest.raises(GraphError, match=message):
        getattr(named(concept), f"to_{form}")(tmp_path / "file")
    assert not list(tmp_path.iterdir())
