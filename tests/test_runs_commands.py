"""Commands that ask the run log, and those that annotate a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ndg import cli, runs
from ndg.config import Experiment, Train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three train runs."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, accuracy in ((1, 0.5), (2, 0.9), (3, None)):
        experiment = replace(Experiment(name=f"net{seed}", seed=seed), train=Train(epochs=seed))
        with runs.start(None, "train", experiment, folder) as run:
            run.result("train", {"test_accuracy": accuracy, "größe (50%)": seed})
    return folder


@pytest.fixture
def said(root: Path, capsys: pytest.CaptureFixture[str]):
    def call(*words: str) -> tuple[int, str, str]:
        code = cli.main([*words, "--runs", str(root)])
        return code, *capsys.readouterr()

    return call


def test_runs_are_chosen_sorted_and_shown_by_columns(said):
    accuracy = "results.train.test_accuracy"
    code, out, _ = said("runs", "seeds.seed>=1", "name!=net3", "--sort", f"-{accuracy}", "--columns", "name", accuracy)
    assert code == 0
    assert [line.split()[1:] for line in out.splitlines()] == [["name", accuracy], ["net2", "0.9"], ["net1", "0.5"]]
    _, out, _ = said("runs", "--sort", "name", "--csv")
    assert [line.split(",")[1:] for line in out.splitlines()] == [
        ["kind", "name", "status"],
        *(["train", f"net{i}", "COMPLETED"] for i in (1, 2, 3)),
    ]
    _, out, _ = said("runs", "results.train.größe (50%)=2", "--columns", "name", accuracy, "--md")
    assert out.splitlines()[1:] == ["| --- | --- | --- |", out.splitlines()[2]]
    assert out.splitlines()[2].endswith("| net2 | 0.9 |")
    _, out, _ = said("runs", "name~^net[12]", "--where", '{"kind": "train"}', "--json")
    assert [run["name"] for run in json.loads(out)] == ["net2", "net1"]


@pytest.mark.parametrize("words", [["runs", "kind"], ["runs", "name~("], ["runs", "$where=1"], ["compare", "last"]])
def test_a_condition_that_is_none_is_refused(said, words):
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    assert any(text in err for text in ("got", "not a regular expression", "fields are dotted paths"))


def test_the_best_run_has_the_highest_number(said):
    code, out, _ = said("best", "results.train.test_accuracy")
    assert code == 0
    assert "net2" in out
    assert "0.9" in out
    assert "net1" in said("best", "results.train.test_accuracy", "name=net1")[1]
    code, _, err = said("best", "results.none")
    assert code == 2
    assert "no run has a number at results.none" in err


def test_a_comparison_shows_differences_of_configs_first(said, root: Path):
    ids = [run.id for run in runs.open(root).find(sort="name")]
    code, out, _ = said("compare", *ids[:2])
    assert code == 0
    config, results = out.split("\n\n")
    assert "config.train.epochs" in config
    assert "config.train.optimizer" not in config
    assert "results.train.test_accuracy" in results


def test_a_run_is_tagged_noted_and_found_by_path(said, root: Path):
    newest = runs.open(root).get("last")
    assert said("tag", "last", "paper", "old")[0] == 0
    assert said("untag", "last", "old")[0] == 0
    code, out, _ = said("note", "last", "the one", "--json")
    assert (code, json.loads(out)) == (0, {"_id": newest.id, "tags": ["paper"], "notes": "the one"})
    assert Path(said("path", "last")[1].strip()).resolve() == newest.folder
