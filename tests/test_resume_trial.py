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
QUICK = ["train.epochs=6", "train.schedule=constant"]
TRIAL = [
    "importance.methods=[]",
    "trial.graphs=[]",
    "trial.minimal=20",
    "trial.splits=[test]",
    "extract.compute_batch=16",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with one training, the options that name it, and what an uninterrupted alignment finds."""
    folder = tmp_path_factory.mktemp("resume")
    options = ["-q", "--runs", str(folder), "--executor", "serial"]
    assert main(["train", "digits_mlp", *QUICK, *options]) == 0
    assert main(["align", "digits_mlp", *QUICK, *TRIAL, *options]) == 0
    return folder, options, figures(folder)


def figures(folder: Path) -> dict:
    """What the newest completed alignment found on trial."""
    with runs.open(str(folder / "ndg.db")) as log:
        record = log.find({"kind": "align", "status": "COMPLETED"}, limit=1)[0]
    stages = ("trial", "interchange", "minimal", "edges_tried")
    return {stage: record["results"][stage] for stage in stages} | {"id": record.id, "attempts": record["attempts"]}


def lines(folder: Path, known: set[str]) -> int:
    """Lines of the journals of runs that are not known."""
    found = [path for path in folder.glob("*/journals/*.jsonl") if path.parts[-3] not in known]
    return sum(path.read_bytes().count(b"\n") for path in found)


@pytest.mark.parametrize("after", [2, 24, 48])
def test_a_killed_trial_goes_on_and_ends_with_the_same_integers(home, after):
    folder, options, expected = home
    known = {path.name for path in folder.iterdir()}
    command = [sys.executable, str(ROOT / "align.py"), "digits_mlp", *QUICK, *TRIAL, *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while lines(folder, known) < after and process.poll() is None:
            time.sleep(0.02)
        killed = process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert killed, "it ended before it could be killed"
    [cut] = [path.name for path in folder.iterdir() if path.is_dir() and path.name not in known]
    had = lines(folder, known)
    assert main(["align", "digits_mlp", *QUICK, *TRIAL, *options, "--resume"]) == 0
    found = figures(folder)
    assert found["id"] == cut
    assert len(found["attempts"]) == 2
    assert had >= after
    for stage in ("trial", "interchange", "minimal", "edges_tried"):
        assert json.dumps(plain(found[stage])) == json.dumps(plain(expected[stage])), stage


def plain(value: object) -> object:
    """Figures without what says how they were computed."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in ("executor", "executor_reason", "reason")}
    return value
