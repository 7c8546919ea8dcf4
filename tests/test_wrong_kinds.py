"""A wrong kind of argument to a public function ends in an error of ndg, whatever it is."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

import ndg
from ndg.compression import CompressSettings
from ndg.errors import NDGError

INPUTS, LABELS = torch.randn(24, 6, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3
DATA = [(INPUTS, LABELS)]
SERIAL = ndg.RunOptions(executor="serial")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


NET = network()
BITS = ndg.extract(NET, DATA, layers=["1"], options=SERIAL)
GRAPH = ndg.mine(BITS, "confidence", confidence=0.6, support=2)
SCORES = ndg.score(NET, DATA, ["1"])
HYBRIDS = ndg.recombine(NET, DATA, "1", n=400, options=SERIAL)
EXPERIMENT = ndg.load_config({"name": "wrong", "data": {"name": "iris"}})

WRONG = [
    None, 3, -1, True, 2.5, float("nan"), "nonsense", b"bytes", [], [3], {}, {"a": 1}, object(), INPUTS, INPUTS.numpy(),
    np.array(["a"]), NET, GRAPH, BITS, DATA, DATA[0], [{"x": INPUTS}], SERIAL, SCORES, EXPERIMENT, Path("nowhere"),
    torch.device("meta"), nn.Linear, len,
]  # fmt: skip

STUDY = {"model": NET, "graph": GRAPH, "loader": DATA, "fit": DATA, "options": SERIAL}
FUNCTIONS: dict[str, dict[str, Any]] = {
    "extract": {"model": NET, "loader": DATA, "layers": ["1"], "settings": ndg.ReadingSettings(), "options": SERIAL}
    | {"like": None, "file": None},
    "score": {"model": NET, "loader": DATA, "layers": ["1"], "method": "gndi", "target": None, "options": SERIAL}
    | {"settings": ndg.ScoreSettings()},
    "mine": {"bits": BITS, "criterion": "confidence", "pairs": "all", "max_edges": None, "provenance": None}
    | {"confidence": 0.6, "support": 2, "options": SERIAL},
    "sweep": {"bits": BITS, "criteria": [2.0], "pairs": "all", "max_edges": None, "options": SERIAL},
    "trial": {**STUDY, "intervention": "Q", "settings": ndg.TrialSettings()},
    "trials": {**STUDY, "interventions": ["Q"], "settings": ndg.TrialSettings()},
    "try_edges": {**STUDY, "layers": None, "settings": ndg.EdgeSettings()},
    "interchange": {name: STUDY[name] for name in ("model", "graph", "loader", "options")}
    | {"base": None, "source": None, "settings": ndg.InterchangeSettings()},
    "minimal": {**STUDY, "settings": ndg.MinimalSettings(budget=10)},
    "explain": {name: STUDY[name] for name in ("model", "graph", "fit", "options")}
    | {"example": INPUTS[:1], "reference": DATA, "settings": ndg.ExplainSettings(budget=10)},
    "render": {"graph": GRAPH, "path": "graph.dot", "scores": None, "target": None, "max_nodes": 20, "title": None}
    | {"class_names": None, "layout": None, "timeout": 5.0, "raw_csv": False},
    "examples": {"model": NET, "loader": DATA, "of": "1:0", "like": GRAPH, "most": 2, "words": None, "options": SERIAL},
    "plot": {"graph": GRAPH, "ax": None, "target": None, "max_nodes": 20, "layout": None, "timeout": 5.0},
    "explore": {"graph": GRAPH, "path": "graph.html", "scores": None, "title": None, "examples": ()},
    "recombine": {"model": NET, "loader": DATA, "layer": "1", "mode": "mix", "n": 30, "like": None}
    | {"settings": ndg.ReadingSettings(), "options": SERIAL},
    "votes": {"hybrids": HYBRIDS, "layer": None, "per_label": None, "edges": None, "l1": 1e-4, "integers": False},
    "certify": {"model": NET, "graph": GRAPH, "loader": DATA, "layer": "1", "members": ["1:0"], "label": 0}
    | {"settings": ndg.causal.CertifySettings(nodes=64), "options": SERIAL},
    "compress": {"model": NET, "loader": DATA, "units": 0.25, "flops": None, "agreement": None, "method": "obs"}
    | {"settings": CompressSettings(validation=4), "options": SERIAL},
    "load_model": {"folder": "nowhere", "name": "model.safetensors"},
    "load_config": {"source": {}, "overrides": []},
    "train": {"experiment": EXPERIMENT, "splits": None, "folder": "folder", "device": "cpu"},
}
"""Right arguments of each public function; one of them at a time is wrong."""

METHODS: dict[str, tuple[str, ...]] = {
    "closure": ("literals",), "closures": ("marked",), "descendants": ("literal",), "ancestors": ("literal",),
    "literal": ("literal",), "key": ("literal",), "with_class_names": ("names",), "with_scores": ("scores",),
    "with_verdicts": ("trials",), "causal": ("at_least",), "evaluate": ("bits",), "held_out": ("bits",),
    "precisions": ("bits",),
    "stats": ("bits",), "filter": ("min_precision", "min_support", "min_recall", "layers"), "subgraph": ("layers",),
    "with_conjunctions": ("conjunctions",), "with_votes": ("votes",),
    "rules": ("limit",), "save": ("path",), "load": ("path",), "from_networkx": ("graph",), "to_json": ("path",),
    "to_graphml": ("path",), "to_gexf": ("path",), "to_dot": ("path",), "to_csv": ("path",), "to_parquet": ("path",),
    "explore": ("path",), "plot": ("ax",),
}  # fmt: skip
"""Arguments of the public methods of a graph."""

WITHOUT = {
    "condensed",
    "conjunctions_frame",
    "derived",
    "edges_frame",
    "votes_frame",
    "reduction",
    "scm",
    "to_networkx",
}
"""Methods without an argument of their own, or that other parts of ndg call."""

SETTINGS: list[tuple[type, Callable[..., Any]]] = [
    (ndg.RunOptions, lambda options: ndg.score(NET, DATA, ["1"], "ablation", options=options)),
    (ndg.RunOptions, lambda options: ndg.extract(NET, DATA, ["1"], options=options)),
    (ndg.ReadingSettings, lambda settings: ndg.extract(NET, DATA, ["1"], settings=settings, options=SERIAL)),
    (ndg.ScoreSettings, lambda settings: ndg.score(NET, DATA, ["1"], "conductance", settings=settings, options=SERIAL)),
    (ndg.TrialSettings, lambda settings: ndg.trial(NET, GRAPH, DATA, fit=DATA, settings=settings, options=SERIAL)),
    (ndg.EdgeSettings, lambda settings: ndg.try_edges(NET, GRAPH, DATA, fit=DATA, settings=settings, options=SERIAL)),
    (ndg.InterchangeSettings, lambda settings: ndg.interchange(NET, GRAPH, DATA, settings=settings, options=SERIAL)),
    (ndg.MinimalSettings, lambda settings: ndg.minimal(NET, GRAPH, DATA, fit=DATA, settings=settings, options=SERIAL)),
    (
        ndg.ExplainSettings,
        lambda settings: ndg.explain(
            NET, GRAPH, INPUTS[:1], reference=DATA, fit=DATA, settings=settings, options=SERIAL
        ),
    ),
]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Files go to a folder of the test, and users run without the type checker of the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def raw_errors(call: Callable[..., Any], values: list[Any]) -> list[str]:
    """Exceptions that are none of ndg's, and the values that raised them."""
    raw = []
    for value in values:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call(value)
        except NDGError as error:
            raw += [] if "; " in f"{error}" else [f"no next step: {error}"]
        except Exception as error:
            raw.append(f"{type(value).__name__} {value!r:.30}: {type(error).__name__}: {error!s:.120}")
    return raw


def test_every_public_function_and_method_is_tried():
    functions = {name for name in ndg.__all__ if inspect.isfunction(getattr(ndg, name))}
    assert functions == set(FUNCTIONS)
    methods = {name for name, part in inspect.getmembers(ndg.NDG) if inspect.isroutine(part) and name[0] != "_"}
    methods -= {name for name, part in vars(ndg.NDG).items() if hasattr(part, "func")}  # cached properties
    assert methods == METHODS.keys() | WITHOUT
    assert all(len(inspect.signature(getattr(ndg.NDG, name)).parameters) <= 4 for name in WITHOUT)


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name, arguments in FUNCTIONS.items() for argument in arguments]
)
def test_a_wrong_argument_of_a_public_function_is_an_error_of_ndg(name: str, argument: str):
    def call(value: Any) -> None:
        getattr(ndg, name)(**{**FUNCTIONS[name], argument: value})

    assert raw_errors(call, WRONG) == []


@pytest.mark.parametrize(("name", "argument"), [(name, each) for name, several in METHODS.items() for each in several])
def test_a_wrong_argument_of_a_method_of_a_graph_is_an_error_of_ndg(name: str, argument: str):
    method = getattr(GRAPH, name)
    assert raw_errors(lambda value: method(**{argument: value}), WRONG) == []


@pytest.mark.parametrize("open_file", [ndg.BitMatrix.open, ndg.NDG.load, ndg.load_model, ndg.load_config])
def test_what_is_no_path_is_an_error_of_ndg(open_file):
    assert raw_errors(open_file, WRONG) == []


@pytest.mark.parametrize(
    ("kind", "study", "field"),
    [
        pytest.param(kind, study, field.name, id=f"{kind.__name__}-{number}-{field.name}")
        for number, (kind, study) in enumerate(SETTINGS)
        for field in fields(kind)
        if not (kind is ndg.RunOptions and field.name in ("ray_address", "timeout"))
    ],
)
def test_a_wrong_setting_is_an_error_of_ndg(kind: type, study: Callable[..., Any], field: str):
    assert raw_errors(lambda value: study(kind(**{field: value})), WRONG) == []


@pytest.mark.parametrize("field", ["ray_address", "timeout"])
def test_a_wrong_option_of_ray_is_an_error_of_ndg(field: str):
    values = [value for value in WRONG if not isinstance(value, str)]
    assert raw_errors(partial(_options, field), values) == []


def _options(field: str, value: Any) -> ndg.RunOptions:
    return ndg.RunOptions(**{field: value})
