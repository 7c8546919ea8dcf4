"""Every record that is read back is compared with its checksums, also without its metrics."""

from __future__ import annotations

import json
import shutil
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

import ndg.runs
from ndg import cli
from ndg.config import Experiment
from ndg.errors import RunNotFoundError
from ndg.runs import record as records
from ndg.runs.record import RunRecord


@pytest.fixture
def run(uri: str, root: Path, experiment: Experiment) -> RunRecord:
    with ndg.runs.start(uri, "train", experiment, root, tags=["paper"]) as started:
        started.metric({"epoch": 1, "loss": 0.5})
        started.result("train", {"validation_accuracy": 0.9})
    return started.record


CHANGES: list[dict[str, Any]] = [
    {"name": "digits_mlq"},
    {"status": "FAILED"},
    {"results": {"train": {"validation_accuracy": 0.8}}},
    {"results": {}},
    {"tags": ["pager"]},
    {"tags": []},
    {"notes": "x"},
    {"seeds": {"seed": 2}},
    {"format": 1},
    {"format": 4},
    {"format": None},
    {"checksum_record": None},
    {"checksum_edits": "0" * 32},
    {"another": 1},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_changed_field_is_noticed_with_and_without_metrics(uri, root, run, change, caplog, capsys):
    with ndg.runs.open(uri) as log:
        log.store.update(run.id, {"$set": change})
        for shown in (log.find, lambda: log.find(metrics=False), lambda: log.find({"kind": "train"}, metrics=False)):
            caplog.clear()
            assert shown() == []
            assert "is left out, because it is damaged" in caplog.text
        assert log.frame().empty
        assert "no runs" in repr(log)
        with pytest.raises(RunNotFoundError, match="is damaged; restore it"):
            log.get(run.id)
        assert log.adopt(root) == [run.id]
        assert log.get(run.id) == run
    assert cli.main(["runs", "--store", uri, "--runs", str(root)]) == 0
    assert "digits_mlp" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--where", '{"kind": "train"}'], ["--json"]])
def test_one_flipped_bit_of_the_log_is_not_printed(tmp_path, root, experiment, options, capsys):
    uri = str(tmp_path / "log.db")
    with ndg.runs.start(uri, "train", experiment, root):
        pass
    path = Path(uri)
    content = path.read_bytes()
    assert b"digits_mlp" in content
    path.write_bytes(content.replace(b"digits_mlp", b"digits_mlq"))
    assert cli.main(["runs", "--store", uri, "--runs", str(tmp_path / "none"), *options]) == 0
    captured = capsys.readouterr()
    assert "digits_ml" not in captured.out
    assert "is left out, because it is damaged" in captured.err


def test_a_changed_metric_is_noticed_where_metrics_are_read(uri, run):
    with ndg.runs.open(uri) as log:
        log.store.update(run.id, {"$set": {"metrics": [{"epoch": 1, "loss": 0.25}]}})
        assert [found.id for found in log.find(metrics=False)] == [run.id]
        assert log.find() == []


def former(run: RunRecord, **changes: Any) -> dict[str, Any]:
    """The document as an earlier version wrote it."""
    later = (*records.SUMS, "edits", "revision", "journal", "log", "times")
    old = {name: value for name, value in run.items() if name not in later} | {"format": 1}
    lasting = {name: value for name, value in old.items() if name not in records.EDITS}
    checksum = blake2b(json.dumps(lasting, sort_keys=True).encode(), digest_size=16).hexdigest()
    return old | {"checksum": checksum} | changes


def test_a_record_of_format_1_is_read_compared_and_edited(uri, root, run, caplog):
    with ndg.runs.open(uri) as log:
        log.store.replace(former(run))
        records.atomic.write(run.folder / records.EARLIER, json.dumps(former(run)))
        run.journal.unlink()
        assert log.find() == [former(run)] == [records.read(run.folder)]
        listed = former(run)
        del listed["metrics"]
        assert log.find(metrics=False) == [listed]
        assert log.tag(run.id, "x")["tags"] == ["paper", "x"]
        assert [found["tags"] for found in log.find(metrics=False)] == [["paper", "x"]]
        assert records.read(run.folder)["tags"] == ["paper", "x"]
        log.store.update(run.id, {"$set": {"tags": ["y"]}})
        assert log.find(metrics=False) == []
        log.store.replace(former(run, name="digits_mlq"))
        assert log.find(metrics=False) == log.find() == []


def test_tags_that_many_add_at_once_are_all_kept(uri, run):
    def add(number: int) -> None:
        with ndg.runs.open(uri) as log:
            for each in range(4):
                log.tag(run.id, f"{number}.{each}")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ndg.runs.open(uri) as log:
        assert sorted(log.get(run.id)["tags"]) == sorted(["paper", *(f"{n}.{k}" for n in range(3) for k in range(4))])


def test_a_run_goes_on_with_its_own_tags_where_those_of_the_log_are_damaged(uri, root, experiment):
    with ndg.runs.start(uri, "train", experiment, root, tags=["paper"]) as run:
        with ndg.runs.open(uri) as log:
            log.note(run.id, "mine")
        run.metric({"epoch": 1, "loss": 0.5})
        assert run.record["notes"] == "mine"
        with ndg.runs.open(uri) as log:
            log.store.update(run.id, {"$set": {"notes": "damaged"}})
        run.metric({"epoch": 2, "loss": 0.5})
    [record] = records.read_all(root)
    assert (record["tags"], record["notes"]) == (["paper"], "mine")


def test_a_copied_folder_of_runs_reads_its_own_files(root, experiment, tmp_path, capsys):
    with ndg.runs.start(None, "align", experiment, root) as run:
        (run.folder / "ndg.json").write_text("original")
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    (copy / run.id / "ndg.json").write_text("own")
    for where in (root, copy):
        with ndg.runs.open(where / "ndg.db") as log:
            record = log.get(run.id)
            assert record.folder == record.locate() == record.locate(where) == where / run.id
            assert log.frame()["folder"].tolist() == [str(where / run.id)]
            assert records.damage(record) == ""
        assert records.read(where / run.id) == record
        capsys.readouterr()
        assert cli.main(["show", "--json", "--runs", str(where)]) == 0
        assert json.loads(capsys.readouterr().out)["folder"] == str(where / run.id)
    with ndg.runs.open(copy / "ndg.db") as log:
        log.note(run.id, "of the copy")
    assert records.read(copy / run.id)["notes"] == "of the copy"
    assert records.read(root / run.id)["notes"] == ""


def test_a_log_elsewhere_reads_the_named_folder_of_runs(root, experiment, tmp_path):
    with ndg.runs.start(tmp_path / "all.db", "train", experiment, root) as run:
        pass
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    assert ndg.runs.open(tmp_path / "all.db").get().folder == root / run.id
    assert ndg.runs.open(tmp_path / "all.db", local=copy).get().folder == copy / run.id
    shutil.rmtree(root)
    with ndg.runs.open(tmp_path / "another.db") as log:
        assert log.adopt(copy) == [run.id]
        assert log.get().folder == copy / run.id


def test_a_document_that_is_no_json_any_more_is_read_again_from_its_folder(root, experiment, caplog, capsys):
    with ndg.runs.start(None, "train", experiment, root) as run:
        pass
    path = root / "ndg.db"
    content = path.read_bytes()
    for text in (b'"kind": "train"', b'"kind":"train"'):
        content = content.replace(text, b"}" + text[1:])
    path.write_bytes(content)
    with ndg.runs.open(path) as log:
        assert records.damage(log.store.find()[0])
        assert log.get(run.id) == run.record
        assert log.adopt(root) == [run.id]
        assert log.store.find() == [run.record]
    assert "corrupted" not in capsys.readouterr().err
