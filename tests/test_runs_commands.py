"""Commands that ask the run log, and those that annotate a run."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ndg import cli, runs
from ndg.config import Experiment, Train
from ndg.runs.log import LIST
from ndg.runs.show import LONGEST


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


def test_runs_are_chosen_sorted_and_shown_by_columns(said, root: Path):
    accuracy = "results.train.test_accuracy"
    code, out, _ = said("runs", "seeds.seed>=1", "name!=net3", "--sort", f"-{accuracy}", "--columns", "name", accuracy)
    assert code == 0
    assert [line.split()[1:] for line in out.splitlines()] == [["name", accuracy], ["net2", "0.9"], ["net1", "0.5"]]
    _, out, _ = said("runs", "--sort", "-id", "--columns", "id", "name")
    assert [line.split()[1] for line in out.splitlines()] == ["name", "net3", "net2", "net1"]
    _, out, _ = said("runs", "results.train.größe (50%)=2", "--columns", "name", accuracy, "--md")
    assert out.splitlines()[1:] == ["| --- | --- | --- |", out.splitlines()[2]]
    assert out.splitlines()[2].endswith("| net2 | 0.9 |")
    _, out, _ = said("runs", "--md", f"id={runs.open(root).find(sort='name')[1].id}")
    assert out.splitlines()[0] == "| id | kind | name | status | age | validation | test | aligned |"
    assert out.splitlines()[2].endswith("| – | 0.9000 | – |")
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


def test_a_run_without_chief_figures_shows_its_verdict(tmp_path: Path, capsys):
    agreement = {"agreement_low": 0.995, "agreement_high": 1.0, "n": 900}
    networks = [
        {"network": "original", "parameters": 100, "accuracy_low": 0.9, "agreement": 1.0, **agreement},
        {"network": "compressed", "parameters": 40, "accuracy_low": 0.9, "agreement": 0.999, **agreement},
        {"network": "random", "parameters": 40, "accuracy_low": 0.8, "agreement": 0.87, **agreement},
    ]
    with runs.start(None, "compress", Experiment(), tmp_path) as run:
        run.result("data", {"classes": 4, "commonest": {"test": 0.25}})
        run.result("compress", {"networks": networks})
    assert cli.main(["show", "last", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "What can be removed? ✓ yes: 60 % of the parameters: 0.9990 [0.9950, 1.0000] of 900" in " ".join(out.split())
    assert "networks" not in out
    assert max(map(len, out.split("\n\n")[1].splitlines())) <= 120


def test_of_many_differing_results_a_comparison_shows_the_chief_ones(tmp_path: Path, capsys):
    ids = []
    for rate in (0.25, 0.5):
        with runs.start(None, "align", Experiment(), tmp_path) as run:
            run.result("accuracy", {"test": {"rate": rate, "n": 40}})
            run.result("many", {str(i): [rate] * 100 for i in range(50)})
            ids.append(run.id)
    where = ("--runs", str(tmp_path))
    assert cli.main(["compare", *ids, *where]) == 0
    few = capsys.readouterr().out
    assert "25.0% (40 test examples)" in few
    assert few.splitlines()[-1] == "51 results differ; --all shows each"
    assert "many.7" not in few
    assert cli.main(["compare", *ids, *where, "--all"]) == 0
    every = capsys.readouterr().out
    assert "results.many.7" in every
    assert max(map(len, every.splitlines())) < 40 + 2 * LONGEST
    assert every.splitlines()[-1].endswith("…")


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


def test_all_runs_are_written_as_csv_with_the_columns_of_a_frame(said, root: Path):
    import pandas as pd

    with runs.open(root) as log:
        frame = log.frame(sort="name")
    _, out, _ = said("runs", "--sort", "name", "--csv")
    table = pd.read_csv(io.StringIO(out), index_col="id")
    assert list(table.columns) == list(frame.columns)
    assert list(table.index) == list(frame.index)
    for name in ("name", "status", "seeds.seed", "folder"):
        assert list(table[name]) == list(frame[name])
    assert [json.loads(tags) for tags in table["tags"]] == list(frame["tags"])
    assert table["results.train.test_accuracy"].equals(frame["results.train.test_accuracy"])
    assert "\n".join(out.splitlines()[:2]) == said("runs", "--sort", "name", "--csv", "--limit", "1")[1].rstrip()


def test_a_table_says_that_there_are_more_runs_and_a_csv_has_all(tmp_path: Path, capsys):
    for seed in range(LIST + 1):
        with runs.start(None, "train", Experiment(name="net", seed=seed), tmp_path):
            pass
    where = ("--runs", str(tmp_path))
    for words, lines in ((), LIST + 1), (["--md"], LIST + 2), (["--limit", "3"], 4), (["--csv"], LIST + 2):
        assert cli.main(["runs", *words, *where]) == 0
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == lines, words
        assert ("there are more: --limit N" in err) == (words in ((), ["--md"]))
    assert cli.main(["runs", "--json", *where]) == 0
    assert len(json.loads(capsys.readouterr().out)) == LIST


@pytest.mark.parametrize("words", [["runs", "--store"], ["runs", "--csv", "--store"], ["import"]])
def test_a_file_that_is_named_and_does_not_exist_is_no_empty_run_log(said, tmp_path: Path, words):
    code, out, err = said(*words, str(tmp_path / "typo.db"))
    assert (code, out) == (2, "")
    assert f"there is none at {tmp_path / 'typo.db'}" in err
    assert not (tmp_path / "typo.db").exists()


def test_cells_without_a_value_stay_empty_beside_texts(tmp_path: Path, capsys):
    import pandas as pd

    folder = tmp_path / "runs"
    with runs.start(None, "train", Experiment(), folder) as first:
        pass
    with runs.start(None, "align", Experiment(), folder, first.id):
        pass
    path, words = tmp_path / "all.parquet", ["runs", "--columns", "parent", "--sort", "kind", "--runs", str(folder)]
    assert cli.main([*words, "--parquet", str(path)]) == 0
    table = pd.read_parquet(path)
    assert [None if pd.isna(parent) else parent for parent in table["parent"]] == [first.id, None]
    capsys.readouterr()
    assert cli.main([*words, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines() == ["id,parent", f"{table.index[0]},{first.id}", f"{first.id},"]


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
