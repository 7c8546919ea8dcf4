"""Commands that ask the run log, and those that annotate a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

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


@pytest.mark.parametrize(
    ("words", "number"), [(["a=NaN"], "NaN"), (["--where", '{"a": {"$lt": -1e999}}'], "-Infinity")]
)
def test_a_condition_on_no_finite_number_names_what_came(said, words, number):
    code, _, err = said("runs", *words)
    assert (code, f"a is compared with a finite number; got {number}; runs hold null in its place" in err) == (2, True)


def test_a_field_that_no_run_has_is_named_with_the_nearest(said):
    for words in (["--columns", "results.train.test_acuracy"], ["results.train.test_acuracy>0.5"]):
        code, _, err = said("runs", *words)
        assert (code, "none of these runs has results.train.test_acuracy; nearest: results.train.test_acc" in err) == (
            0,
            True,
        )
    assert said("runs", "seeds.seed>7", "--columns", "tags")[2] == ""


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


def test_one_section_of_a_run_is_shown(said):
    code, out, _ = said("show", "last:train", "--config")
    assert code == 0
    assert all(line.startswith("config.") for line in out.splitlines())
    assert said("show", "last", "--results", "train.größe (50%)")[1].split() == ["results.train.größe", "(50%)", "3"]
    assert "results.train.test_accuracy" in said("show", "last", "--results")[1]
    code, _, err = said("show", "last", "--results", "train.test_acuracy")
    assert (code, "nearest: results.train.test_accuracy" in err) == (2, True)
    assert said("show", "last:align")[0] == 2


def test_a_table_of_runs_is_written_as_parquet(said, tmp_path: Path, monkeypatch):
    import pandas as pd

    path = tmp_path / "runs.parquet"
    assert said("runs", "--sort", "name", "--parquet", str(path), "--columns", "name", "tags", "seeds")[0] == 0
    table = pd.read_parquet(path)
    assert table.index.name == "id"
    assert list(table["seeds.seed"]) == [1, 2, 3]
    monkeypatch.setattr("ndg.extras.find_spec", lambda _: None)
    code, _, err = said("runs", "--parquet", str(path))
    assert (code, "pip install 'neuron-dependency-graphs[parquet]'" in err) == (2, True)


def test_the_report_of_a_run_is_opened(said, root: Path, monkeypatch):
    pages = []
    monkeypatch.setattr("webbrowser.open", pages.append)
    code, _, err = said("open", "last")
    assert (code, "has no report" in err) == (2, True)
    folder = runs.open(root).get("last").folder
    (folder / "ndg.pdf").touch()
    assert said("open", "last")[0] == 0
    assert pages == [(folder / "ndg.pdf").as_uri()]


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_runs_are_copied_between_logs_without_loss(said, root: Path, tmp_path: Path, kind: str):
    other = str(tmp_path / "other.db") if kind == "file" else f"memory://{tmp_path.name}"
    code, out, _ = said("export", other, "name!=net3", "--json")
    assert code == 0
    copies, records = runs.open(other).find(), runs.open(root).find({"name": {"$ne": "net3"}})
    assert [run.id for run in copies] == json.loads(out)
    assert copies == records
    back = str(tmp_path / "back.db")
    assert cli.main(["import", other, "--store", back]) == 0
    assert runs.open(back).find() == records
    code, _, err = said("export", str(root / "ndg.db"))
    assert (code, "are copied from one run log to another" in err) == (2, True)


def test_a_removed_run_lies_in_the_trash(tmp_path: Path, monkeypatch, capsys):
    with runs.start(None, "train", Experiment(name="net"), tmp_path) as run:
        assert cli.main(["rm", run.id, "--yes", "--runs", str(tmp_path)]) == 2
        assert "still on" in capsys.readouterr().err
    assert cli.main(["rm", run.id, "--runs", str(tmp_path)]) == 2
    assert "say --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    for answer, code in (("n", 2), ("y", 0)):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert cli.main(["rm", run.id, "--runs", str(tmp_path)]) == code
    assert runs.open(tmp_path).find() == []
    kept = tmp_path / ".trash" / run.id
    assert kept.is_dir()
    kept.rename(tmp_path / run.id)
    assert runs.open(tmp_path).adopt(tmp_path) == [run.id]
