"""What to believe: each rule on both sides of its threshold, on documents and on figures."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from ndg.graph.verdicts import BOTH_FALSE
from ndg.report.cautions import RULES, cautions

DOCS = (Path(__file__).parents[2] / "docs" / "reference" / "verdicts.md").read_text(encoding="utf-8")

CASES = {
    "few examples": ("accuracy.test", "n", 500, 499),
    "precision falls": ("edges.test", "mined_precision", 0.949, 0.951),
    "near base rates": ("edges.test", "base_rate", 0.889, 0.891),
    "few judged": ("edges.test", "judged", 90, 89),
    "most neurons set": ("trial.q.test", "neurons_set", 7.0, 7.1),
    "binarising changes": ("trial.q.test", "kept", 180, 179),
    "Q equals G.2": ("trial.q.test", "no_ancestors", [], [3]),
    "few edges tested": ("edges_tried.test", "tested", 20, 19),
    "edges fail": ("edges_tried.test", "survived", {"alone": 10}, {"alone": 9}),
    "old rule of survival": ("edges_tried.test", "rule", BOTH_FALSE, "antecedent false"),
    "constant neurons": ("graph.condensed", "constant", 2, 3),
    "contradictions": ("graph", "contradictory", 0, 1),
    "other data": ("data", "source", "digits", "cifar10_jpeg, not the publisher's files"),
    "no better than a guess": ("accuracy.test", "low", 0.25, 0.24),
}
"""Place of a figure, its key, a value on the right side of the threshold and one on the wrong side."""


@pytest.fixture
def sound(record):
    """A run without cautions."""
    record = copy.deepcopy(record) | {"dirty": False}
    results = record["results"]
    results["accuracy"]["test"]["n"] = 1000
    edges = {"implications": 100, "judged": 100, "precision": 0.94, "mined_precision": 0.945, "base_rate": 0.5}
    results["edges"]["test"] |= edges | {"recall": 0.5}
    results["trial"] = {"q": {"test": results["trial"]["q"]["test"] | {"kept": 200, "no_ancestors": [], "units": 14}}}
    tried = {"tested": 20, "least": 20, "survived": {"alone": 20}, "rule": BOTH_FALSE, "summary": [], "words": ""}
    results["edges_tried"] = {"test": tried}
    results["interchange"] = {"test": {"rows": [{"control": "graph", "coverage": 0.2}]}}
    results["graph"]["condensed"]["constant"], results["graph"]["contradictory"] = 0, 0
    return record


def changed(record, place, key, value):
    record = copy.deepcopy(record)
    part = record["results"]
    for name in place.split("."):
        part = part[name]
    part[key] = value
    return record


def test_a_sound_run_has_no_caution(sound):
    assert cautions(sound) == []
    assert cautions({}) == []


@pytest.mark.parametrize("name", CASES)
def test_a_rule_applies_beyond_its_threshold_alone(sound, name):
    place, key, right, wrong = CASES[name]
    [rule] = [rule for rule in RULES if rule.name == name]
    assert rule.caution(changed(sound, place, key, right)) is None
    text = rule.caution(changed(sound, place, key, wrong))
    assert text
    assert text in cautions(changed(sound, place, key, wrong))


def test_pairs_that_are_decided_and_changed_code_are_cautions(sound):
    few = changed(sound, "interchange.test", "rows", [{"control": "graph", "coverage": 0.19}])
    assert cautions(few) == [
        "The graph decides 19% of the interchange pairs at most: their accuracy is about few pairs."
    ]
    assert cautions(sound | {"dirty": True}) == [
        "The code had changes that were not committed: its commit does not reproduce this run."
    ]


def test_every_rule_is_tested_and_documented():
    assert {rule.name for rule in RULES} == set(CASES) | {"interchange undecided", "changed code"}
    rows = dict(re.findall(r"^\| ([\w .]+) \| (.*) \|$", DOCS.partition("## What to believe")[2], re.MULTILINE))
    for rule in RULES:
        assert rule.name in rows, rule.name
        assert f"{rule.bar:g}" in rows[rule.name]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_threshold_itself_is_on_the_right_side(rule):
    beyond = rule.bar + (-1e-6 if rule.below else 1e-6)
    assert not rule.applies(rule.bar)
    assert rule.applies(beyond)
    assert not rule.applies(None)
