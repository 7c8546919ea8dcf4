"""A run that was cut short goes on as the same run."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ndg.runs
from ndg.config import Criterion, Experiment, Train
from ndg.errors import RunNotFoundError
from ndg.runs import record as records


def cut(uri: str | None, root: Path, experiment: Experiment, error: BaseException, epochs: int = 2) -> str:
    """The id of a run that ended by `error` after some epochs."""
    run = ndg.runs.start(uri, "train", experiment, root, tags=["kept"])
    with suppress(type(error)), run:
        for epoch in range(1, epochs + 1):
            run.metric({"epoch": epoch, "loss": 1 / epoch})
        run.result("train", {"validation_accuracy": float("nan")})
        (run.folder / "best.bin").write_bytes(b"")
        run.artefact(run.folder / "best.bin")
        raise error
    return run.id


def alter(root: Path, id: str, **fields: Any) -> None:
    """Make a record say something else, as another machine or another day would."""
    found = records.read(root / id)
    assert found is not None
    records.write(found | fields, root / id)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("bad")])
def test_metrics_go_on_and_each_start_is_recorded(uri: str, root: Path, experiment: Experiment, error: BaseException):
    id = cut(uri, root, experiment, error)
    ndg.runs.open(uri).note(id, "again")
    with ndg.runs.resume(uri, experiment, root, device="cpu") as run:
        assert run.id == id
        assert (run.record["status"], run.record["error"], run.record["ended"]) == ("RUNNING", None, None)
        run.metric({"epoch": 2, "loss": 0.4})
        run.metric({"epoch": 3, "loss": 0.3})
        run.result("train", {"validation_accuracy": 0.9})
        run.artefact(run.folder / "best.bin")
    with ndg.runs.open(uri) as log:
        (record,) = log.find()
    assert record == records.read(root / id)
    assert record["status"] == "COMPLETED"
    assert [(row["epoch"], row["loss"]) for row in record["metrics"]] == [(1, 1.0), (2, 0.4), (3, 0.3)]
    assert record["results"] == {"train": {"validation_accuracy": 0.9}}
    assert record["nonfinite"] == []
    assert (record["tags"], record["notes"]) == (["kept"], "again")
    first, second = record["attempts"]
    assert first["status"] == ("INTERRUPTED" if isinstance(error, KeyboardInterrupt) else "FAILED")
    assert first["results"] == {"train": {"validation_accuracy": None}}
    assert [entry["name"] for entry in first["artefacts"]] == ["best.bin"]
    assert (second["status"], second["device"], second["epochs"], second["pid"]) == ("COMPLETED", "cpu", 3, os.getpid())
    assert record["started"] == first["started"] < second["started"]


def test_a_run_written_locally_goes_on_in_the_store_it_can_reach_now(uri: str, root: Path, experiment: Experiment):
    id = cut(None, root, experiment, KeyboardInterrupt())
    with ndg.runs.resume(uri, experiment, root) as run:
        pass
    assert run.id == id
    assert ndg.runs.open(uri).get(id)["status"] == "COMPLETED"


def test_a_dead_run_is_reopened_and_its_attempt_keeps_when_it_was_last_heard(root: Path, experiment: Experiment):
    id = cut(None, root, experiment, KeyboardInterrupt())
    heard = "2026-01-01T00:00:00.000Z"
    found = records.read(root / id)
    assert found is not None
    attempt = {key: found["attempts"][0][key] for key in ("started", "host")}
    alter(root, id, status="RUNNING", host="elsewhere", heartbeat=heard, ended=None, attempts=[attempt])
    with ndg.runs.resume(None, experiment, root) as run:
        pass
    first, second = run.record["attempts"]
    assert (first["status"], first["ended"], first["epochs"]) == ("RUNNING", heard, 2)
    assert second["status"] == "COMPLETED"


def test_a_living_run_is_not_reopened(root: Path, experiment: Experiment):
    with (
        ndg.runs.start(None, "train", experiment, root) as run,
        pytest.raises(
            RunNotFoundError, match=rf"still alive cannot be resumed; {run.id} \(process \d+ on .*\) gave a sign"
        ),
    ):
        ndg.runs.resume(None, experiment, root)


def test_a_silent_run_of_another_host_is_dead_after_a_while_only(root: Path, experiment: Experiment):
    id = cut(None, root, experiment, KeyboardInterrupt())
    alter(root, id, status="RUNNING", host="elsewhere")
    with pytest.raises(RunNotFoundError, match="still alive"):
        ndg.runs.unfinished(root, experiment)
    alter(root, id, heartbeat="2026-01-01T00:00:00.000Z")
    assert ndg.runs.unfinished(root, experiment).id == id


def test_only_the_same_training_and_seed_is_the_same_run(root: Path, experiment: Experiment):
    id = cut(None, root, experiment, KeyboardInterrupt())
    same = replace(experiment, name="other", criterion=Criterion(alpha=[50.0]))
    assert ndg.runs.unfinished(root, same).id == id
    for other in (replace(experiment, seed=4), replace(experiment, train=Train(epochs=3))):
        with pytest.raises(
            RunNotFoundError, match=r"there is no train run of 'digits_mlp' \(training digest .*, seed \d\)"
        ):
            ndg.runs.unfinished(root, other)


def test_of_several_the_one_with_most_epochs_goes_on(root: Path, experiment: Experiment):
    ids = [cut(None, root, experiment, KeyboardInterrupt(), epochs) for epochs in (1, 3, 2)]
    assert ndg.runs.unfinished(root, experiment).id == ids[1]


def test_after_a_completed_run_there_is_nothing_to_resume(root: Path, experiment: Experiment):
    cut(None, root, experiment, KeyboardInterrupt())
    with ndg.runs.start(None, "train", experiment, root) as run:
        pass
    with pytest.raises(
        RunNotFoundError, match=rf"there is no unfinished train run .*; {run.id} is complete; start another"
    ):
        ndg.runs.resume(None, experiment, root)


def test_a_broken_record_is_passed_over(root: Path, experiment: Experiment):
    id = cut(None, root, experiment, KeyboardInterrupt())
    (root / "20990101-000000-x-train-ffff").mkdir()
    (root / "20990101-000000-x-train-ffff" / "record.json").write_text('{"_id": ')
    assert ndg.runs.unfinished(root, experiment).id == id
