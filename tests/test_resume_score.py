"""Scoring that is cut short goes on with --resume to the same numbers; several networks are scored apart."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from analysis import importance_scoreboard
from ndg import runs
from ndg.cli import main
from ndg.runs.record import RunRecord, signed
from ndg.workflows import score

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
QUICK = ["train.epochs=1", "train.schedule=constant", "model.widths=[12]", "extract.compute_batch=16"]
METHODS = ["gndi", "ablation", "shapley:permutations=8", "gradient"]
PLAIN = ["trial.interventions=[]", "report.max_nodes=8"]
LARGE = "extract.compute_batch=256"
"""Batches for tests that cut nothing short inside a method."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the trainings of two seeds, and the options that name it."""
    folder = tmp_path_factory.mktemp("scored")
    options = ["-q", "--runs", str(folder)]
    assert main(["train", "digits_mlp", *QUICK, "--seeds", "0", "1", "--executor", "serial", *options]) == 0
    return folder, options


@pytest.fixture
def alike(home, tmp_path):
    """A folder with the same trainings and no other runs."""
    copy = tmp_path / "runs"
    shutil.copytree(home[0], copy)
    return copy, ["-q", "--runs", str(copy)]


@contextmanager
def damaged(record: RunRecord) -> Iterator[None]:
    """While it lasts the network of a training cannot be read."""
    path = record.folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(b"")
    yield
    path.write_bytes(whole)


def of_kind(folder: Path, kind: str = "score") -> list[RunRecord]:
    """The newest first."""
    with runs.open(str(folder / "ndg.db"), local=folder) as log:
        return list(log.find({"kind": kind}))


def figures(record: RunRecord) -> str:
    return json.dumps(untimed({key: record["results"].get(key) for key in ("scores", "scoreboard")}))


def untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: untimed(item) for key, item in value.items() if key != "seconds"}
    return [untimed(item) for item in value] if isinstance(value, list) else value


def test_a_killed_scoring_goes_on_and_ends_with_the_same_scores(alike):
    folder, options = alike
    asked = ["score", "digits_mlp", *QUICK, "--seeds", "0", "--max-examples", "400", "--method", *METHODS, *options]
    assert main(asked) == 0
    [whole] = of_kind(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "ndg", *asked], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while _lines(folder) < 6 and process.poll() is None:
            time.sleep(0.01)
        killed = process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert killed, "it ended before it could be killed"
    cut = next(record for record in of_kind(folder) if record.id != whole.id)
    kept = {path.name.partition("-")[0] for path in cut.folder.glob("journals/scores/*.jsonl")}
    assert {"gndi", "ablation", "shapley_permutations=8"} <= kept
    assert "gradient" not in kept
    assert main(["score", cut.id, "--resume", *options]) == 0  # as well as by the same words
    found = next(record for record in of_kind(folder) if record.id == cut.id)
    assert (found["status"], len(found["attempts"])) == ("COMPLETED", 2)
    assert figures(found) == figures(whole)
    assert not (found.folder / "journals").exists()
    assert main([*asked, "--resume"]) == 2  # there is nothing to go on with


def _lines(folder: Path) -> int:
    """Finished tasks of Shapley values, which come third."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*/journals/scores/shapley*.tasks.jsonl"))


@pytest.fixture
def counted(monkeypatch):
    """The names that are really scored; an interrupt comes at the one that `stop` says."""
    seen: list[str] = []
    before = score.timed

    def timed(kept: Any, model: Any, loader: Any, layers: Any, asked: str, *how: Any) -> Any:
        if asked == counted.stop:
            raise KeyboardInterrupt
        there = {path.name for path in kept.folder.glob("*.jsonl")}
        found = before(kept, model, loader, layers, asked, *how)
        if {path.name for path in kept.folder.glob("*.jsonl")} != there:
            seen.append(asked)
        return found

    def counted(stop: str | None) -> list[str]:
        counted.stop = stop
        seen.clear()
        return seen

    counted(None)
    monkeypatch.setattr(score, "timed", timed)
    return counted


def test_an_alignment_that_was_cut_short_while_it_scores_goes_on(alike, counted):
    folder, options = alike
    methods = "importance.methods=[ablation,gndi,gradient]"
    scores = [methods, "importance.scoreboard=[gndi]", "importance.max_examples=300", LARGE]
    asked = ["align", "digits_mlp", *QUICK, *PLAIN, *scores, "--seeds", "0", *options]
    assert main(asked) == 0
    [whole] = of_kind(folder, "align")
    seen = counted("gradient")
    assert main(asked) == 130
    assert seen == ["ablation", "gndi"]
    seen = counted(None)
    assert main([*asked, "--resume"]) == 0
    assert seen == ["gradient"]
    found = max(of_kind(folder, "align"), key=lambda record: record.id != whole.id)
    assert len(found["attempts"]) == 2
    assert figures(found) == figures(whole)


def test_a_scoring_goes_on_with_the_graph_that_it_began_with(alike, counted, capsys):
    folder, options = alike
    aligning = ["align", "digits_mlp", *QUICK, *PLAIN, "importance.methods=[]", "--seeds", "0", *options]
    asked = ["score", "digits_mlp", *QUICK, "--seeds", "0", "--method", "gndi", "gradient", *options]
    assert main(aligning) == 0
    counted("gradient")
    assert main(asked) == 130
    assert "the same command with --resume goes on" in capsys.readouterr().err
    [first] = of_kind(folder, "align")
    assert main([*aligning, "extract.layers=[latent, encoder.pre]", "trial.layer=latent"]) == 0
    newer = next(record for record in of_kind(folder, "align") if record.id != first.id)
    assert main(["score", newer.id, "--method", "gndi", "gradient", *options, "--resume"]) == 2
    assert f"continues with the graph that it started with; {of_kind(folder)[0].id} started" in capsys.readouterr().err
    counted(None)
    assert main([*asked, "--resume"]) == 0
    [found] = of_kind(folder)
    assert found["results"]["annotated"]["run"] == first.id
    assert [row["layer"] for row in found["results"]["scores"]["gradient"]["layers"]] == ["latent"]


def test_networks_are_scored_by_ray_to_the_same_documents_and_one_that_fails_loses_no_other(alike, ray_session, capsys):
    folder, options = alike
    asked = ["score", "digits_mlp", *QUICK, "--seeds", "0", "1", "--method", "gndi", "ablation", *options]
    assert main([*asked, "--executor", "serial"]) == 0
    alone = {record["seeds"]["seed"]: record for record in of_kind(folder)}
    assert main([*asked, "--executor", "ray"]) == 0
    assert capsys.readouterr().out.count("scores.csv") == 4
    found = [record for record in of_kind(folder) if record not in alone.values()]
    assert {record["seeds"]["seed"]: figures(record) for record in found} == {
        seed: figures(record) for seed, record in alone.items()
    }
    assert figures(alone[0]) != figures(alone[1])
    broken = next(record for record in of_kind(folder, "train") if record["seeds"]["seed"] == 0)
    with damaged(broken):
        assert main([*asked, "--executor", "ray", "--max-examples", "20", "--json"]) == 2
    told = capsys.readouterr()
    assert [record["seeds"]["seed"] for record in json.loads(told.out)] == [1]
    assert "1 of 2 networks could not be scored, the others are" in told.err
    assert broken.id in told.err


def test_of_several_that_were_cut_short_those_that_are_complete_stay(alike, counted):
    folder, options = alike

    def asked(*seeds: str) -> list[str]:
        return ["score", "digits_mlp", *QUICK, "--seeds", *seeds, "--method", "activation", "gradient", *options]

    assert main(asked("0")) == 0
    [complete] = of_kind(folder)
    counted("gradient")
    assert main(asked("1")) == 130
    seen = counted(None)
    assert main([*asked("0", "1"), "--resume"]) == 0
    assert seen == ["gradient"]
    assert len(of_kind(folder)) == 2
    assert complete in of_kind(folder)


def test_of_several_that_were_cut_short_those_that_never_began_begin(alike, counted, capsys):
    folder, options = alike
    asked = ["score", "digits_mlp", *QUICK, "--seeds", "0", "1", "--method", "activation", "gradient", *options]
    assert main([*asked, "--resume"]) == 2  # none was begun
    assert "there is no score run" in capsys.readouterr().err
    counted("gradient")
    assert main(asked) == 130
    assert len(of_kind(folder)) == 1
    seen = counted(None)
    assert main([*asked, "--resume"]) == 0
    assert seen == ["gradient", "activation", "gradient"]
    assert {record["status"] for record in of_kind(folder)} == {"COMPLETED"}
    assert len(of_kind(folder)) == 2
    assert main([*asked, "--resume"]) == 0  # both stay as they are
    assert len(of_kind(folder)) == 2


def test_other_words_name_what_was_begun_with_others(alike, counted, capsys):
    folder, options = alike
    asked = ["score", "digits_mlp", *QUICK, "--seeds", "0", *options, "--method", "activation"]
    counted("gradient")
    assert main([*asked, "gradient"]) == 130
    [cut] = of_kind(folder)
    assert main([*asked, "--resume"]) == 2
    assert f"{cut.id} is unfinished, and was begun with other settings" in capsys.readouterr().err


def test_a_named_scoring_whose_network_is_not_finished_says_so(alike, counted, capsys):
    folder, options = alike
    counted("gradient")
    assert main(["score", "digits_mlp", *QUICK, "--seeds", "0", "--method", "gradient", *options]) == 130
    [cut] = of_kind(folder)
    with runs.open(str(folder / "ndg.db")) as log:
        failed = signed(dict(log.get(cut["parent"])) | {"status": "FAILED"})
        log.store.update(failed.id, {"$set": {name: failed[name] for name in ("status", "folder", "checksum_record")}})
    capsys.readouterr()
    assert main(["score", cut.id, "--resume", *options]) == 2
    assert f"run {cut['parent']} is" in capsys.readouterr().err


def test_the_script_shares_trainings_out_keeps_scores_and_tells_what_failed(alike, ray_session, tmp_path, capsys):
    folder, _ = alike
    asked = ["--configs", "digits_mlp", "--methods", "gndi", "gradient", "--layers", "latent", "--examples", "20"]
    asked += ["--runs", str(folder), "--seeds", "0", "1"]
    documents = []
    for more in ([], ["--executor", "ray", "--journal", str(tmp_path / "kept")], ["--journal", str(tmp_path / "kept")]):
        written = tmp_path / "board.json"
        assert importance_scoreboard.main([*asked, *more, "--json", str(written)]) == 0
        documents.append(json.loads(written.read_text()))
    assert untimed(documents[0]) == untimed(documents[1])
    assert documents[1] == documents[2]  # the seconds too: nothing was computed again
    assert len(documents[0]["boards"]) == 4
    assert documents[0]["failed"] == {}
    first = of_kind(folder, "train")[0]
    capsys.readouterr()
    with damaged(first):
        assert importance_scoreboard.main([*asked, "--json", str(written)]) == 2
    told = capsys.readouterr()
    assert "1 of 2 trainings have no scoreboard" in told.err
    assert "digits_mlp, trained" in told.out
    document = json.loads(written.read_text())
    assert (len(document["boards"]), list(document["failed"])) == (2, [first.id])


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["importance.methods=[gndi, hrank]"], "hrank cannot score this request"),
        (["importance.methods=[snip]"], "name the one that gives its values"),
        (["importance.layers=[latint]"], "nearest: latent"),
        (["importance.target=11"], "0 to 9; got 11"),
    ],
)
def test_an_alignment_whose_scores_are_refused_says_so_before_it_mines(home, capsys, overrides, why, more):
    folder, options = home
    assert main(["align", "digits_mlp", *QUICK, *PLAIN, *overrides, "--seeds", "0", *more, *options]) == 2
    assert why in capsys.readouterr().err
    assert not of_kind(folder, "align")


def test_of_all_methods_those_that_refuse_are_left_out(alike):
    folder, options = alike
    asked = ["importance.methods=[all]", "importance.max_examples=8", "importance.n_steps=2", "--seeds", "1"]
    assert main(["align", "digits_mlp", *QUICK, *PLAIN, *asked, *options]) == 0
    [record] = of_kind(folder, "align")
    assert "hrank" not in record["results"]["scores"]
    assert "ablation" in record["results"]["scores"]
