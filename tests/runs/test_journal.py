"""The journal of a run is its one true copy, with one writer; stores are behind it, never ahead."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

import ndg.runs
from ndg import cli
from ndg.config import Experiment
from ndg.errors import RunNotFoundError
from ndg.runs import edits, journal, merging
from ndg.runs import record as records
from ndg.runs.store import connect
from ndg.signed_lines import signed_line


def cut(root: Path, experiment: Experiment) -> Path:
    """The folder of a run that was interrupted after two rows."""
    run = ndg.runs.start(None, "train", experiment, root)
    with suppress(KeyboardInterrupt), run:
        run.metric({"epoch": 1, "loss": 0.5})
        run.metric({"epoch": 2, "loss": 0.4})
        raise KeyboardInterrupt
    return run.folder


def test_a_row_costs_the_same_however_many_there_are(root: Path, experiment: Experiment):
    with ndg.runs.start(None, "train", experiment, root) as run:
        sizes = []
        for epoch in range(100, 200):
            run.metric({"epoch": epoch, "loss": 0.5})
            sizes.append((run.folder / journal.FILE).stat().st_size)
    growth = {after - before for before, after in pairwise(sizes)}
    assert max(growth) - min(growth) <= 4  # digits of the row and of the revision
    assert [row["epoch"] for row in records.read(run.folder)["metrics"]] == list(range(100, 200))


def test_every_row_is_in_the_journal_when_its_call_returns(root: Path, experiment: Experiment):
    with ndg.runs.start("memory://lag", "train", experiment, root) as run:
        for epoch in range(5):
            run.metric({"epoch": epoch})
            assert len(records.read(run.folder)["metrics"]) == epoch + 1


def test_a_line_cut_short_is_left_out_and_a_resumed_run_goes_on_after_the_whole_ones(root, experiment):
    folder = cut(root, experiment)
    path = folder / journal.FILE
    whole = path.read_bytes()
    path.write_bytes(whole + signed_line({"revision": 99, "at": "x", "row": [0, {"epoch": 9}]})[:-5])
    assert [row["epoch"] for row in records.read(folder)["metrics"]] == [1, 2]
    with ndg.runs.resume(None, experiment, root) as run:
        run.metric({"epoch": 3})
    assert path.read_bytes().startswith(whole)
    record = records.read(folder)
    assert [row["epoch"] for row in record["metrics"]] == [1, 2, 3]
    assert record["status"] == "COMPLETED"
    assert ndg.runs.open(root).get(run.id) == record


def test_of_runs_that_are_resumed_at_once_one_goes_on(root: Path, experiment: Experiment):
    folder = cut(root, experiment)
    runs = [ndg.runs.resume(None, experiment, root) for _ in range(6)]
    started, refused, ready = [], [], threading.Barrier(len(runs))

    def go_on(run: ndg.runs.Run) -> None:
        ready.wait()
        try:
            run.__enter__()
            started.append(run)
        except RunNotFoundError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=go_on, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started[0].__exit__(None, None, None)
    assert len(started) == 1
    assert len(refused) == 5
    assert all("still alive cannot be resumed; another process writes to" in text for text in refused)
    with pytest.raises(RunNotFoundError, match="another process went on with"):
        runs[1].__enter__()
    assert len(records.read(folder)["attempts"]) == 2


def test_a_process_with_the_number_of_an_earlier_one_is_another(root: Path, experiment: Experiment):
    record = records.read(cut(root, experiment))
    for change, state in (({}, "RUNNING"), ({"born": 1}, "RUNNING (process gone"), ({"boot": "x"}, "RUNNING (process")):
        known = records.RunRecord({**record, "status": "RUNNING", "pid": os.getpid(), **change})
        assert known.state().startswith(state)
    silent = records.RunRecord({**record, "status": "RUNNING", "heartbeat": "2026-01-01T00:00:00.000Z"})
    assert not silent.dead()


def test_an_older_version_never_replaces_a_newer_one_and_edits_of_both_stay(uri, root, experiment):
    folder = cut(root, experiment)
    new = records.read(folder)
    old = records.signed({**new, "revision": 2, "metrics": [], "status": "RUNNING"})
    tagged = records.signed({**old, **edits.fields([edits.new([], "tag", "paper")])})
    noted = records.signed({**new, **edits.fields([edits.new([], "note", "good")])})
    for first, second in ((tagged, noted), (noted, tagged)):
        store = connect(uri)
        store.remove(new.id)
        merging.put(store, first)
        joined = merging.put(store, second)
        assert store.find() == [joined]
        assert (joined["status"], len(joined["metrics"])) == ("INTERRUPTED", 2)
        assert (joined["tags"], joined["notes"]) == (["paper"], "good")
        assert records.damage(joined) == ""
        store.close()


def test_a_store_that_is_behind_is_read_with_the_journals_and_synced(tmp_path, root, experiment, capsys, caplog):
    uri = str(tmp_path / "elsewhere.db")
    with ndg.runs.start(uri, "train", experiment, root) as run:
        run.metric({"epoch": 1})
        early = connect(uri).find()
        run.metric({"epoch": 2})
    early_document = records.signed({**run.record, "metrics": [], "revision": 1, "journal": 1, "status": "RUNNING"})
    assert early
    early_document = records.signed(early_document | edits.fields([edits.new([], "tag", "there")]))
    connect(uri).replace(early_document)
    here = records.read(run.folder)
    both = records.signed(here | edits.fields(early_document["edits"]))
    caplog.set_level("INFO")
    with ndg.runs.open(uri, local=root) as log:
        assert log.get("last") == both
        assert [found["status"] for found in log.find({"status": "COMPLETED"})] == ["COMPLETED"]
        assert log.find({"status": "RUNNING"}) == []
        assert "is behind the folders of 1 runs" in caplog.text
    assert connect(uri).find() == [early_document]
    assert cli.main(["sync", "--store", uri, "--runs", str(root)]) == 0
    assert run.id in capsys.readouterr().out
    assert connect(uri).find() == [both]
    assert cli.main(["sync", "--store", uri, "--runs", str(root)]) == 0
    assert "is up to date" in capsys.readouterr().out


def test_a_lost_embedded_file_is_read_and_made_again_from_journals(root: Path, experiment: Experiment):
    folder = cut(root, experiment)
    (root / "ndg.db").unlink()
    with ndg.runs.open(root) as log:
        assert log.find() == [records.read(folder)]
        assert not (root / "ndg.db").exists()
        assert log.adopt(root) == [folder.name]
        assert log.store.find() == [records.read(folder)]
