"""A store that cannot be reached costs one warning, never a run; a folder that cannot be written stops at once."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

import ndg.runs
from ndg.config import Experiment
from ndg.errors import OutputError, RunNotFoundError, StoreError
from tests.mongo_server import free_port, mongo_server


@pytest.fixture
def nowhere() -> str:
    """A URI at which nothing answers, given up after a moment."""
    return f"mongodb://user:secret@127.0.0.1:{free_port()}/ndg?serverSelectionTimeoutMS=200"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_store_that_is_not_there_at_the_start_costs_one_warning(nowhere, root, experiment, caplog):
    with ndg.runs.start(nowhere, "train", experiment, root) as run:
        run.metric({"epoch": 1})
        run.result("train", {"validation_accuracy": 0.9})
    (warning,) = warnings(caplog)
    assert "the run log mongodb://user:***@127.0.0.1" in warning
    assert f"Run {run.id} goes on and is written to {run.folder / 'journal.jsonl'}; it is sent again" in warning
    assert "secret" not in warning
    record = ndg.runs.open(root / "ndg.db").get(run.id)
    assert record["status"] == "COMPLETED"
    assert record["results"]["train"]["validation_accuracy"] == 0.9
    assert record == ndg.runs.record.read(run.folder)


def test_a_server_that_dies_in_the_middle_and_comes_back_has_the_whole_run(tmp_path, root, experiment, caplog):
    options, folder = "ndg?serverSelectionTimeoutMS=300&connectTimeoutMS=300", tmp_path / "data"
    with mongo_server(tmp_path, data=folder) as server:
        port, uri = int(server.rpartition(":")[2]), f"{server}/{options}"
        run = ndg.runs.start(uri, "train", experiment, root)
        run.__enter__()
        run.metric({"epoch": 1})
        ndg.runs.open(uri).tag(run.id, "early")
    run.metric({"epoch": 2})
    run.metric({"epoch": 3})
    deadline = time.monotonic() + 20
    while not warnings(caplog) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(warnings(caplog)) == 1
    assert len(ndg.runs.open(root).get(run.id)["metrics"]) == 3
    with mongo_server(tmp_path, port, folder):
        with ndg.runs.open(uri) as log:
            assert [row["epoch"] for row in log.get(run.id)["metrics"]] == [1, 2, 3]
        run.__exit__(None, None, None)
        with ndg.runs.open(uri) as log:
            record = log.get(run.id)
    assert [row["epoch"] for row in record["metrics"]] == [1, 2, 3]
    assert (record["status"], record["tags"]) == ("COMPLETED", ["early"])
    assert len(warnings(caplog)) == 1


def test_runs_written_locally_are_brought_over_by_adopting_them(nowhere, mongo_uri, root, experiment):
    with ndg.runs.start(nowhere, "train", experiment, root) as run:
        run.result("train", {"validation_accuracy": 0.9})
    with ndg.runs.open(f"{mongo_uri}/adopt", local=root) as log:
        for ask in (lambda: log.get("last"), lambda: log.get(run.id), lambda: log.best(experiment.training_digest)):
            with pytest.raises(
                RunNotFoundError, match=rf"{root} holds {run.id}: bring it over with .*adopt\('{root}'\)"
            ):
                ask()
        assert log.adopt(root) == [run.id]
        assert log.adopt(root) == []
        assert log.best(experiment.training_digest) == ndg.runs.record.read(run.folder)


def test_a_store_that_does_not_answer_is_an_error_and_no_other_log_answers(nowhere, root, experiment, caplog):
    with ndg.runs.start(None, "train", experiment, root):
        pass
    for local in (None, root):
        with pytest.raises(StoreError, match=r"check that the server runs .* or name another log with --store"):
            ndg.runs.open(nowhere, local=local).get("last")
    assert not warnings(caplog)


def test_without_any_store_the_record_is_still_written(root, experiment, caplog):
    root.mkdir()
    (root / "ndg.db").write_bytes(b"no database " * 100)
    with ndg.runs.start(None, "train", experiment, root) as run:
        run.metric({"epoch": 1})
    (warning,) = warnings(caplog)
    assert f"Run {run.id} goes on and is written to {run.folder / 'journal.jsonl'}; it is sent again" in warning
    record = ndg.runs.record.read(run.folder)
    assert record is not None
    assert (record["status"], len(record["metrics"])) == ("COMPLETED", 1)
    (root / "ndg.db").unlink()
    log = ndg.runs.open(root)
    assert log.adopt(root) == [run.id]
    assert log.get("last") == record


def unwritable(tmp_path: Path) -> list[Path]:
    """Places where nobody, root included, can make a folder."""
    (tmp_path / "file").write_text("")
    return [tmp_path / "file", tmp_path / "file" / "runs", Path("/proc/runs")]


@pytest.mark.parametrize("place", range(3))
def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, experiment, place: int, caplog):
    root = unwritable(tmp_path)[place]
    with pytest.raises(
        OutputError, match=rf"each run makes a folder of its own in {root}, and none can be made there: "
    ):
        ndg.runs.start(None, "train", experiment, root).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert warnings(caplog) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_root_is_an_error_and_leaves_nothing(tmp_path, experiment):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied; make it writable, or choose another place"):
        ndg.runs.start(None, "train", experiment, tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_lost_in_the_middle_fails_the_run_and_the_store_knows(uri, root, experiment):
    with pytest.raises(OutputError, match=r"journal\.jsonl cannot be written: No such file"):
        lose_the_folder(uri, root, experiment)
    with ndg.runs.open(uri) as log:
        record = log.get("last")
    assert record["status"] == "FAILED"
    assert record["error"].startswith("OutputError: ")
    assert record["metrics"] == [{"epoch": 1}]


def lose_the_folder(uri: str, root: Path, experiment: Experiment) -> None:
    with ndg.runs.start(uri, "train", experiment, root) as run:
        (run.folder / "journal.jsonl").unlink()
        run.folder.rmdir()
        run.metric({"epoch": 1})
