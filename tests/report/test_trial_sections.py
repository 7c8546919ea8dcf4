"""The tables of what was on trial hold the figures of the record, in the words of the page."""

from __future__ import annotations

import pytest

from ndg.graph.verdicts import BOTH_FALSE
from ndg.report import trial_sections
from ndg.report.tables import Interval, Table

CURVE = {
    "sizes": [0, 1, 2],
    "n": 4,
    "end": 1.5,
    "orders": {
        "graph": {"neurons_set": [0, 4, 8], "neurons_changed": [0, 2, 6], "aligned": [0, 1, 4], "area": 0.5}
        | dict.fromkeys(("graph_minus", "graph_minus_low", "graph_minus_high")),
        "gndi": {"neurons_set": [0, 4, 8], "neurons_changed": [0, 4, 8], "aligned": [0, 0, 2], "area": 0.25}
        | {"graph_minus": 0.25, "graph_minus_low": 0.1, "graph_minus_high": 0.4},
    },
}


def record() -> dict:
    figures = {
        "intervention": "Q",
        "split": "test",
        "curve": CURVE,
        "selectivity": 0.02,
        "selectivity_low": -0.01,
        "selectivity_high": 0.05,
        "selectivity_draws": [0.02, -0.03, 0.04],
        "selectivity_control": "prototype_surest",
        "selectivity_picked": "the strongest prototype on validation",
    }
    line = {"set": "layer", "control": "graph", "among": "labels differ", "pairs": 9, "coverage": 0.5}
    line |= {"coverage_low": 0.2, "coverage_high": 0.8, "iia": None, "iia_low": None, "iia_high": None}
    line |= {"base_label": 0.1, "source_label": 0.9, "iia_undecided_wrong": 0.3, "units": 4.0, "units_changed": 2.0}
    others = [{**line, "among": "all"}, {**line, "set": "equivalence", "pairs": 0}]
    return {
        "results": {
            "trial": {"q": {"test": figures, "train": {"intervention": "Q", "selectivity_draws": None}}},
            "interchange": {"test": {"rows": [line, *others], "words": "layer: undecided\nno ancestors: 0, 1"}},
            "edges_tried": {"test": {"summary": [{"from": "a", "to": "b", "share": 0.5}], "words": "One survives."}},
            "minimal": {"test": {"rows": [{"method": "graph", "median": 2.0}], "words": "minimal sets."}},
        }
    }


def test_a_curve_is_drawn_over_means_with_its_areas():
    [(chart, table)] = trial_sections.curves(record())
    assert chart.lines["the graph's choice"] == [(0.0, 0.0), (0.5, 0.25), (1.5, 1.0)]
    assert table.rows == (
        ("the graph's choice", 0.5, None),
        ("gndi order", 0.25, Interval(0.25, 0.1, 0.4)),
    )
    assert "up to 1.5 changed" in table.title


def test_selectivity_stands_beside_its_range_over_draws():
    table = trial_sections.selectivity(record())
    assert table is not None
    assert table.rows == (
        (
            "Q",
            "test",
            Interval(0.02, -0.01, 0.05),
            -0.03,
            0.04,
            3,
            "prototype, surest",
            "the strongest prototype on validation",
        ),
    )
    assert trial_sections.selectivity({"results": {}}) is None


def test_interchange_leaves_out_sums_and_empty_sets():
    [table] = trial_sections.interchange(record())
    assert [row[0] for row in table.rows] == ["layer"]
    assert table.rows[0][4:6] == (Interval(0.5, 0.2, 0.8), None)


def test_edges_and_minimal_sets_have_a_table_for_each_split():
    assert [table.title for table in trial_sections.edges(record())] == ["Trials of edges on test"]
    assert [table.title for table in trial_sections.minimal(record())] == ["Minimal interventions on test"]
    assert (
        trial_sections.edges({})
        == trial_sections.minimal({})
        == trial_sections.interchange({})
        == trial_sections.curves({})
        == []
    )


def test_the_note_of_edges_says_by_which_rule_they_were_judged():
    [old] = trial_sections.edges(record())
    assert "This run is of an earlier version" in old.note
    assert "survived on all" not in old.note
    ruled = record()
    ruled["results"]["edges_tried"]["test"] |= {"rule": BOTH_FALSE, "summary": [{"survived_all": 3, "inflation": 0.5}]}
    [new] = trial_sections.edges(ruled)
    assert "earlier version" not in new.note
    assert "on the examples on which it did not hold before either" in new.note
    assert [column.title for column in new.columns] == ["survived on all", "inflation"]


def test_each_stage_speaks_in_sentences():
    assert trial_sections.words(record()) == [
        "Interchange. Layer: undecided. No ancestors: 0, 1.",
        "One survives.",
        "Minimal sets.",
    ]


@pytest.mark.parametrize("ends", [None, {"rate": ("low", "high")}])
def test_rows_of_any_study_become_a_table(ends):
    low, high = ("low", "high") if ends else ("rate_low", "rate_high")
    lines = [{"name": "a", "rate": 0.5, low: 0.4, high: 0.6, "more": [1, 2], "left": 1}, {"name": "b", "rate": None}]
    table = Table.of_rows("t", lines, ends=ends, leave=("left",), titles={"name": "who"})
    assert [column.title for column in table.columns] == ["who", "rate", "more"]
    assert table.rows == (("a", Interval(0.5, 0.4, 0.6), "1, 2"), ("b", None, None))
