"""Every result of a study has rows, a frame, a plain document, a page and words: all subclasses of `Result`."""

from __future__ import annotations

import importlib
import json
import pkgutil
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import ndg
from ndg import causal, comparison, counterfactual, rotation
from ndg.abstraction.interchange import InterchangeSettings, unfolding
from ndg.abstraction.minimal import MinimalSettings
from ndg.abstraction.trial import TrialSettings
from ndg.comparison.models import PairSettings, inter_layer
from ndg.comparison.sources import controls
from ndg.compression.iterative import IterativePruning
from ndg.compression.iterative import PruneSettings as IterativeSettings
from ndg.efficiency.paths import pathways
from ndg.errors import ShapeError
from ndg.importance.evaluation.agreement import agreement
from ndg.importance.evaluation.scoreboard import BoardSettings, scoreboard
from ndg.importance.experiments.curves import CurveSettings, ablation_curves
from ndg.importance.experiments.filters import FilterSettings, filter_experiment
from ndg.importance.experiments.pruning import PruneSettings, prune
from ndg.importance.fitness import fitness
from ndg.options import RunOptions
from ndg.results import SHOWN, Result
from ndg.rotation.equality import Effort, hierarchical_equality
from ndg.workflows.bases import compare
from ndg.workflows.counterfactual import train_on
from ndg.workflows.efficiency_apply import Applied
from ndg.workflows.smaller import Measured

SERIAL = RunOptions(executor="serial", batch=32)
FIRST, SECOND = "first <1>", "second"
"""A name that pages must escape."""


class Network(nn.Module):
    latent_layer = FIRST

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.wide = nn.Linear(4, 6)
        self.add_module(FIRST, nn.Sigmoid())
        self.narrow = nn.Linear(6, 5)
        self.second = nn.Sigmoid()
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.narrow(self.get_submodule(FIRST)(self.wide(x)))))


@cache
def network(seed: int = 0) -> Network:
    return Network(seed)


@cache
def loader(seed: int = 1):
    """Examples whose true class is what the network predicts, or in part another one."""
    inputs = 3 * torch.randn(90, 4, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        labels = network()(inputs).argmax(dim=1)
    labels[::7] = (labels[::7] + 1) % 3
    labels[:9] = torch.arange(3).repeat(3)
    return [(inputs, labels)]


@cache
def bits(seed: int = 0, examples: int = 1, layers: tuple[str, ...] = (FIRST, SECOND)):
    return ndg.extract(network(seed), loader(examples), list(layers), settings=ndg.ReadingSettings(binarizer="median"))


@cache
def graph(layers: tuple[str, ...] = (FIRST, SECOND)):
    return ndg.mine(bits(layers=layers), "confidence", confidence=0.8, support=3)


@cache
def scores(method: str = "gndi"):
    return ndg.score(network(), loader(), [FIRST, SECOND], method, options=SERIAL)


@cache
def source():
    return controls(network(), loader(), loader(2), [FIRST], settings=ndg.ReadingSettings(binarizer="median"))


def trial():
    settings = TrialSettings(FIRST, curve=True, values="mean")
    return ndg.trial(network(), graph(), loader(2), "Q", fit=loader(), settings=settings, options=SERIAL)


def by_hand_of(layers: tuple[str, ...] = (FIRST,)):
    return network(), graph(layers), loader(2)


@cache
def balanced():
    """The network with a bias that makes it predict every class."""
    other = Network()
    with torch.no_grad():
        other.head.bias.sub_(other(loader()[0][0]).mean(dim=0))
    return other


@cache
def balanced_bits():
    return ndg.extract(balanced(), loader(), [FIRST, SECOND])


@cache
def hybrids(mode: str):
    return ndg.recombine(balanced(), loader(), FIRST, mode, 300, like=balanced_bits(), options=SERIAL)


@cache
def effects():
    return causal.effects(hybrids("independent"), FIRST, balanced_bits())


@cache
def balanced_graph():
    return ndg.mine(balanced_bits(), "confidence", confidence=0.8, support=3)


@cache
def dense():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


@cache
def efficiency():
    return ndg.efficiency.report(network(), loader(), options=SERIAL, name="<1>")


def applied():
    sizes = Measured(10, 20, 0.9, 1.0, 1.0, 0.1, 50), Measured(5, 10, 0.9, 0.98, 0.97, 0.05, 50)
    return Applied({FIRST: 3}, *sizes, "test")


def pruned():
    rows = [{"method": "magnitude", "draw": 0, "step": 1, "share": 0.5, "tuned": 0.9}]
    final = [{"method": "magnitude", "n": 50, "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95}]
    return IterativePruning(IterativeSettings(), rows, [{**final[0], "parameters": 10, "agreement": 0.98}])


MINING = {"criterion": "confidence", "confidence": 0.8, "support": 3}


def label_sets():
    return causal.sufficient_sets(
        balanced(), balanced_graph(), loader(), loader(2), effects(), ["label:1"], options=SERIAL
    )


RESULTS = {
    "TrialResult": trial,
    "Curve": lambda: trial().curve,
    "Compression": lambda: ndg.compress(network(), loader(), units=0.3, options=SERIAL),
    "IterativePruning": pruned,
    "EfficiencyReport": efficiency,
    "EfficiencyComparison": lambda: ndg.efficiency.compare(efficiency(), efficiency()),
    "Pathways": lambda: pathways(dense(), loader(), 3, SERIAL),
    "Applied": applied,
    "Effects": effects,
    "ForcedEffects": lambda: causal.forced_effects(
        balanced(), balanced_graph(), loader(), loader(2), effects(), options=SERIAL
    ),
    "Votes": lambda: ndg.votes(hybrids("mix")),
    "InterchangeAccuracy": lambda: causal.interchange_accuracy(
        balanced(),
        *(loader(), loader(), loader(2)),
        FIRST,
        like=balanced_bits(),
        settings=causal.AccuracySettings(fit=200, pairs=60),
        options=SERIAL,
    ),
    "SufficientSets": lambda: causal.sufficient_sets(
        balanced(), balanced_graph(), loader(), loader(2), effects(), ["label:1", f"{SECOND}:2"], options=SERIAL
    ),
    "SetControls": lambda: causal.set_controls(
        balanced(), balanced_graph(), loader(), loader(2), label_sets(), options=SERIAL
    ),
    "Certificates": lambda: causal.smallest(
        balanced(), balanced_graph(), loader(), FIRST, {1: [f"{FIRST}:{unit}" for unit in range(6)]}, options=SERIAL
    ),
    "Faithful": lambda: causal.train_faithful(
        balanced(),
        ndg.votes(hybrids("mix")),
        *(loader(), loader(2)),
        like=balanced_bits(),
        settings=causal.FaithfulSettings(steps=2, rows=8, fit=100, pairs=60),
        controls=(),
        options=SERIAL,
    ),
    "EdgeTrials": lambda: ndg.try_edges(network(), graph(), loader(2), fit=loader(), options=SERIAL),
    "InterchangeResult": lambda: ndg.interchange(
        *by_hand_of(), settings=InterchangeSettings(split="te<st"), options=SERIAL
    ),
    "UnfoldingResult": lambda: unfolding(network(), graph(), loader(2), FIRST, options=SERIAL),
    "MinimalResult": lambda: ndg.minimal(
        *by_hand_of(), fit=loader(), settings=MinimalSettings(values="mean", examples=8), options=SERIAL
    ),
    "Explanation": lambda: ndg.explain(
        network(), graph((FIRST,)), loader()[0][0][:1], reference=loader(2), fit=loader(), options=SERIAL
    ),
    "CounterfactualResult": lambda: train_on(
        network(),
        graph((FIRST,)),
        counterfactual.counterfactual_set(network(), graph((FIRST,)), loader()),
        {"train": loader(), "validation": loader(2)},
        settings=counterfactual.CounterfactualSettings(epochs=1),
        options=SERIAL,
    ),
    "BasisComparison": lambda: compare(
        network(), loader(), loader(2), [rotation.localist(FIRST, 6), rotation.random_rotation(FIRST, 6, 0)]
    ),
    "EqualityResult": lambda: hierarchical_equality(effort=Effort().scaled(0.001)),
    "Scores": scores,
    "Agreement": lambda: agreement(scores(), scores("ablation"), draws=20),
    "Scoreboard": lambda: scoreboard(
        network(), loader(), [FIRST], ["gndi", "hrank"], settings=BoardSettings(draws=20), options=SERIAL
    ),
    "Filters": lambda: filter_experiment(
        network(), loader(), FIRST, ["gndi"], settings=FilterSettings(2, 1, (2,), 2), options=SERIAL
    ),
    "Pruning": lambda: prune(
        network(), loader(), {"gndi": scores()}, settings=PruneSettings([0.5], draws=2), options=SERIAL
    ),
    "Curves": lambda: ablation_curves(
        network(), loader(), {"gndi": scores()}, settings=CurveSettings([0.5], draws=2), options=SERIAL
    ),
    "Fitness": lambda: fitness(network(), loader(), [FIRST]),
    "Examples": lambda: ndg.examples(network(), loader(), f"{SECOND}:2", like=bits()),
    "HeldOut": lambda: graph().held_out(bits(examples=1)),
    "GraphStats": lambda: graph().stats(),
    "InterLayer": lambda: inter_layer(bits(), bits(), **MINING),
    "InterModel": lambda: comparison.inter_model(bits(), bits(1), bits(), bits(1), **MINING),
    "InterModels": lambda: comparison.inter_models(
        network(),
        [loader()[0][0]],
        [loader(2)[0][0]],
        settings=PairSettings(layers=[FIRST], criterion="confidence", mining={"confidence": 0.8, "support": 3}),
    ),
    "Matching": lambda: comparison.match_units(bits(), bits(1)),
    "Difference": lambda: comparison.diff(graph(), graph()),
    "OverTrainings": lambda: comparison.over_trainings([graph(), graph()]),
    "Bootstrap": lambda: comparison.bootstrap(bits(), rounds=2, **MINING),
    "Table3": lambda: comparison.table_3(source(), **MINING),
    "Crossed": lambda: comparison.table_7(source(), **MINING),
}


@cache
def result(name: str) -> Result:
    return RESULTS[name]()


every = pytest.mark.parametrize("name", RESULTS)


def last(kind: type) -> set[type]:
    """The subclasses that have no subclass."""
    return set().union(*map(last, kind.__subclasses__())) or {kind}


def test_no_result_is_forgotten():
    for module in pkgutil.walk_packages(ndg.__path__, "ndg."):
        if module.name != "ndg.__main__":
            importlib.import_module(module.name)
    assert {kind.__name__ for kind in last(Result) if kind.__module__.startswith("ndg.")} == set(RESULTS)


@every
def test_it_is_what_its_name_says(name):
    assert type(result(name)).__name__ == name
    assert isinstance(result(name), Result)


@every
def test_the_document_is_plain_json(name):
    document = result(name).to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document


@every
def test_the_rows_are_plain_and_the_frame_has_one_for_each(name):
    rows = result(name).rows()
    assert rows
    json.dumps(rows, allow_nan=False)
    assert len(result(name).frame()) == len(rows)


@every
def test_the_words_are_sentences(name):
    words = result(name).words()
    assert isinstance(words, str)
    assert len(words.split()) > 4


@every
def test_the_plot_shows_a_table_of_numbers(name):
    plotted = result(name).plotted()
    assert plotted.rows()
    assert all(series.name for series in plotted.series)
    axes = Figure().subplots()
    assert result(name).plot(axes) is axes
    assert axes.lines


DRAWN = {
    "Curve": ("order", "neurons_changed_mean", "aligned_rate"),
    "Pruning": ("method", "share", "accuracy"),
    "Curves": (None, "share", "shift"),
    "IterativePruning": (None, "share", "tuned"),
    "InterchangeResult": ("control", "coverage", "iia"),
}
"""Columns of a plot's series, x and y in the rows of a result."""


@pytest.mark.parametrize("name", DRAWN)
def test_a_curve_has_the_points_of_the_rows(name):
    series, x, y = DRAWN[name]
    rows, shown = result(name).rows(), result(name).plotted().rows()
    points = {(row[series] if series else None, row[x], row[y]) for row in rows if row[y] is not None}
    drawn = {(row["series"] if series else None, row["x"], row["y"]) for row in shown}
    drawn = drawn if points else set()  # an interchange that decides nothing shows its coverage
    random = {point for point in drawn if point[0] == "random units"}
    whole = {point for point in drawn if name == "Pruning" and point[1] == 0.0}
    assert drawn - random - whole <= points
    assert len(drawn) > 1 or name in ("IterativePruning", "InterchangeResult")


def test_votes_are_drawn_by_coverage_and_layers_by_their_lorenz_curve():
    table = result("InterchangeAccuracy")
    drawn = {row["series"]: (row["x"], row["y"]) for row in table.plotted().rows()}
    rows = {row["predictor"]: row for row in table.rows()}
    assert drawn["votes"] == (rows["votes"]["coverage"], rows["votes"]["covered"])
    assert drawn["constant base"] == (1.0, rows["constant base"]["iia"])
    curves = result("EfficiencyReport").plotted()
    first = result("EfficiencyReport").layers[0]
    lines = {series.name: series for series in curves.series}
    assert lines[first.layer].y == first.lorenz
    assert (lines[first.layer].x[0], lines[first.layer].x[-1]) == (0.0, 1.0)
    assert curves.diagonal


def test_scores_are_drawn_against_those_of_another_method():
    plot = scores().against(scores("ablation"))
    assert [series.name for series in plot.series] == [FIRST, SECOND]
    assert plot.series[1].y == tuple(abs(scores()[SECOND]).tolist())
    assert plot.series[1].x == tuple(abs(scores("ablation")[SECOND]).tolist())
    with pytest.raises(ShapeError, match="scores of the same units are compared"):
        scores().against(replace(scores(), values={"x": scores()[FIRST]}, whole={"x": 0.0}))


def test_precisions_are_drawn_against_those_when_mined():
    held_out = ndg.extract(network(), loader(2), like=graph())
    plot, table = graph().precisions(held_out), graph().evaluate(held_out).dropna(subset=["precision"])
    assert plot.series[0].x == tuple(table["mined_precision"])
    assert plot.series[0].y == tuple(table["precision"])


class Tags(HTMLParser):
    known = frozenset({"img", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        assert tag in self.known, tag
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@every
def test_the_page_is_escaped_html(name):
    page = result(name)._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert "<1>" not in page
    assert tags.text.strip()


def test_a_page_shows_so_many_rows_and_says_how_many_more_there_are():
    found = result("EdgeTrials")
    assert len(found.rows()) > SHOWN
    assert found._repr_html_().count("<tr>") == SHOWN + 1
    assert f"and {len(found.rows()) - SHOWN} more rows" in found._repr_html_()
