"""An align run that was cut short goes on as the same run, with what lies in its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ndg.runs
from ndg.config import Criterion, Experiment
from ndg.errors import RunNotFoundError
from ndg.executors import Journal, Serial
from ndg.runs import record as records
from ndg.runs.begin import finished

REPOSITORY = Path(__file__).parent.parent.parent
TRAINED = "20261121-001200-digits_mlp-train-3f2a"

Cut = Callable[..., str]


@pytest.fixture
def cut(uri: str, root: Path, experiment: Experiment) -> Cut:
    """Makes an align run that ends by an interrupt, or by another error, and gives its id."""

    def run(parent: str | None = TRAINED, error: type[BaseException] = KeyboardInterrupt, **settings: Any) -> str:
        one = ndg.runs.start(uri, "align", replace(experiment, **settings), root, parent=parent)
        with suppress(error), one:
            one.result("graph", {"implications": 5})
            (one.folder / "trial.q.test.jsonl").write_text("half\n")
            (one.folder / "graph.json").write_text("{}")
            one.artefact(one.folder / "graph.json")
            raise error
        return one.id

    return run


def unfinished(root: Path, experiment: Experiment, parent: str | None = TRAINED) -> str:
    return ndg.runs.unfinished(root, experiment, kind="align", parent=parent).id


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_it_is_reopened_with_its_folder_and_written_anew(uri: str, root: Path, experiment: Experiment, cut: Cut, error):
    id = cut(error=error)
    with ndg.runs.resume(uri, experiment, root, kind="align", parent=TRAINED, device="cpu") as run:
        assert (run.id, run.folder.name, run.record["status"]) == (id, id, "RUNNING")
        assert (run.folder / "trial.q.test.jsonl").read_text() == "half\n"
        run.result("graph", {"implications": 6})
        run.artefact(run.folder / "graph.json")
    with ndg.runs.open(uri) as log:
        (record,) = log.find()
    assert record == records.read(root / id)
    assert (record["kind"], record["parent"], record["status"]) == ("align", TRAINED, "COMPLETED")
    assert record["results"] == {"graph": {"implications": 6}}
    first, second = record["attempts"]
    assert first["results"] == {"graph": {"implications": 5}}
    assert [entry["name"] for entry in first["artefacts"]] == ["graph.json"]
    assert (first["status"], second["status"]) == (
        "INTERRUPTED" if error is KeyboardInterrupt else "FAILED",
        "COMPLETED",
    )
    assert record["started"] == first["started"] < second["started"]


def test_only_the_same_config_about_the_same_run_is_the_same(root: Path, experiment: Experiment, cut: Cut):
    id = cut()
    assert unfinished(root, replace(experiment, name="other")) == id
    for other, parent in (
        (replace(experiment, criterion=Criterion(alpha=[50.0])), TRAINED),
        (replace(experiment, seed=4), TRAINED),
        (experiment, "another"),
        (experiment, None),
    ):
        with pytest.raises(RunNotFoundError) as caught:
            unfinished(root, other, parent)
        about = f"run {parent}" if parent else "a network that no run has trained"
        near = f"; {id} is unfinished, and was begun with other settings: give those" if parent == TRAINED else ""
        assert str(caught.value) == (
            f"there is no align run of 'digits_mlp' (config digest {other.digest}, about {about}) in {root}{near}; "
            "start one without --resume"
        )


def test_of_those_with_other_settings_the_newest_unfinished_is_named(
    uri: str, root: Path, experiment: Experiment, cut: Cut
):
    cut()
    newest = cut(criterion=Criterion(alpha=[20.0]))
    with ndg.runs.start(uri, "align", replace(experiment, seed=5), root, parent=TRAINED):
        pass
    with pytest.raises(RunNotFoundError, match=f"; {newest} is unfinished, and was begun with other settings"):
        unfinished(root, replace(experiment, criterion=Criterion(alpha=[50.0])))


def test_what_was_begun_is_known_whatever_became_of_it(uri: str, root: Path, experiment: Experiment, cut: Cut):
    id = cut()
    with ndg.runs.start(uri, "align", experiment, root, parent=TRAINED) as run:
        pass
    cut(parent="another")
    assert {record.id for record in ndg.runs.begun(root, experiment, kind="align", parent=TRAINED)} == {id, run.id}
    assert ndg.runs.begun(root, replace(experiment, seed=4), kind="align", parent=TRAINED) == []


def test_kinds_are_not_mixed_up(uri: str, root: Path, experiment: Experiment, cut: Cut):
    id = cut(parent=None)
    with pytest.raises(RunNotFoundError, match="there is no train run of"):
        ndg.runs.resume(uri, experiment, root)
    with suppress(KeyboardInterrupt), ndg.runs.start(uri, "train", experiment, root) as training:
        raise KeyboardInterrupt
    assert ndg.runs.unfinished(root, experiment).id == training.id
    assert unfinished(root, experiment, None) == id
    with pytest.raises(RunNotFoundError, match="there is no layers run of 'digits_mlp'"):
        ndg.runs.unfinished(root, experiment, kind="layers")


def test_of_several_the_newest_goes_on(root: Path, experiment: Experiment, cut: Cut):
    ids = [cut() for _ in range(3)]
    started = {id: f"2026-01-01T00:00:0{at}.000Z" for at, id in zip((1, 3, 2), ids, strict=True)}
    for id, moment in started.items():
        found = records.read(root / id)
        assert found is not None
        rows = [{"step": step} for step in range(ids.index(id) == 0)]
        records.write(found | {"started": moment, "metrics": rows}, root / id)
    assert unfinished(root, experiment) == ids[1]


def test_after_a_completed_one_there_is_nothing_to_resume(uri: str, root: Path, experiment: Experiment, cut: Cut):
    cut()
    with ndg.runs.start(uri, "align", experiment, root, parent=TRAINED) as run:
        pass
    with pytest.raises(
        RunNotFoundError, match=rf"no unfinished align run .*; {run.id} is complete; start another without --resume"
    ):
        ndg.runs.resume(uri, experiment, root, kind="align", parent=TRAINED)


def test_a_complete_one_is_known_until_a_later_one_is_cut_short(uri: str, root: Path, experiment: Experiment, cut: Cut):
    about: dict[str, Any] = {"kind": "align", "parent": TRAINED}
    cut()
    assert finished(root, experiment, **about) is None
    with ndg.runs.start(uri, "align", experiment, root, parent=TRAINED) as run:
        assert finished(root, experiment, **about) is None
    for other in (replace(experiment, seed=4), replace(experiment, criterion=Criterion(alpha=[50.0]))):
        assert finished(root, other, **about) is None
    assert finished(root, experiment, kind="align", parent="another") is None
    with ndg.runs.start(uri, "align", experiment, root, parent=TRAINED):  # alive: not an end
        complete = finished(root, experiment, **about)
    assert complete is not None
    assert complete.id == run.id
    id = cut()
    record = records.read(root / id)
    assert record is not None
    records.write(record | {"started": "2999-01-01T00:00:00.000Z"}, root / id)
    assert finished(root, experiment, **about) is None


def test_a_living_one_is_not_reopened(uri: str, root: Path, experiment: Experiment):
    with (
        ndg.runs.start(uri, "align", experiment, root, parent=TRAINED) as run,
        pytest.raises(RunNotFoundError, match=rf"still alive cannot be resumed; {run.id} \(process \d+ on .*\) gave"),
    ):
        ndg.runs.resume(uri, experiment, root, kind="align", parent=TRAINED)


KILLED = """
import os, signal, sys
import ndg.runs
from ndg.config import Experiment
from ndg.executors import Journal, Serial
from tests.runs.test_resume_align import Count, count

uri, root, parent = sys.argv[1:4]
with ndg.runs.start(uri, "align", Experiment(name="digits_mlp", seed=3), root, parent=parent) as run:

    def until(shared, task):
        if task == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return count(shared, task)

    Serial().total(until, 3, range(10), "counts", journal=Journal(run.folder / "counts.jsonl", "d", Count.of))
"""


class Count:
    """A sum that knows how to be written."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __add__(self, other: Count) -> Count:
        return Count(self.n + other.n)

    def to_dict(self) -> dict[str, int]:
        return {"n": self.n}

    @classmethod
    def of(cls, read: dict[str, int]) -> Count:
        return cls(**read)


def count(shared: int, task: int) -> Count:
    return Count(shared**task)


def test_a_killed_one_goes_on_with_the_tasks_that_its_journal_has(uri: str, root: Path, experiment: Experiment):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, uri, str(root), TRAINED],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -9, done.stderr
    with ndg.runs.resume(uri, experiment, root, kind="align", parent=TRAINED) as run:
        worked = []

        def work(shared: int, task: int) -> Count:
            worked.append(task)
            return count(shared, task)

        journal = Journal(run.folder / "counts.jsonl", "d", Count.of)
        assert Serial().total(work, 3, range(10), "counts", journal=journal).n == sum(3**task for task in range(10))
    assert worked == [6, 7, 8, 9]
    assert [attempt["status"] for attempt in run.record["attempts"]] == ["RUNNING", "COMPLETED"]
