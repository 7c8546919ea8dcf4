"""Real processes: interrupted, killed, and two writing at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ndg.runs
from ndg.config import Experiment

REPOSITORY = Path(__file__).parent.parent.parent

# Says "ready" when there is a run with one row, then works until it is stopped.
WORK = """
import sys, time
import ndg.runs
from ndg.config import Experiment

uri, root = sys.argv[1:3]
with ndg.runs.start(uri, "train", Experiment(name="digits_mlp", seed=3), root, beat=0.02) as run:
    run.metric({"epoch": 1, "loss": 0.5})
    print("ready", run.id, flush=True)
    epoch = 1
    while True:
        epoch += 1
        run.metric({"epoch": epoch % 50, "loss": 0.1})
"""

COUNT = """
import sys
import ndg.runs
from ndg.config import Experiment

uri, root, kind, runs, rows = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(runs):
    with ndg.runs.start(uri, kind, Experiment(), root, beat=0.01) as run:
        for epoch in range(rows):
            run.metric({"epoch": epoch})
"""


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said "ready"; it does not outlive the block."""
    started = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line.startswith("ready"), started.communicate()[1]
        yield started
    finally:
        started.kill()
        started.communicate()


def test_ctrl_c_in_the_middle_of_writing_leaves_an_interrupted_run(uri: str, root: Path):
    with process(WORK, uri, root) as working:
        working.send_signal(signal.SIGINT)
        _, errors = working.communicate(timeout=60)
    assert working.returncode != 0
    assert "KeyboardInterrupt" in errors
    with ndg.runs.open(uri) as log:
        run = log.get("last")
    assert run["status"] == run.state() == "INTERRUPTED"
    assert run["metrics"][0]["loss"] in (0.5, 0.1)
    assert run == ndg.runs.record.read(run.folder)
    assert [path.name for path in run.folder.iterdir()] == ["journal.jsonl"]


def test_a_killed_run_is_shown_as_gone_and_left_as_it_is(uri: str, root: Path):
    with process(WORK, uri, root) as working, ndg.runs.open(uri) as log:
        assert log.get("last").state() == "RUNNING"
        working.kill()
        working.wait()
        run = log.get("last")
    assert run.state().startswith("RUNNING (process gone, silent for ")
    assert run["status"] == "RUNNING"
    record = ndg.runs.record.read(run.folder)
    assert record is not None
    assert record["status"] == "RUNNING"
    assert record["heartbeat"] >= run["heartbeat"]  # the journal is written first
    with ndg.runs.resume(uri, Experiment(name="digits_mlp", seed=3), root) as again:
        assert again.id == run.id


def test_two_processes_write_to_one_store_at_once_and_nothing_is_lost(uri: str, root: Path):
    with process(COUNT, uri, root, "train", 3, 15) as one, process(COUNT, uri, root, "align", 3, 15) as two:
        for each in (one, two):
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in (one, two):
            _, errors = each.communicate(timeout=120)
            assert (each.returncode, errors) == (0, "")
    with ndg.runs.open(uri) as log:
        found = log.find(sort="_id")
    assert sorted(run["kind"] for run in found) == ["align"] * 3 + ["train"] * 3
    for run in found:
        assert run["status"] == "COMPLETED"
        assert [row["epoch"] for row in run["metrics"]] == list(range(15))
        assert run == ndg.runs.record.read(run.folder)


@pytest.mark.parametrize("module", ["ndg.runs", "ndg.runs.show"])
def test_importing_loads_no_driver_and_no_pandas(module: str):
    script = (
        f"import sys, {module}; heavy = {{'pymongo', 'neosqlite', 'sqlite3', 'pandas', 'numpy', 'torch', 'omegaconf'}};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
