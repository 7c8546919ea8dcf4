"""An alignment that is killed while it tries goes on with --resume, and ends with the same integers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ndg import runs
from ndg.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
QUICK = ["train.epochs=6", "train.schedule=constant", "data.limit=600", "model.widths=[64]"]
TRIAL = [
    "importance.methods=[]",
    "trial.graphs=[]",
    "trial.minimal=20",
    "trial.splits=[test]",
    "extract.compute_batch=32",
    "report.max_nodes=8",
]
STAGES = ("trial", "interchange", "minimal", "edges_tried")
CUTS = (2, 24, 38)
"""Numbers of journal lines after which an alignment is killed."""


def figures(folder: Path) -> dict:
    """What the newest completed alignment found on trial."""
    with runs.open(str(folder / "ndg.db")) as log:
        record = log.find({"kind": "align", "status": "COMPLETED"}, limit=1)[0]
    return {stage: record["results"][stage] for stage in STAGES} | {"id": record.id, "attempts": record["attempts"]}


def lines(folder: Path, known: set[str]) -> int:
    """Lines of the journals of runs that are not known."""
    found = [path for path in folder.glob("*/journals/*.jsonl") if path.parts[-3] not in known]
    return sum(path.read_bytes().count(b"\n") for path in found)


def cut_short(command: list[str], folder: Path, known: set[str], after: int) -> None:
    """Run a command until journals have so many lines, and kill it."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while lines(folder, known) < after and process.poll() is None:
            time.sleep(0.01)
        killed = process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert killed, "it ended before it could be killed"
    assert lines(folder, known) >= after


def test_a_trial_that_is_killed_again_and_again_ends_with_the_same_integers(tmp_path):
    options = ["-q", "--runs", str(tmp_path), "--executor", "serial"]
    assert main(["train", "digits_mlp", *QUICK, *options]) == 0
    assert main(["align", "digits_mlp", *QUICK, *TRIAL, *options]) == 0
    expected = figures(tmp_path)
    known = {path.name for path in tmp_path.iterdir()}
    align = ["align", "digits_mlp", *QUICK, *TRIAL, *options]
    command = [sys.executable, str(ROOT / "align.py"), *align[1:]]
    for number, after in enumerate(CUTS):  # in trials, interchange, edges
        cut_short([*command, *(["--resume"] if number else [])], tmp_path, known, after)
    [cut] = [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name not in known]
    assert main([*align, "--resume"]) == 0
    found = figures(tmp_path)
    assert found["id"] == cut
    assert len(found["attempts"]) == 1 + len(CUTS)
    for stage in STAGES:
        assert json.dumps(plain(found[stage])) == json.dumps(plain(expected[stage])), stage


def plain(value: object) -> object:
    """Figures without what says how they were computed."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in ("executor", "executor_reason", "reason")}
    return value
