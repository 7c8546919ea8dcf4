"""In Python: short, named representations, results that fit a cell, exported types, real parameters in `help()`."""

import inspect
import pydoc
import re

import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg import runs
from ndg.abstraction.trial import TrialSettings
from ndg.config import Experiment
from ndg.graph.closure import Closure
from ndg.importance.scores import Scores
from ndg.options import RunOptions
from ndg.results import Result
from tests.references.graph_cases import drawn

SERIAL = RunOptions(executor="serial")
CELL = 45
"""Rows that fit the cell of a notebook."""
TYPES = ("TrialResult", "EdgeTrials", "Explanation", "InterchangeResult", "MinimalResult", "GraphStats", "HeldOut")


def rows(page: str) -> int:
    """Rows of the tables, lines of the texts, of a page without what is folded."""
    page = re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    return page.count("<tr") + page.count("\n") + page.count("<p>")


@pytest.fixture(scope="module")
def values():
    """What the functions of `ndg` return of one small network."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 40), nn.Sigmoid(), nn.Linear(40, 3))
    inputs = torch.randn(200, 6)
    loader = [(inputs, net(inputs).argmax(1))]
    bits = ndg.extract(net, loader, ["1"], options=SERIAL)
    graph = ndg.mine(bits, alpha=2.0, options=SERIAL)
    how = {"fit": loader, "options": SERIAL}
    return {
        "bits": bits,
        "graph": graph,
        "implications": graph.implications,
        "closure": graph.closure("label:0"),
        "scm": graph.scm(),
        "stats": graph.stats(),
        "held out": graph.held_out(bits),
        "trial": ndg.trial(net, graph, loader, settings=TrialSettings(curve=True), **how),
        "trials": ndg.trials(net, graph, loader, ["Q", "G.2"], **how),
        "edges": ndg.try_edges(net, graph, loader, **how),
        "explanation": ndg.explain(net, graph, inputs[:1], **how),
        "scores": ndg.score(net, loader, ["0", "1"], "ablation", options=SERIAL),
    }


@pytest.mark.slow
def test_representations_are_short_and_name_what_they_hold(values):
    for name, value in values.items():
        parts = list(value.values()) if isinstance(value, dict) else [value]
        for part in parts:
            shown = repr(part)
            assert len(shown) < 300, name
            assert "\n" not in shown, name
            assert "array(" not in shown, name
            assert shown.startswith(f"{type(part).__name__}("), name


@pytest.mark.slow
def test_pages_of_results_fit_a_cell(values):
    for name, value in values.items():
        if hasattr(value, "_repr_html_"):
            assert rows(value._repr_html_()) <= CELL, name


def test_a_closure_names_its_literals():
    graph = drawn()
    assert repr(graph.closure("a:0")) == "Closure(3 literals: label:0, a:0, a:1)"
    assert repr(graph.closure("¬label:0")) == "Closure(3 literals: ~label:0, ~a:0, ~a:1)"
    everything = graph.closure(graph.nodes.nodes())
    names = "label:0, label:1, a:0, a:1, a:2, a:3, a:4, b:0, b:1, b:2"
    assert repr(everything) == f"Closure(12 literals: {names} and 2 more)"
    assert repr(Closure(np.array([False, True]))) == "Closure(1 literals: Literal(node=0, value=True))"


def test_a_closure_takes_the_literals_that_it_and_pictures_print():
    graph = drawn()
    closure = graph.closure("¬label:0")
    printed = repr(closure).split(": ", 1)[1].rstrip(")").split(", ")
    assert graph.closure(printed) == closure == graph.closure(text.replace("~", "¬") for text in printed)


def test_scores_of_many_layers_fit_a_cell():
    values = {f"layer {number}": np.arange(50.0) for number in range(40)}
    scores = Scores("gndi", values, dict.fromkeys(values, 1.0), "all logits", "zero", 10)
    page = scores._repr_html_()
    assert rows(page) <= CELL
    assert "and 48 more of layer 0" in page
    assert "and 30 more layers" in page
    assert repr(scores).startswith("Scores(gndi of 2000 units in logits, mean over 10 examples")
    assert len(repr(scores)) < 300


def test_a_result_in_the_making_has_a_representation():
    assert repr(object.__new__(Scores)) == "Scores(…)"
    assert all(kind.__repr__ is Result.__repr__ for kind in (ndg.TrialResult, ndg.Explanation, ndg.GraphStats))


def test_runs_fit_a_cell(tmp_path):
    with runs.start(None, "train", Experiment(name="x"), tmp_path) as run:
        run.result("many", {f"figure {number}": number for number in range(300)})
        for epoch in range(50):
            run.metric({"epoch": epoch, "loss": 1.0})
    with runs.open(tmp_path / "ndg.db") as book:
        record = book.get()
        assert len(repr(record)) < 120
        page = record._repr_html_()
        assert "… 270 more" in page
        assert rows(page) <= 60
        assert rows(book._repr_html_()) <= CELL


def test_types_of_results_are_exported():
    for name in (*TYPES, "Scores", "Closure", "SCM", "RunRecord", "TrainResult", "Experiment", "Implications"):
        assert inspect.isclass(getattr(ndg, name)), name
    annotated = {
        name: getattr(ndg, name) for name in ("trial", "score", "explain", "minimal", "interchange", "try_edges")
    }
    for name, function in annotated.items():
        assert hasattr(ndg, str(inspect.signature(function).return_annotation)), name


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("render", ["graph", "path", "scores", "target", "max_nodes", "class_names", "title", "options"]),
        ("train", ["experiment", "splits", "folder", "device", "resume", "on_epoch"]),
        ("trial", ["model", "graph", "loader", "intervention", "fit", "settings", "options", "cache"]),
    ],
)
def test_help_shows_real_parameters(name, parameters):
    function = getattr(ndg, name)
    text = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert list(inspect.signature(function).parameters) == parameters
    for parameter in parameters:
        assert parameter in text.split("->")[0]


@pytest.mark.slow
def test_the_frame_of_a_result_shows_the_parameters_of_its_rows(values):
    for kind, names in ((ndg.TrialResult, ["self", "by"]), (ndg.EdgeTrials, ["self", "how", "at_least"])):
        assert list(inspect.signature(kind.frame).parameters) == names
        assert inspect.getdoc(kind.frame) == inspect.getdoc(Result.frame)
    assert set(ndg.TrialResult.frame(values["trial"], by="true").columns) >= {"true", "aligned"}
