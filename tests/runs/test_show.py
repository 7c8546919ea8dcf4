"""Rows and texts about runs, from documents alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import ndg.runs
from ndg.config import Experiment
from ndg.runs.record import SILENT, RunRecord, span
from ndg.runs.show import Row, flatten, html, rows, table, text

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def made(id: str = "a", **fields: object) -> RunRecord:
    common = {
        "_id": id,
        "kind": "train",
        "name": "digits_mlp",
        "status": "COMPLETED",
        "host": "elsewhere",
        "pid": 1,
        "started": "2026-11-21T09:00:00.000Z",
        "ended": "2026-11-21T09:05:00.000Z",
        "heartbeat": "2026-11-21T09:05:00.000Z",
        "attempts": [{"started": "2026-11-21T09:00:00.000Z", "ended": "2026-11-21T09:05:00.000Z"}],
        "digest": "0" * 16,
        "training_digest": "1" * 16,
        "seeds": {"seed": 0},
        "versions": {"python": "3.12.0", "ray": None},
    }
    return RunRecord(common | fields)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599.9, "59 min"), (3 * 3600, "3 h"), (47 * 3600, "47 h"), (4e5, "4 d")],
)
def test_a_length_of_time_has_one_unit(seconds: float, expected: str):
    assert span(float(seconds)) == expected


def test_a_run_without_a_sign_for_long_is_shown_as_silent():
    def running(seconds: float, **fields: object) -> str:
        heard = (NOW - timedelta(seconds=seconds)).isoformat()
        return made(status="RUNNING", heartbeat=heard, **fields).state(NOW)

    assert running(SILENT - 1) == "RUNNING"
    assert running(3 * 3600) == "RUNNING (silent for 3 h)"
    assert made(status="FAILED").state(NOW) == "FAILED"


def test_rows_carry_the_figures_and_an_align_run_those_of_its_training():
    trained = made("t", results={"train": {"validation_accuracy": 0.98, "test_accuracy": 0.97}})
    aligned = made("g", kind="align", parent="t", results={"trial": {"q": {"test": {"aligned": 0.9}}}})
    alone = made("x", kind="align", parent="gone", results={"trial": {"q": {"test": {"aligned": None}}}})
    assert rows([aligned, trained, alone], NOW) == [
        Row("g", "align", "digits_mlp", "COMPLETED", "3 h", 0.98, 0.97, 0.9),
        Row("t", "train", "digits_mlp", "COMPLETED", "3 h", 0.98, 0.97, None),
        Row("x", "align", "digits_mlp", "COMPLETED", "3 h", None, None, None),
    ]


def test_a_table_is_aligned_text():
    trained = made("20261121-t", results={"train": {"validation_accuracy": 0.98}})
    lines = table([trained, made("b", kind="align")], NOW).splitlines()
    assert lines[0].split() == ["id", "kind", "name", "status", "age", "validation", "test", "aligned"]
    assert lines[1].split() == ["20261121-t", "train", "digits_mlp", "COMPLETED", "3", "h", "0.9800", "–", "–"]
    assert lines[0].index("kind") == lines[1].index("train") == lines[2].index("align")
    assert table([]) == "no runs"


def test_a_run_as_text_says_everything_once(root: Path, experiment: Experiment):
    with ndg.runs.start(None, "train", experiment, root, tags=["paper"], device="cpu") as run:
        for epoch in range(1, 31):
            run.metric({"epoch": epoch, "loss": 1 / epoch, "rate": float("inf")})
        run.result("train", {"validation_accuracy": 0.98, "per_class": {3: 0.5}, "ok": True, "list": list(range(30))})
        (run.folder / "model.bin").write_bytes(b"x" * 2000)
        run.artefact(run.folder / "model.bin")
    shown = text(run.record)
    assert shown.splitlines()[0] == run.id
    for part in (
        "status    COMPLETED",
        "tags      paper",
        "seeds     seed 3, data 0, trial 0",
        "train.validation_accuracy  0.98",
        "train.per_class.3          0.5",
        "… 10 more]",
        "metrics (30 rows)",
        "… 20 more …",
        "model.bin  2.0 kB  sha256 ",
        "metrics.29.rate",
        "criterion.alpha",
        "model.widths",
        "null",
    ):
        assert part in shown, part
    assert "parent" not in shown
    assert all(line == line.rstrip() for line in shown.splitlines())
    page = html(run.record)
    assert page == run.record._repr_html_()
    assert "train.validation_accuracy" in page


def test_html_is_escaped():
    record = made(name="<b>", notes="<script>", config={})
    assert "<script>" not in html(record)
    assert "&lt;script&gt;" in html(record)
    assert "&lt;b&gt;" in ndg.runs.show.html_table([record])


def test_working_time_is_that_of_all_attempts():
    attempts = [
        {"started": "2026-11-21T09:00:00.000Z", "ended": "2026-11-21T09:05:00.000Z"},
        {"started": "2026-11-21T10:00:00.000Z", "ended": "2026-11-21T10:07:00.000Z"},
    ]
    shown = text(made(attempts=attempts, ended="2026-11-21T10:07:00.000Z"), NOW)
    assert "ended     2026-11-21T10:07:00.000Z (worked 12 min)" in shown
    assert "attempts  2" in shown


def test_flattening_keeps_every_leaf():
    assert dict(flatten({"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}]})) == {"a.b": 1, "a.c": {}, "d": [1, {"e": 2}]}
