"""Finding, comparing and annotating runs, the same in every store."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import ndg.runs
from analysis.log import documents, named, nested
from ndg.config import Data, Experiment
from ndg.errors import RunNotFoundError, UserError
from ndg.runs import show


@pytest.fixture
def ids(uri: str, root: Path, experiment: Experiment) -> list[str]:
    """Two train runs of one training, one of other data, one unfinished, and an align run."""
    made = []
    for accuracy, data in ((0.9, "digits"), (0.97, "digits"), (0.99, "mnist")):
        with ndg.runs.start(uri, "train", replace(experiment, data=Data(name=data)), root) as run:
            run.metric({"epoch": 1, "loss": 0.5})
            run.result("train", {"validation_accuracy": accuracy, "test_accuracy": accuracy - 0.01})
        made.append(run.id)
    with pytest.raises(KeyboardInterrupt), ndg.runs.start(uri, "train", experiment, root) as run:
        raise KeyboardInterrupt
    made.append(run.id)
    with ndg.runs.start(uri, "align", experiment, root, parent=made[1]) as run:
        run.result("trial.q.test", {"aligned": 0.95, "by_class": {3: {"aligned": 10}}})
    return [*made, run.id]


@pytest.fixture
def log(uri: str, ids: list[str]):
    with ndg.runs.open(uri) as opened:
        yield opened


def test_runs_are_found_by_any_dotted_field_newest_first(log, ids):
    assert [run.id for run in log.find()] == ids[::-1]
    assert [run.id for run in log.find({"results.trial.q.test.aligned": {"$gt": 0.9}})] == [ids[4]]
    assert [run.id for run in log.find({"config.data.name": "mnist"})] == [ids[2]]
    assert [run.id for run in log.find({"kind": "train"}, sort="-results.train.validation_accuracy", limit=2)] == ids[
        2:0:-1
    ]
    assert "metrics" not in log.find(limit=1, metrics=False)[0]


def test_a_run_is_got_by_id_by_any_part_of_it_and_by_last(log, ids):
    assert log.get().id == ids[4]
    assert log.get("last", kind="train").id == ids[3]
    assert log.get(ids[1]).id == ids[1]
    assert log.get(ids[1][:-1]).id == ids[1]
    assert log.get(ids[1][-4:]).id == ids[1]
    assert log.get(ids[4][16:-2]).id == ids[4]


def test_a_run_is_got_by_its_folder_also_where_that_is_copied(log, ids, root, tmp_path):
    copy = shutil.copytree(root / ids[1], tmp_path / "copy" / ids[1])
    log.tag(ids[1], "later")
    record = log.get(str(copy), kind="train")
    assert (record.id, record.folder, record["tags"]) == (ids[1], copy, ["later"])
    with ndg.runs.open(tmp_path / "other.db") as other:
        assert other.get(str(copy)).id == ids[1]
    with pytest.raises(RunNotFoundError, match=rf"{ids[1]} is a train run; name one of kind align"):
        log.get(str(copy), kind="align")
    with pytest.raises(RunNotFoundError, match=r"holds its journal.jsonl; .*copy has none that can be read"):
        log.get(str(copy.parent))


def test_a_name_that_fits_no_run_or_several_names_the_nearest(log, ids):
    with pytest.raises(RunNotFoundError, match=rf"no run in .* is named '{ids[1]}x'; nearest: .*{ids[1]}"):
        log.get(ids[1] + "x")
    with pytest.raises(RunNotFoundError, match=rf"'20' must name one run; it fits {ids[4]}, .*{ids[0]}; type more"):
        log.get("20")
    with pytest.raises(RunNotFoundError, match=r"there is no efficiency run in .* yet"):
        log.get("last", kind="efficiency")


def test_the_best_run_is_the_completed_one_of_that_training_with_the_highest_figure(log, ids, experiment):
    assert log.best(experiment.training_digest).id == ids[1]
    with pytest.raises(
        RunNotFoundError,
        match=r"no completed train run of digits_mlp \(training digest .*\) with a results\.none; train one: "
        rf"ndg train digits_mlp; {ids[3]} is INTERRUPTED, go on with --resume",
    ):
        log.best(experiment.training_digest, metric="results.none", name="digits_mlp")


def test_of_equally_good_runs_the_newest_is_the_best(uri, root, experiment):
    for _ in range(3):
        with ndg.runs.start(uri, "train", experiment, root) as run:
            run.result("train", {"validation_accuracy": 0.5})
    assert ndg.runs.open(uri).best(experiment.training_digest).id == run.id


def test_a_figure_that_was_not_finite_is_never_the_best(uri, root, experiment):
    with ndg.runs.start(uri, "train", experiment, root) as run:
        run.result("train", {"validation_accuracy": float("nan")})
    with pytest.raises(RunNotFoundError, match="no completed train run of CONFIG"):
        ndg.runs.open(uri).best(experiment.training_digest)


def test_a_frame_has_a_row_per_run_and_a_dotted_column_per_field(log, ids):
    frame = log.frame(where={"kind": "train", "status": "COMPLETED"}, sort="started")
    assert list(frame.index) == ids[:3]
    assert list(frame["results.train.validation_accuracy"]) == [0.9, 0.97, 0.99]
    assert list(frame["config.data.name"]) == ["digits", "digits", "mnist"]
    assert isinstance(frame["started"].dtype, pd.DatetimeTZDtype)
    assert "metrics" not in frame
    assert log.frame(where={"kind": "none"}).empty
    assert log.frame()["ended"].notna().all()
    counts = log.frame(sort="started", columns=["results.trial", "results.train.validation_accuracy"])
    assert counts["results.trial.q.test.by_class.3.aligned"].dtype == "Int64"  # whole, though four runs have none
    assert counts["results.trial.q.test.by_class.3.aligned"].tolist() == [pd.NA] * 4 + [10]
    assert counts["results.train.validation_accuracy"].dtype == float


def test_scripts_read_documents_from_a_frame_alone(log, ids):
    records = documents(log, {"status": "COMPLETED"}, ["results"])
    for record in records:
        whole = log.get(record.id)
        same = ("kind", "name", "seeds", "folder", "results", "training_digest", "device", "parent")
        assert [record[name] for name in same] == [whole[name] for name in same]
        assert record["config"]["data"] == whole["config"]["data"]
    assert len(records) == 4
    with ndg.runs.start(log.store, "sweep", Experiment(), log.get("last").folder.parent) as run:
        run.result("sweep", {"rows": ["x" * 200_000]})
    [record] = documents(log, {"kind": "sweep"})
    assert record["results"]["sweep"]["rows"] == ["x" * 200_000]
    for path in (run.folder / "results").iterdir():
        path.unlink()
    assert documents(log, {"kind": "sweep"}) == []
    assert nested({"a.b": None, "a.c": 1, "d.e": None, "f": None, "g": {}}) == {
        "a": {"b": None, "c": 1},
        "f": None,
        "g": {},
    }
    assert list(log.metrics(ids[0])["loss"]) == [0.5]


def test_scripts_take_a_run_of_a_kind_by_a_part_of_its_id(log, ids):
    for name, id in (
        ("last", 3),
        ("last:train", 3),
        (ids[1], 1),
        (ids[1][:-1], 1),
        (ids[2][-4:], 2),
        (ids[0][9:-2], 0),
    ):
        assert named(log, name, "train").id == ids[id]
    assert named(log, "last", "align")["parent"] == ids[1]
    with pytest.raises(RunNotFoundError, match=r"must name one train run; it fits 4, such as .*; type more of the id"):
        named(log, "train", "train")
    for name in (ids[4], "", "nothing", "last:align"):
        with pytest.raises(RunNotFoundError, match=rf"no train run in .* is named '{name}'; `ndg runs kind=train`"):
            named(log, name, "train")


def test_a_dot_in_a_key_is_escaped_in_a_path(uri, root, experiment):
    with ndg.runs.start(uri, "train", experiment, root) as run:
        run.metric({"epoch": 1, "conv1.loss": 0.5, "fc.loss": float("nan")})
        run.result("norms", {"conv1.weight": {"l2": 3.0}})
    with ndg.runs.open(uri) as log:
        for path in (r"results.norms.conv1\.weight.l2", r"metrics.conv1\.loss", r"metrics.0.conv1\.loss"):
            assert log.find({path: {"$gt": 0.1}}, sort=f"-{path}")[0].id == run.id
            assert log.find({path: {"$gt": 4}}) == []
        frame = log.frame(columns=["results", r"results.norms.conv1\.weight.l2"])
        assert frame.columns.tolist() == [r"results.norms.conv1\.weight.l2"]
        record = log.get()
        assert (
            record.figure(r"results.norms.conv1\.weight") == record.load(r"results.norms.conv1\.weight") == {"l2": 3.0}
        )
        assert log.metrics().columns.tolist() == ["conv1.loss", "fc.loss"]
        assert r"metrics.0.fc\.loss" in show.text(record)
        assert nested({r"a.b\.c": 1}) == {"a": {"b\uff0ec": 1}}


def test_tags_and_notes_can_be_asked_for_and_change_nothing_else(log, ids):
    before = log.get(ids[0])
    after = log.tag(ids[0], "paper", "fig-2")
    assert after == ndg.runs.record.signed({**before, "tags": ["paper", "fig-2"], "edits": after["edits"]})
    assert {name for name in after if after[name] != before[name]} == {"tags", "edits", "checksum_edits"}
    assert [run.id for run in log.find({"tags": "fig-2"})] == [ids[0]]
    assert log.untag(ids[0], "fig-2")["tags"] == ["paper"]
    assert log.note(ids[0], "the one")["notes"] == "the one"
    assert ndg.runs.record.read(before.folder) == log.get(ids[0])
    with pytest.raises(RunNotFoundError):
        log.tag("nothing", "x")


def test_a_log_shows_itself(log, ids):
    assert repr(log).startswith(log.uri)
    assert ids[0] in repr(log)
    assert log._repr_html_().count("<tr>") == 6


def test_an_empty_log_answers(tmp_path: Path):
    log = ndg.runs.open(tmp_path / "ndg.db")
    assert log.find() == []
    assert log.frame().empty
    assert "no runs" in repr(log)
    assert log._repr_html_().count("<tr>") == 1
    with pytest.raises(RunNotFoundError, match=r"there is no run in .*ndg\.db yet"):
        log.get()
    assert list(tmp_path.iterdir()) == []


def test_files_are_found_where_the_run_made_them_or_under_a_root(log, ids, root: Path, tmp_path: Path):
    run = log.get(ids[0])
    assert run.locate() == run.folder
    with pytest.raises(RunNotFoundError, match=rf"run {ids[0]} has no artefact 'graph'; it has: none"):
        run.artefact("graph")
    moved = tmp_path / "moved"
    root.rename(moved)
    assert run.locate(moved) == moved / ids[0]
    with pytest.raises(
        RunNotFoundError, match=rf"the files of run {ids[0]} are on .* in {run.folder}, and not here; copy"
    ):
        run.locate()


def test_tags_and_notes_have_a_limit_and_stay_as_they_were(log, ids):
    log.note("last", "short")
    with pytest.raises(UserError, match=r"tags and notes .* take at most 50 kB; with these they take 60; write a file"):
        log.note("last", "x" * 60_000)
    assert log.get("last")["notes"] == "short"
