"""The trial of edges, on a network whose causes are known and on random ones against a slow transcription."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ndg
from ndg.abstraction.edges import EdgeTrials, try_edges
from ndg.errors import ConfigError, DataError, GraphError
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.mining.implications import Implications
from ndg.nodes import LayerUnits, NodeSpace

SERIAL = ndg.RunOptions(executor="serial")
SERIAL_8 = ndg.RunOptions(executor="serial", batch=8)
BATCH_8 = ndg.RunOptions(batch=8)

ON, OFF = 40, 60
WAYS = ("alone", "closure", "rest")


class Causes(nn.Module):
    """Inputs c and d. `first` holds c and d; of `second`, unit 0 reads first:0, unit 1 reads the input c past `first`,
    unit 2 is on iff both units of `first` are, unit 3 never is. Class 1 is predicted iff second:0 is on."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        both = h[:, 0] + h[:, 1] - 1
        s = self.second(torch.stack([h[:, 0], x[:, 0], both, -torch.ones(len(x))], dim=1))
        return torch.stack([torch.full((len(x),), 0.5), s[:, 0]], dim=1)


NODES = NodeSpace(2, (LayerUnits("first", 2), LayerUnits("second", 4)))
EDGES = [
    ("first:0", "second:0"),  # a cause
    ("first:0", "second:1"),  # a common cause, the input
    ("first:0", "second:2"),  # a cause together with what it implies in its layer
    ("first:0", "first:1"),  # a constraint
    ("first:0", "label:1"),  # a cause of a label
    ("second:0", "label:1"),
    ("second:1", "label:1"),  # a correlation
    ("second:1", "~second:3"),
    ("first:1", "~second:3"),  # holds anyway
]


def given(nodes: NodeSpace, pairs: list[tuple[str, str]], thresholds: float = 0.0) -> NDG:
    codes = {(nodes.literal(p).code, nodes.literal(q).code) for p, q in pairs}
    return coded(nodes, codes, np.full(nodes.neurons, thresholds))


def coded(nodes: NodeSpace, codes: set[tuple[int, int]], thresholds: np.ndarray) -> NDG:
    both = np.array(sorted(codes | {(q ^ 1, p ^ 1) for p, q in codes}), np.int32).reshape(-1, 2)
    return NDG(
        Implications(
            nodes=nodes,
            antecedents=both[:, 0].copy(),
            consequents=both[:, 1].copy(),
            exceptions=np.zeros(len(both), np.int64),
            on=np.full(len(nodes), 5),
            with_label=np.zeros((nodes.labels, len(nodes)), np.int64),
            examples=10,
            constants=(),
            criterion={"name": "given"},
            thresholds=thresholds,
            binarizer="positive",
            bits_digest="",
        )
    )


def data() -> list[tuple[Tensor, Tensor]]:
    """c and d are on together in 40 examples, and off together in 60."""
    c = (torch.arange(ON + OFF) < ON).float()
    return [(torch.stack([c, c], dim=1), c.long())]


@pytest.fixture(scope="module")
def causes() -> EdgeTrials:
    loader = data()
    return try_edges(
        Causes(), given(NODES, EDGES), loader, fit=loader, settings=ndg.EdgeSettings(split="test"), options=SERIAL
    )


def row(trials: EdgeTrials, antecedent: str, consequent: str, how: str) -> dict:
    rows = [r for r in trials.rows(how) if (r["antecedent"], r["consequent"]) == (antecedent, consequent)]
    assert len(rows) == 1
    return rows[0]


CELLS = ("n", "before", "after", "gained", "lost", "observed", "support", "neurons_set")


@pytest.mark.parametrize(
    ("antecedent", "consequent", "how", "cells", "verdict"),
    [
        ("first:0", "second:0", "alone", (60, 0, 60, 60, 0, 40, 40, 1), "survives"),
        ("first:0", "second:0", "closure", (60, 0, 60, 60, 0, 40, 40, 2), "survives"),
        ("first:0", "label:1", "alone", (60, 0, 60, 60, 0, 40, 40, 1), "survives"),
        ("first:0", "second:1", "alone", (60, 0, 0, 0, 0, 40, 40, 1), "fails"),
        ("first:0", "second:1", "closure", (60, 0, 0, 0, 0, 40, 40, 2), "fails"),
        ("first:0", "second:2", "alone", (60, 0, 0, 0, 0, 40, 40, 1), "fails"),
        ("first:0", "second:2", "closure", (60, 0, 60, 60, 0, 40, 40, 2), "survives"),
        ("second:0", "label:1", "alone", (60, 0, 60, 60, 0, 40, 40, 1), "survives"),
        ("second:1", "label:1", "alone", (60, 0, 0, 0, 0, 40, 40, 1), "fails"),
        ("first:1", "~second:3", "alone", (60, 60, 60, 0, 0, 40, 40, 1), "untested"),
    ],
)
def test_a_cause_survives_and_a_common_cause_does_not(causes, antecedent, consequent, how, cells, verdict):
    found = row(causes, antecedent, consequent, how)
    assert tuple(found[name] for name in CELLS) == cells
    assert (found["kind"], found["verdict"]) == ("forced", verdict)
    n, before, after, gained, *_ = cells
    assert found["n_false"] == (false := n - before)
    assert found["interventional"] == (gained / false if false else None)
    assert found["interventional_low"] == (wilson(gained, false)[0] if false else None)
    assert found["interventional_all"] == after / n
    assert found["inflation"] == (after / n - gained / false if false else None)
    assert found["rate_before"] == before / n
    assert found["observational"] == 1.0


def test_the_contrapositive_has_the_verdict_and_was_not_forced(causes):
    for edge in causes.rows():
        swap = [text.removeprefix("~") if text.startswith("~") else f"~{text}" for text in
                (edge["consequent"], edge["antecedent"])]  # fmt: skip
        other = row(causes, *swap, edge["how"])
        assert other["verdict"] == edge["verdict"]
        if edge["kind"] == "forced":
            assert other["kind"] == "contrapositive"
            assert other["n"] is other["interventional"] is other["p_value"] is None
            assert other["observed"] is not None
            assert other["distance"] == -edge["distance"] < 0


def test_edges_within_a_layer_are_constraints(causes):
    assert row(causes, "first:0", "first:1", "alone")["verdict"] == "constraint"
    told = [one for one in causes.summary() if one["how"] == "constraint"]
    assert [(one["from"], one["to"], one["edges"]) for one in told] == [
        ("first", "first", 1),
        ("second", "second", 1),
    ]
    assert {one["observational"] for one in told} == {1.0}


def test_the_summary_counts_what_survived_by_layers(causes):
    found = {(one["from"], one["to"], one["how"]): one for one in causes.summary()}
    alone, closure = found["first", "second", "alone"], found["first", "second", "closure"]
    assert (alone["edges"], alone["tested"], alone["survived"]) == (4, 3, 1)  # ~second:3 is never false
    assert (closure["survived"], closure["share"]) == (2, 2 / 3)
    assert (closure["share_low"], closure["share_high"]) == tuple(map(float, wilson(2, 3)))
    assert alone["interventional"] == alone["interventional_all"] == pytest.approx((1 + 0 + 0) / 3)
    assert (alone["before"], alone["inflation"], alone["survived_all"]) == (0, 0, 1)
    assert alone["observational"] == 1.0
    assert found["second", "label", "alone"]["survived"] == 1
    assert causes.survived("closure") == (4, 6)
    assert causes.words().startswith(
        "Antecedent forced alone: 3 of 6 edges survive; the others are not shown to be more than correlations. "
        "Antecedent forced with what it implies in its layer: 4 of 6 edges survive; the others are not shown to be "
        "more than correlations. An edge survives when, on held-out examples of test on which neither end holds, "
        "forcing the antecedent makes the consequent hold in at least 0.9"
    )
    assert causes.words().endswith(
        "1 edges were not tested: on fewer than 20 of 100 examples neither end holds (0 at most)."
    )
    document = causes.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["edges"] == {"left out": 0, "forced": 7, "contrapositive": 7, "within": 4}
    assert document["survived"] == {"alone": 3, "closure": 4}
    assert len(causes.frame()) == 2 * len(causes.implications)


def test_the_causal_graph_has_the_causes_alone(causes, tmp_path):
    graph = given(NODES, EDGES).with_verdicts(causes)
    loaded = NDG.load(graph.save(tmp_path / "graph.json"))
    told = [("first:0", "second:0"), ("first:0", "label:1"), ("second:0", "label:1")]
    assert loaded.causal(how="alone").digest == given(NODES, told).digest
    causal = loaded.causal()
    assert causal.digest == given(NODES, [*told, ("first:0", "second:2")]).digest
    assert causal.provenance["filters"][-1]["causal"]["values"] == "mean"
    within = [("first:0", "first:1"), ("second:1", "~second:3")]
    assert loaded.causal(how="alone", constraints=True).digest == given(NODES, told + within).digest
    assert loaded.causal(at_least=0.95, how="alone").digest == given(NODES, []).digest  # 60 of 60 is at least 0.940


def test_too_few_examples_are_untested_and_none_gives_no_rate():
    loader = data()
    graph = given(NODES, EDGES)
    few = try_edges(Causes(), graph, loader, fit=loader, settings=ndg.EdgeSettings(least=61), options=SERIAL)
    assert {one["verdict"] for one in few.rows() if one["kind"] == "forced"} == {"untested"}
    assert few.words() == (
        "No edge was tested. 7 edges were not tested: on fewer than 61 of 100 examples neither end holds (60 at most)."
    )
    assert {one["share"] for one in few.summary()} == {None}
    always = [(torch.ones(30, 2), torch.ones(30).long())]
    none = try_edges(Causes(), graph, always, fit=loader, options=SERIAL)
    found = row(none, "first:0", "second:0", "alone")
    assert (found["n"], found["interventional"], found["verdict"]) == (0, None, "untested")
    assert json.dumps(none.to_dict(), allow_nan=False)


def test_a_network_without_forward_edges_says_so():
    found = try_edges(Causes(), given(NODES, [("first:0", "first:1")]), data(), fit=data(), options=SERIAL)
    assert found.words() == "No edge leads from a layer to a later one or to a label, so none was on trial."
    assert row(found, "first:0", "first:1", "closure")["support"] == 40


def test_the_rest_of_a_closure_is_a_control():
    loader = data()
    found = try_edges(
        Causes(),
        given(NODES, EDGES),
        loader,
        fit=loader,
        settings=ndg.EdgeSettings(how=["closure", "rest"]),
        options=SERIAL,
    )
    cause = row(found, "first:0", "second:2", "rest")
    assert tuple(cause[name] for name in CELLS) == (60, 0, 0, 0, 0, 40, 40, 1)
    assert cause["verdict"] == "fails"
    none = row(found, "first:1", "~second:3", "rest")
    assert (none["gained"], none["lost"], none["neurons_set"]) == (0, 0, 0)
    assert "As a control, what it implies there forced without it: 0 of 6 edges survive. An edge" in found.words()
    survives = {how: found.verdicts.survives(how) for how in found.how}
    own = sum(a and not b for a, b in zip(survives["closure"], survives["rest"], strict=True))
    assert found.by_antecedent() == found.to_dict()["survived_by_antecedent"] == own > 0
    assert f"of 6 edges survive, {own} of them with the antecedent and not without it; the others" in found.words()
    alone = try_edges(
        Causes(), given(NODES, EDGES), loader, fit=loader, settings=ndg.EdgeSettings(how=["closure"]), options=SERIAL
    )
    assert alone.by_antecedent() is None
    assert "not without it" not in alone.words()


class Frequent(nn.Module):
    """Inputs c and u, which `first` holds. second:0 is on where u is 2, and with c where it is 0.7, as is label:1."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        s = self.second(h[:, :1] / 2 + h[:, 1:] - 1)
        return torch.cat([torch.zeros(len(x), 1), s - 0.01], dim=1)


def test_a_frequent_consequent_survives_on_all_examples_and_not_where_it_was_false():
    """Without c, 480 examples have the consequent anyway; forced, 10 of the other 20 gain it."""
    u = torch.tensor([2.0] * 480 + [0.7] * 10 + [0.0] * 10 + [2.0] * 30)
    x = torch.stack([(torch.arange(530) >= 500).float(), u], dim=1)
    nodes = NodeSpace(2, (LayerUnits("first", 2), LayerUnits("second", 1)))
    graph = given(nodes, [("first:0", "second:0"), ("first:0", "label:1")])
    loader = [(x, torch.zeros(530, dtype=torch.long))]
    found = try_edges(Frequent(), graph, loader, fit=loader, options=SERIAL)
    for consequent in ("second:0", "label:1"):
        cells = row(found, "first:0", consequent, "alone")
        assert tuple(cells[name] for name in ("n", "n_false", "before", "after", "gained", "lost")) == (
            *(500, 20, 480, 490, 10, 0),
        )
        assert (cells["interventional"], cells["interventional_all"], cells["inflation"]) == (0.5, 0.98, 0.98 - 0.5)
        assert cells["verdict"] == "fails"
    assert found.survived("alone") == (0, 2)
    assert found.to_dict()["survived_all"] == {"alone": 2, "closure": 2}
    assert found.to_dict()["rule"] == "antecedent and consequent false"
    assert found.words().endswith(
        "Inflation by base rates: over all examples without the antecedent, the mean rate is 0.980 instead of 0.500 "
        "(alone; 2 edges would survive), 0.980 instead of 0.500 (closure; 2 edges would survive)."
    )


def test_layers_narrow_what_is_tried():
    found = try_edges(Causes(), given(NODES, EDGES), data(), fit=data(), layers=["second"], options=SERIAL)
    assert {r["antecedent_layer"] for r in found.rows() if r["kind"] == "forced"} == {"second"}
    left = row(found, "first:0", "second:0", "alone")
    assert (left["kind"], left["verdict"], left["observational"]) == ("left out", "not tried", None)
    assert row(found, "second:1", "~second:3", "alone")["verdict"] == "constraint"


def test_concepts_are_not_tried():
    nodes = NodeSpace(2, NODES.layers, ("round",))
    graph = given(nodes, [("first:0", "concept:round"), ("first:0", "second:0")])
    found = try_edges(Causes(), graph, data(), fit=data(), options=SERIAL)
    assert row(found, "first:0", "concept:round", "closure")["verdict"] == "not tried"
    assert row(found, "first:0", "second:0", "closure")["verdict"] == "survives"
    assert row(found, "first:0", "second:0", "closure")["support"] == 40


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"how": ["apart"]},
            ConfigError,
            "alone or closure, and as a control the rest of its closure; got how='apart'",
        ),
        ({"how": []}, ConfigError, "one way or more, each once"),
        ({"how": ["alone", "alone"]}, ConfigError, "one way or more, each once"),
        ({"at_least": 1.1}, ConfigError, "is a probability; got 1.1"),
        ({"q": 0.0}, ConfigError, "between 0 and 1; got 0.0"),
        ({"least": 0}, ConfigError, "at least 1; got 0"),
        ({"values": "meen"}, ConfigError, "nearest: mean"),
        ({"fit": None}, ConfigError, "pass fit=LOADER"),
        ({"layers": ["frist"]}, GraphError, "nearest: first"),
        ({"layers": ["label"]}, GraphError, "the graph has no layer to begin at"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    more = {name: value for name, value in settings.items() if name in ("fit", "layers")}
    settings = {name: value for name, value in settings.items() if name not in more}
    how = {"fit": data()} | more
    with pytest.raises(error, match=message):
        try_edges(Causes(), given(NODES, EDGES), data(), **how, settings=ndg.EdgeSettings(**settings), options=SERIAL)


def test_no_examples_are_refused():
    with pytest.raises(DataError, match="at least one example"):
        try_edges(Causes(), given(NODES, EDGES), [], fit=data(), options=SERIAL)
