"""Graph files: round trips, rejected damage, atomic writes."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndg.errors import GraphError
from ndg.graph import files
from ndg.graph.ndg import NDG
from ndg.mining.miner import find
from tests.references.graph_cases import drawn, graphs, mined, oddly_named, pack


@given(st.one_of(graphs(), mined().map(lambda case: case[0])))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_load_of_save_is_the_same_graph(tmp_path, graph):
    loaded = NDG.load(graph.save(tmp_path / "graph.json"))
    assert loaded == graph
    assert loaded.digest == graph.digest
    for name, value in vars(graph.implications).items():
        found = getattr(loaded.implications, name)
        if isinstance(value, np.ndarray):
            assert found.dtype == value.dtype
            assert np.array_equal(found, value, equal_nan=value.dtype == np.float64)
        else:
            assert found == value


def test_thresholds_come_back_to_the_last_bit_and_nan_is_null(tmp_path):
    thresholds = np.array([0.1, np.nan, -np.inf, 1e-300])
    values = np.random.default_rng(0).random((60, 5)) < 0.5
    graph = NDG(find(pack(values, 1, thresholds), alpha=2), {"run": "digits", "accuracy": None})
    path = graph.save(tmp_path / "new" / "graph.json")
    document = json.loads(path.read_text())
    assert document["thresholds"] == [0.1, None, "-inf", 1e-300]
    assert (document["format"], document["schema"]) == ("ndg", 2)
    assert np.array_equal(NDG.load(path).thresholds, thresholds, equal_nan=True)
    assert NDG.load(path).provenance == {"run": "digits", "accuracy": None}
    assert [found.name for found in path.parent.iterdir()] == ["graph.json"]


def test_a_file_of_schema_1_is_read(tmp_path):
    path = drawn().save(tmp_path / "graph.json")
    document = json.loads(path.read_text())
    del document["tests"]
    path.write_text(json.dumps(document | {"schema": 1}))
    assert NDG.load(path) == drawn()


@pytest.mark.parametrize("at_once", [1, 2, 27])
def test_a_file_is_written_in_parts_of_any_size(tmp_path, monkeypatch, at_once):
    whole = oddly_named().save(tmp_path / "whole.json").read_bytes()
    monkeypatch.setattr(files, "AT_ONCE", at_once)
    path = oddly_named().save(tmp_path / "parts.json")
    assert path.read_bytes() == whole
    assert NDG.load(path) == oddly_named()
    assert NDG.load(path).nodes.concepts == oddly_named().nodes.concepts


def test_the_digest_tells_graphs_apart_and_not_their_provenance():
    graph = drawn()
    assert NDG(graph.implications, {"run": 1}).digest == graph.digest
    assert graph.filter(min_precision=0.6).digest != graph.digest
    assert graph != "a graph"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("on"), r"damaged: it has no 'on'"),
        (lambda d: d.update(schema=5), r"reads graphs of schema 1 to 4; .* has schema 5; mine it again, or use the"),
        (lambda d: d.update(schema=4), r"damaged: it has no 'conjunctions'"),
        (lambda d: d.update(conjunctions=[]), r"damaged: it has an entry 'conjunctions', which no graph has"),
        (lambda d: d.pop("tests"), r"damaged: it has no 'tests'"),
        (lambda d: d.update(tests=9), r"damaged: its digest says"),
        (lambda d: d.update(schema=[]), r"has schema \[\]"),
        (lambda d: d.update(format="dot"), r'is no graph: expected "format": "ndg"'),
        (lambda d: d["exceptions"].__setitem__(0, d["exceptions"][0] + 1), r"damaged: .* must come with its contrap"),
        (lambda d: d["on"].__setitem__(0, d["on"][0] + 1), r"damaged: its digest says \w{16}, its content \w{16}"),
        (lambda d: d["antecedents"].pop(), "is damaged: "),
        (lambda d: d["with_label"].pop(), r"damaged: cannot reshape"),
        (lambda d: d["antecedents"].__setitem__(0, 10**12), r"damaged: .*out of bounds"),
        (lambda d: d.update(nodes=[1, 2]), r"damaged: "),
        (lambda d: d.update(constants=["c:1"]), r"damaged: no layer 'c'"),
        (lambda d: d.update(thresholds=["high"]), r"damaged: could not convert"),
    ],
)
def test_a_file_that_is_no_whole_graph_is_refused(tmp_path, change, message):
    path = drawn().save(tmp_path / "graph.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(GraphError, match=message):
        NDG.load(path)


def test_files_cut_short_missing_or_of_another_kind_are_refused(tmp_path):
    path = drawn().save(tmp_path / "graph.json")
    text = path.read_text()
    for cut in (0, 1, len(text) // 2, len(text) - 3):
        path.write_text(text[:cut])
        with pytest.raises(GraphError, match=r"graph.json is damaged: a graph must be one JSON document"):
            NDG.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GraphError, match="is damaged"):
        NDG.load(path)
    path.write_text("[1]")
    with pytest.raises(GraphError, match="is no graph"):
        NDG.load(path)
    with pytest.raises(GraphError, match=r"no graph can be read at .*none.json: No such file"):
        NDG.load(tmp_path / "none.json")


def test_what_is_not_plain_json_is_refused_and_the_old_file_stays(tmp_path):
    graph = drawn()
    path = graph.save(tmp_path / "graph.json")
    before = path.read_bytes()
    for bad in (object(), float("nan")):
        with pytest.raises(GraphError, match="provenance and scores of a graph must be plain JSON"):
            NDG(graph.implications, {"bad": bad}).save(path)
    assert path.read_bytes() == before


def scored():
    """Graph with scores, provenance and no verdicts."""
    scores = {"gndi": {"measure": "logits", "values": {"a:0": 0.5, "b:0": -1.25}}}
    return NDG(drawn().implications, {"run": "first", "filters": [{"min_precision": 0.5}]}, scores)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["scores"]["gndi"]["values"].update({"a:0": 0.75}),
        lambda d: d["scores"]["gndi"].update(measure="loss"),
        lambda d: d["scores"].clear(),
        lambda d: d["provenance"].update(run="second"),
        lambda d: d["provenance"]["filters"].clear(),
        lambda d: d.update(checksum="0" * 32),
        lambda d: d.update(checksum=None),
    ],
)
def test_changed_scores_and_provenance_are_found(tmp_path, change):
    path = scored().save(tmp_path / "graph.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(
        GraphError, match=r"damaged: the checksum of its provenance, scores and verdicts says .*; copy it"
    ):
        NDG.load(path)


FACTS = {"least": 20, "at_least": 0.9, "q": 0.05}
VERDICTS = {"order": [], "how": [], "facts": FACTS, "q_values": {}, "counts": {"n": [], "before": []}}


def test_a_graph_of_an_earlier_version_has_no_checksum_and_is_read(tmp_path):
    path = scored().save(tmp_path / "graph.json")
    document = json.loads(path.read_text())
    del document["checksum"]
    path.write_text(json.dumps(document, indent=2, sort_keys=True))
    assert NDG.load(path).scored == scored().scored
    assert NDG.load(path).save(path) == path
    assert "checksum" in json.loads(path.read_text())
    for change, message in (
        ({"verdict": None}, "it has an entry 'verdict', which no graph has"),
        ({"scores": {"gndi": {"measure": "logits", "values": {"a:0": None}}}}, "scores must be finite numbers"),
        ({"verdicts": {"order": []}}, "it has no 'counts'"),
        (
            {"verdicts": VERDICTS | {"facts": {"least": "x", "at_least": 1, "q": 1}}},
            "the bars of its verdicts",
        ),
        (
            {"verdicts": VERDICTS | {"counts": {"n": 1, "before": []}}},
            "the counts of its verdicts",
        ),
    ):
        path.write_text(json.dumps(document | change))
        with pytest.raises(GraphError, match=f"is damaged: {message}"):
            NDG.load(path)


def test_a_rewritten_document_is_the_same_graph(tmp_path):
    """Other programs may sort keys and add white space; keys that are numbers become texts."""
    graph = NDG(scored().implications, {"by_class": {10: 1, 2: 0.5}}, scored().scored)
    path = graph.save(tmp_path / "graph.json")
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True))
    assert NDG.load(path).provenance == {"by_class": {"10": 1, "2": 0.5}}
