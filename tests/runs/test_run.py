"""A run writes one document, the same in its store and in its journal, whatever happens."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndg.runs
from ndg.config import Data, Experiment
from ndg.errors import OutputError, RunNotFoundError, StoreError
from ndg.runs import record as records
from ndg.runs.plain import now


def both(uri: str, run: ndg.runs.Run) -> dict[str, Any]:
    """The document, after checking that store and journal hold the same."""
    with ndg.runs.open(uri) as log:
        stored = log.get(run.id)
    assert records.read(run.folder) == stored
    return stored


def test_a_run_is_a_document_from_its_start_to_its_end(uri: str, root: Path, experiment: Experiment):
    before = now()
    with ndg.runs.start(uri, "train", experiment, root, device="cpu", tags=["first"]) as run:
        running = both(uri, run)
        assert running["status"] == "RUNNING"
        assert running["ended"] is None
        run.metric({"epoch": 1, "loss": np.float32(0.5), "rate": 1e-3})
        run.metric({"epoch": 2, "loss": float("nan")})
        run.result("train", {"validation_accuracy": np.float64(0.97), "n": {"train": 100}})
        assert both(uri, run)["metrics"][0]["epoch"] == 1
    record = both(uri, run)
    assert record["status"] == "COMPLETED"
    assert before <= record["started"] <= record["ended"] <= now()
    assert record["metrics"] == [{"epoch": 1, "loss": 0.5, "rate": 0.001}, {"epoch": 2, "loss": None}]
    assert record["nonfinite"] == ["metrics.1.loss"]
    assert record["results"] == {"train": {"validation_accuracy": 0.97, "n": {"train": 100}}}
    assert record["config"] == experiment.to_dict()
    assert (record["digest"], record["training_digest"]) == (experiment.digest, experiment.training_digest)
    assert record["seeds"] == {"seed": 3, "data": 0, "trial": 0}
    assert (record["kind"], record["name"], record["parent"]) == ("train", "digits_mlp", None)
    assert (record["host"], record["device"], record["tags"]) == (platform.node(), "cpu", ["first"])
    assert record["versions"]["ndg"] == ndg.__version__
    assert record.folder == run.folder == root / run.id
    assert [attempt["status"] for attempt in record["attempts"]] == ["COMPLETED"]


def test_ids_are_readable_sort_by_time_and_differ_within_a_second(uri: str, root: Path):
    ids = []
    for name in ("digits_mlp", "digits_mlp", "odd name/é", "digits_mlp"):
        with ndg.runs.start(uri, "align", Experiment(name=name), root, parent="p") as run:
            ids.append(run.id)
    assert len(set(ids)) == 4
    assert "-odd_name-align-" in ids[2]
    date, time, *_, kind, tail = ids[0].split("-")
    assert (len(date), len(time), kind, len(tail)) == (8, 6, "align", 4)
    assert [id[:15] for id in ids] == sorted(id[:15] for id in ids)
    assert ndg.runs.open(uri).get("last").id == ids[-1]


def test_an_id_taken_in_the_store_by_another_root_is_not_used_again(uri, tmp_path, experiment, monkeypatch):
    tails = iter(["aaaa", "aaaa", "bbbb"])
    moments = "ndg.runs.begin.secrets.token_hex"
    monkeypatch.setattr(moments, lambda _: next(tails))
    monkeypatch.setattr("ndg.runs.begin.datetime", Frozen)
    with ndg.runs.start(uri, "train", experiment, tmp_path / "one") as first:
        pass
    with ndg.runs.start(uri, "train", experiment, tmp_path / "two") as second:
        pass
    assert first.id.endswith("-aaaa")
    assert second.id == first.id.replace("aaaa", "bbbb")
    assert [path.name for path in (tmp_path / "two").iterdir()] == [second.id]
    assert len(ndg.runs.open(uri).find()) == 2


class Frozen:
    @staticmethod
    def now(zone):
        from datetime import datetime

        return datetime(2026, 11, 21, 0, 12, tzinfo=zone)


def test_an_exception_marks_the_run_failed_says_why_and_goes_on_up(uri: str, root: Path, experiment: Experiment):
    with pytest.raises(ZeroDivisionError), ndg.runs.start(uri, "train", experiment, root) as run:
        raise ZeroDivisionError("no mongodb://u:secret@h here")
    record = both(uri, run)
    assert (record["status"], record["error"]) == ("FAILED", "ZeroDivisionError: no mongodb://u:***@h here")
    assert record["ended"] is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupt_marks_the_run_interrupted_and_goes_on_up(uri, root, experiment, error: BaseException):
    with pytest.raises(type(error)), ndg.runs.start(uri, "train", experiment, root) as run:
        raise error
    assert (both(uri, run)["status"], both(uri, run)["error"]) == ("INTERRUPTED", None)


def test_a_stage_is_written_once(uri: str, root: Path, experiment: Experiment):
    with ndg.runs.start(uri, "align", experiment, root) as run:
        run.result("trial.q.test", {"aligned": 0.9})
        run.result("trial.q.train", {"aligned": 0.8})
        run.result("trial.g1.test", {"aligned": 0.7})
        for again in ("trial.q.test", "trial.q", "trial.q.test.aligned"):
            with pytest.raises(
                StoreError, match=rf"each stage of a run is written once; .* and '{again}' would change it"
            ):
                run.result(again, {"aligned": 1.0})
    expected = {"q": {"test": {"aligned": 0.9}, "train": {"aligned": 0.8}}, "g1": {"test": {"aligned": 0.7}}}
    assert both(uri, run)["results"] == {"trial": expected}


@pytest.mark.parametrize(
    ("stage", "figures", "message"),
    [
        ("trial..test", {}, r"letters, no leading .* got '' in the stage 'trial\.\.test'"),
        ("trial", {"$1": 1}, r"got '\$1' in results\.trial"),
    ],
)
def test_a_result_that_no_query_could_name_is_refused_and_nothing_changes(root, experiment, stage, figures, message):
    with ndg.runs.start(None, "align", experiment, root) as run:
        with pytest.raises(StoreError, match=message):
            run.result(stage, figures)
        assert run.record["results"] == {}
        run.result("trial", {"ok": 1})


def test_an_epoch_that_comes_again_takes_the_place_of_its_row_and_of_later_ones(uri, root, experiment):
    with ndg.runs.start(uri, "train", experiment, root) as run:
        for epoch, loss in ((1, 0.5), (2, float("nan")), (3, float("inf"))):
            run.metric({"epoch": epoch, "loss": loss})
        run.metric({"epoch": 2, "loss": 0.3, "rate": float("nan")})
        run.metric({"note": "no epoch"})
    assert both(uri, run)["metrics"] == [
        {"epoch": 1, "loss": 0.5},
        {"epoch": 2, "loss": 0.3, "rate": None},
        {"note": "no epoch"},
    ]
    assert both(uri, run)["nonfinite"] == ["metrics.1.rate"]


def test_artefacts_carry_size_and_checksum_and_a_path_within_the_folder(uri, root, experiment, tmp_path):
    with ndg.runs.start(uri, "train", experiment, root) as run:
        (run.folder / "deep").mkdir()
        inside, outside = run.folder / "deep" / "model.bin", tmp_path / "elsewhere.bin"
        inside.write_bytes(b"old")
        run.artefact(inside, "model")
        inside.write_bytes(b"weights")
        outside.write_bytes(b"")
        entry = run.artefact(inside, "model")
        run.artefact(outside)
        with pytest.raises(OutputError, match=r"an artefact is a file .*none\.bin cannot be read: No such file"):
            run.artefact(run.folder / "none.bin")
        with pytest.raises(OutputError, match=r"cannot be read: Is a directory"):
            run.artefact(run.folder)
    digest = hashlib.sha256(b"weights").hexdigest()
    assert entry == {"name": "model", "path": "deep/model.bin", "bytes": 7, "sha256": digest}
    record = both(uri, run)
    assert record["artefacts"] == [
        entry,
        {"name": str(outside), "path": str(outside), "bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()},
    ]
    assert record.artefact("model").read_bytes() == b"weights"


def test_a_document_that_would_grow_too_large_is_refused_and_stays_as_it_was(uri, root, experiment):
    with ndg.runs.start(uri, "align", experiment, root) as run:
        run.result("small", {"x": 1})
        with pytest.raises(
            StoreError, match=r"at most 0\.70 MB, and results would make it 0\.75; write the array to a file"
        ):
            run.result("l" * 750_000, {"x": 1})
        with pytest.raises(StoreError, match=r"metrics of a run take at most 150 kB, and a row has 20,001 names after"):
            run.metric({"epoch": 1} | dict.fromkeys(map(str, range(20_000)), 0.5))
        with pytest.raises(StoreError, match=r"and results\.large\.counts has 1001x1000 numbers; write the array"):
            run.result("large", {"counts": np.zeros((1001, 1000), np.int64)})
        assert both(uri, run)["results"] == {"small": {"x": 1}}
        run.result("large", {"counts": [1]})
    assert both(uri, run)["status"] == "COMPLETED"


def test_a_long_list_of_results_is_a_file_with_a_checksum(root, experiment):
    curve = [i / 7 for i in range(20_000)]
    with ndg.runs.start(None, "align", experiment, root) as run:
        run.result("q", {"curve/x": curve, "short": [1, 2]})
    record = ndg.runs.record.read(run.folder)
    assert record is not None
    place = record["results"]["q"]["curve/x"]
    assert [entry["path"] for entry in record["artefacts"]] == [place["file"]]
    assert record.load("results.q.curve/x") == curve
    assert record.load("results.q.short") == [1, 2]
    (run.folder / place["file"]).write_text("[0]")
    with pytest.raises(OutputError, match="is damaged: its SHA-256 is"):
        record.load("results.q.curve/x")


def test_no_document_of_a_server_is_over_one_megabyte(mongo_uri, root, experiment):
    from bson import BSON
    from pymongo import MongoClient

    uri = f"{mongo_uri}/{uuid.uuid4().hex}"
    name = "layer" * 10
    with ndg.runs.start(uri, "align", experiment, root) as run:
        for epoch in range(6):
            run.metric({"epoch": epoch, "text": "x" * 190_000, f"{name}.{epoch}".replace(".", "-"): [1] * 15_000})
        run.metric({})
        for stage in range(6):
            run.result(f"s{stage}", {"text": "x" * 190_000, "rate": 0.5, "nan": np.full(300, np.nan)})
    before = run.record
    with suppress(KeyboardInterrupt), ndg.runs.start(uri, "train", experiment, root) as other:
        other.result("one", {"text": "x" * 190_000})
        raise KeyboardInterrupt
    with ndg.runs.resume(uri, experiment, root) as other:
        other.result("one", {"text": "y" * 190_000})
    with MongoClient(uri) as client:
        database = client.get_default_database()
        sizes = [len(BSON.encode(each)) for part in ("runs", "metrics") for each in database[part].find()]
    assert max(sizes) < 1_000_000
    record = both(uri, run)
    assert record.loaded() == before
    assert record["results"]["s5"]["rate"] == 0.5
    assert record.load("results.s5.text") == "x" * 190_000
    assert record["metrics"][-1] == {}
    assert record["nonfinite"][-1] == "and others"
    resumed = both(uri, other)
    assert resumed.load("attempts.0.results.one.text") == "x" * 190_000
    assert len(resumed["artefacts"]) == 1


def test_no_password_is_written_anywhere(root: Path, mongo_uri: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["align.py", "store.uri=mongodb://u:s3cret@h/d"])
    experiment = replace(Experiment(), data=Data(dir="mongodb://u:s3cret@h/d"))
    with ndg.runs.start(None, "train", experiment, root) as run:
        pass
    assert run.record["config"]["data"]["dir"] == "mongodb://u:***@h/d"
    assert run.record["command"] == "align.py store.uri=mongodb://u:***@h/d"
    for path in root.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes()


def test_a_run_beats_while_nothing_is_written(uri: str, root: Path, experiment: Experiment):
    with ndg.runs.start(uri, "train", experiment, root, beat=0.05) as run, ndg.runs.open(uri) as log:
        first = log.get(run.id)["heartbeat"]
        deadline = threading.Event()
        for _ in range(200):
            if log.get(run.id)["heartbeat"] > first:
                break
            deadline.wait(0.05)
        assert log.get(run.id)["heartbeat"] > first
    ended = both(uri, run)["heartbeat"]
    deadline.wait(0.2)
    assert both(uri, run)["heartbeat"] == ended


def test_tags_and_notes_of_others_survive_and_reach_the_record(uri: str, root: Path, experiment: Experiment):
    with ndg.runs.start(uri, "train", experiment, root, tags=["a"]) as run, ndg.runs.open(uri) as log:
        log.tag(run.id, "paper", "a")
        log.note("last", 'look at this: it\'s "good"')
        run.metric({"epoch": 1})
        assert both(uri, run)["tags"] == ["a", "paper"]
        log.untag(run.id, "a")
    assert (both(uri, run)["tags"], both(uri, run)["notes"]) == (["paper"], 'look at this: it\'s "good"')
    ndg.runs.open(uri).tag(run.id, "after")
    assert both(uri, run)["tags"] == ["paper", "after"]


def test_a_document_that_somebody_removed_is_put_back(uri: str, root: Path, experiment: Experiment):
    with ndg.runs.start(uri, "train", experiment, root) as run:
        store = ndg.runs.connect(uri)
        assert store.remove(run.id)
        run.metric({"epoch": 1})
        deadline = time.monotonic() + 20
        while not store.find() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert both(uri, run)["metrics"] == [{"epoch": 1}]
        store.close()


def test_several_threads_may_write_to_one_run(uri: str, root: Path, experiment: Experiment):
    with ndg.runs.start(uri, "align", experiment, root, beat=0.01) as run:
        threads = [
            threading.Thread(target=lambda i=i: [run.result(f"t{i}.s{k}", {"x": k}) for k in range(5)])
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert both(uri, run)["results"] == {f"t{i}": {f"s{k}": {"x": k} for k in range(5)} for i in range(4)}


def test_a_record_given_out_is_a_copy(root: Path, experiment: Experiment):
    with ndg.runs.start(None, "train", experiment, root) as run:
        run.record["config"]["seed"] = 99
        assert run.record["config"]["seed"] == 3


def test_a_changed_record_is_left_out_with_a_warning(
    root: Path, experiment: Experiment, caplog: pytest.LogCaptureFixture
):
    with ndg.runs.start(None, "train", experiment, root) as run:
        run.metric({"epoch": 1, "loss": 0.5})
    path = run.folder / "journal.jsonl"
    text = path.read_text()
    assert [record.id for record in records.read_all(root)] == [run.id]
    for changed, reason in (
        (text.replace('"loss":0.5', '"loss":0.25'), "its checksum says that line 2 was changed"),
        (text[: text.index("\n") // 2], "its checksum says that line 1 was changed or cut"),
        ("[" * 5000, "its checksum says"),
        ("[]\n" + text, "its checksum says"),
    ):
        path.write_text(changed)
        caplog.clear()
        assert records.read_all(root) == []
        [record] = caplog.records
        assert re.search(f"is left out, because it is damaged: .*({reason}).*; restore the file", record.getMessage())


def test_a_changed_run_of_the_log_is_left_out_with_a_warning(
    uri: str, root: Path, experiment: Experiment, caplog: pytest.LogCaptureFixture
):
    with ndg.runs.start(uri, "train", experiment, root) as earlier:
        earlier.metric({"epoch": 1, "loss": 0.5})
    with ndg.runs.start(uri, "train", experiment, root) as run:
        run.metric({"epoch": 1, "loss": 0.5})
    with ndg.runs.open(uri) as log:
        log.tag(run.id, "checked")
        log.note(run.id, "anybody may change tags and notes")
        assert log.get(run.id)["tags"] == ["checked"]
        log.store.update(run.id, {"$set": {"metrics": [{"epoch": 1, "loss": 0.25}]}})
        assert [found.id for found in log.find()] == [earlier.id]
        assert f"a run in {log.uri} is left out, because it is damaged: its checksum says " in caplog.text
        assert log.get("last").id == earlier.id
        with pytest.raises(RunNotFoundError, match=f"the record of {run.id} in .* is damaged; restore it"):
            log.get(run.id)
        assert log.adopt(root) == [run.id]
        assert log.get(run.id) == records.read(run.folder)
        assert log.get(run.id)["tags"] == ["checked"]
        assert log.adopt(root) == []


def test_a_record_of_an_earlier_version_has_no_checksum_and_is_read(root: Path, experiment: Experiment):
    with ndg.runs.start(None, "train", experiment, root) as run:
        pass
    document = {name: value for name, value in run.record.items() if "checksum" not in name}
    document["format"] = 1
    (run.folder / "record.json").write_text(json.dumps(document))
    (run.folder / "journal.jsonl").unlink()
    assert records.read(run.folder) == document
