"""What a trial says: rates, rows, the run log's document, and the sentence about the prototype."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ndg.abstraction.controls import CONTROLS, GRAPH, PROTOTYPES
from ndg.abstraction.result import TrialResult
from ndg.abstraction.tally import Tally
from ndg.errors import ConfigError


def tally(aligned: int, n: int = 100, **more: int) -> Tally:
    return Tally(examples=n + 5, correct=n, aligned=aligned, changed=0, unchanged=n - aligned, **more)


@pytest.fixture
def result() -> TrialResult:
    """The graph aligns 60 of 100; the prototypes 55 and 40, of which 10 and 0 that the graph does not."""
    return TrialResult(
        intervention="G.1",
        controls={
            "graph": tally(60, neurons_set=250, neurons_changed=120, contradictory=7, kept=90, kept_aligned=57),
            "binarise": tally(0),
            "random": tally(5, neurons_set=250, graph_only=58, control_only=3),
            "prototype_random": tally(40, neurons_set=250, graph_only=20),
            "prototype_surest": tally(55, neurons_set=250, graph_only=15, control_only=10),
            **dict.fromkeys(PROTOTYPES[2:], tally(20, neurons_set=250, graph_only=40)),
        },
        by_class=(tally(20, 50), tally(40, 50)),
        by_alternative=(tally(40, 50), tally(20, 50)),
        no_ancestors=(1,),
        layer="latent",
        units=4,
        split="test",
        seed=0,
        graph="0123456789abcdef",
        executor="serial",
        reason="serial: as asked for",
        drawn=(
            {
                "graph": tally(62),
                "prototype_random": tally(41, graph_only=21),
                "prototype_surest": tally(51, graph_only=13, control_only=2),
            },
        ),
    )


def test_rows_have_rates_intervals_and_means(result):
    rows = result.rows()
    assert [row["control"] for row in rows] == [GRAPH, *CONTROLS, "chance"]
    assert rows[-1] == dict.fromkeys(rows[0]) | {
        "intervention": "G.1",
        "split": "test",
        "control": "chance",
        "aligned": 0.5,
    }
    first = rows[0]
    assert first["intervention"] == "G.1"
    assert first["split"] == "test"
    assert (first["aligned"], first["changed"], first["unchanged"], first["contradictory"]) == (0.6, 0.0, 0.4, 0.07)
    assert first["aligned_low"] < 0.6 < first["aligned_high"]
    assert (first["neurons_set_mean"], first["neurons_changed_mean"]) == (2.5, 1.2)
    assert (first["n"], first["examples"]) == (100, 105)
    assert first["kept_aligned"] == 57 / 90


def test_rows_by_class_are_those_of_the_graphs_choice(result):
    assert [(row["true"], row["aligned"]) for row in result.rows("true")] == [(0, 0.4), (1, 0.8)]
    assert [(row["alternative"], row["aligned"]) for row in result.rows("alternative")] == [(0, 0.8), (1, 0.4)]
    with pytest.raises(ConfigError, match="rows are by control, true, alternative; got 'class'"):
        result.rows("class")


def test_the_frame_has_the_rows(result):
    frame, rows = result.frame(), result.rows()
    assert list(frame.columns) == list(rows[0])
    assert {key: frame.loc[0, key] for key in rows[0]} == rows[0]
    assert frame["aligned"].tolist() == [row["aligned"] for row in rows]


def test_the_document_is_plain_and_complete(result):
    document = result.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    expected = {"aligned": 0.6, "changed": 0.0, "unchanged": 0.4, "contradictory": 0.07, "n": 100, "examples": 105}
    assert expected.items() <= document.items()
    assert document["neurons_set"] == 2.5
    assert set(document["controls"]) == set(CONTROLS)
    assert document["controls"]["random"]["aligned"] == 0.05
    assert document["counts"]["graph"]["neurons_set"] == 250
    assert document["by_class"] == {"n": [50, 50], "aligned": [20, 40], "changed": [0, 0], "unchanged": [30, 10]}
    assert document["no_ancestors"] == [1]
    assert document["chance"] == 0.5
    assert document["draws"][0]["graph"]["aligned"] == 62
    assert document["curve"] is None
    assert (document["beta"], document["values"]) == (1.0, "boolean")
    assert result.key == "g1"


def test_selectivity_is_against_the_better_prototype_and_says_how_it_was_picked(result):
    found = result.selectivity()
    assert (found.value, found.control) == (0.05, "prototype_surest")
    assert found.picked == "the strongest prototype on the same split"
    assert found.low < 0.05 < found.high
    assert found == result.selectivity()
    given = result.selectivity("prototype_random")
    assert (given.value, given.picked) == (0.2, "as given")
    assert result.to_dict("prototype_random")["selectivity_control"] == "prototype_random"
    with pytest.raises(ConfigError, match="no control 'prototype'; nearest: prototype_surest, prototype_random"):
        result.selectivity("prototype")


def test_the_range_is_that_over_the_draws(result):
    found = result.selectivity()
    assert found.draws == (0.05, 0.11)
    assert (min(found.draws), max(found.draws)) == (0.05, 0.11)
    assert result.to_dict()["selectivity_draws"] == [0.05, 0.11]
    assert result.selectivity("random").draws == (0.55,)
    assert replace(result, drawn=()).selectivity().draws == (0.05,)


def test_the_prototype_is_picked_on_validation(result):
    swapped = {"prototype_random": tally(80), "prototype_surest": tally(70)}
    validation = replace(result, split="validation", controls=result.controls | swapped)
    told = result.picked(validation)
    found = told.selectivity()
    assert (found.control, found.value) == ("prototype_random", 0.2)
    assert found.picked == "the strongest prototype on validation"
    assert found.draws == (0.2, 0.21)
    assert told.controls == result.controls
    with pytest.raises(ConfigError, match=r"expected \('G.1', 'latent', '0123456789abcdef'\), got \('Q'"):
        result.picked(replace(validation, intervention="Q"))


def test_the_sentence_says_when_the_graph_is_not_better_than_the_prototype(result):
    found = result.selectivity()
    assert result.words() == (
        "G.1 on test: the graph's choice is not better than the strongest class prototype: difference +5.0 "
        f"points [{100 * found.low:+.1f}, {100 * found.high:+.1f}], aligned 0.600 against 0.550 (prototype_surest); "
        f"0.900 kept by binarising alone; exact paired p = {found.p:.2g}."
    )
    assert found.low < 0
    assert found.p > 0.05
    weak = {"prototype_surest": tally(20, neurons_set=250, graph_only=40)}
    better = replace(result, controls=result.controls | weak | {"prototype_random": weak["prototype_surest"]})
    assert better.words().startswith(
        "G.1 on test: the graph's choice is better than the strongest class prototype: difference +40.0 points"
    )
    assert better.to_dict()["words"] == better.words()


def test_the_sentence_says_when_nothing_was_on_trial(result):
    none = {name: Tally(examples=3) for name in result.controls}
    assert replace(result, controls=none).words() == (
        "G.1 on test: the network predicts no example correctly, so nothing was on trial."
    )
    unset = {name: tally(0) for name in result.controls}
    assert replace(result, controls=unset, split="").words() == (
        "G.1: the graph names no neuron of latent, so nothing but binarising was on trial."
    )


def test_without_correct_examples_rates_are_not_known(result):
    empty = replace(result, controls={name: Tally(examples=3) for name in result.controls})
    document = empty.to_dict()
    assert document["aligned"] is document["selectivity"] is document["neurons_set"] is None
    for found in (document, document["controls"]["random"], *empty.rows()[:-1]):
        assert found["aligned"] is found["aligned_low"] is found["aligned_high"] is None
    assert "–" in empty._repr_html_()


def test_it_shows_itself_in_a_notebook(result):
    html = replace(result, layer="<latent>")._repr_html_()
    assert html.startswith("<table>")
    assert "0.600" in html
    assert "2.5 of 4" in html
    assert "&lt;latent&gt;" in html
    assert "not better than the strongest class prototype" in html
