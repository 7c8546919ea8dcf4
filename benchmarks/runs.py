"""The run log: records lost, double resumes, cost of a row, time of queries.

    python -m benchmarks.runs [--json FILE] [--quick]

`kill9_lost_acknowledged` counts rows whose logging call had returned before their process was killed, and that the
record lacks. `double_resume` counts pairs of processes that both got the run they resumed at once. `metric_exponent` is
the slope of log(cost of a row) against log(rows before). Queries run on copies of one align run.
`benchmarks.outages` has the parts about servers, power cuts and many writers.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import outages
from benchmarks.frame import Figure, parser, run
from ndg import runs
from ndg.config import Experiment
from ndg.runs import record
from ndg.runs.embedded import EmbeddedLink, write
from ndg.runs.log import Log

EXPERIMENT = Experiment(name="digits_mlp", seed=3)

WRITER = """
import os, sys
from ndg import runs
from ndg.config import Experiment
with runs.start(sys.argv[2] or None, "train", Experiment(name="digits_mlp", seed=3), sys.argv[1]) as run:
    print(run.id, flush=True)
    epoch = 0
    while True:
        epoch += 1
        run.metric({"epoch": epoch, "loss": 1 / epoch})
        os.write(1, b"%d\\n" % epoch)
"""

RESUMER = """
import sys
from ndg import runs
from ndg.config import Experiment
from ndg.errors import RunNotFoundError
print("ready", flush=True)
sys.stdin.readline()
try:
    with runs.resume(None, Experiment(name="digits_mlp", seed=3), sys.argv[1]) as run:
        print("got", flush=True)
        sys.stdin.readline()
except RunNotFoundError:
    print("refused", flush=True)
"""


def kills(rounds: int, writers: int, uri: str = "") -> Iterator[Figure]:
    """Rows lost when writers are killed in the middle of logging; on a server also after `sync`."""
    lost = acknowledged = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            started = [_process(WRITER, folder, uri) for _ in range(writers)]
            ids = [_line(process) for process in started]
            time.sleep(0.3)
            for process in started:
                process.send_signal(signal.SIGKILL)
            said = [process.communicate()[0].splitlines(keepends=True) for process in started]
            with runs.open(uri or Path(folder) / "ndg.db") as log:
                log.adopt(folder)
                for id, lines in zip(ids, said, strict=True):
                    last = max((int(line) for line in lines if line.endswith("\n")), default=0)
                    documents = [record.read(Path(folder) / id), *log.store.find({"_id": id})]
                    rows = min(len(document["metrics"]) if document else 0 for document in documents)
                    acknowledged += last
                    lost += max(0, last - rows)
    key = "kill9_lost_acknowledged_server" if uri else "kill9_lost_acknowledged"
    yield key, lost, f"rows lost of {acknowledged} acknowledged, {rounds * writers} kills"


def kills_with_server(rounds: int, writers: int) -> Iterator[Figure]:
    """The same with a server."""
    with outages.server() as nx:
        yield from kills(rounds, writers, nx.uri)


def resumes(pairs: int) -> Iterator[Figure]:
    """Pairs of simultaneous resumes of which both got the run."""
    both = 0
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            with suppress(KeyboardInterrupt), runs.start(None, "train", EXPERIMENT, folder):
                raise KeyboardInterrupt
            pair = [_process(RESUMER, folder) for _ in range(2)]
            for process in pair:
                _line(process)
            for process in pair:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            answers = [_line(process) for process in pair]
            for process in pair:
                process.communicate("end\n")
            both += answers == ["got", "got"]
    yield "double_resume", both, f"of {pairs} pairs both got the run"


def rows(most: int) -> Iterator[Figure]:
    """Growth of the cost of a row with the rows before it, and the cost."""
    with tempfile.TemporaryDirectory() as folder, runs.start(None, "train", EXPERIMENT, folder) as logged:
        counts, costs, epoch = [], [], 0
        while epoch < most:
            goal, block = max(2 * epoch, 1000), []
            while epoch < goal:
                begun = time.perf_counter()
                logged.metric({"epoch": epoch, "loss": 0.5, "accuracy": 0.9})
                block.append(time.perf_counter() - begun)
                epoch += 1
            counts.append(math.log(goal))
            costs.append(math.log(float(np.median(block[len(block) // 2 :]))))
    yield "metric_exponent", float(np.polyfit(counts, costs, 1)[0]), f"slope of cost against rows, 1,000 to {epoch:,}"
    yield "metric_microseconds", 1e6 * math.exp(costs[-1]), f"median of a logging call after {epoch // 2:,} rows"


def queries(count: int) -> Iterator[Figure]:
    """Seconds of a list, a filter, one run, and a frame, in an embedded file of many runs with their folders."""
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        ids = _fill(Path(folder), count, draw)
        best = {"results.trial.q.test.aligned": {"$gt": 0.99}}
        uses: dict[str, Callable[[Log], Any]] = {
            "list": lambda log: log.find(limit=20, metrics=False),
            "filter": lambda log: log.find(best, limit=20, metrics=False),
            "show": lambda log: log.get(ids[count // 2][-12:]),
            "frame": lambda log: log.frame(),
        }
        for name, use in uses.items():
            with runs.open(Path(folder) / "ndg.db") as log:
                begun = time.perf_counter()
                use(log)
                yield f"{name}_10k_seconds", time.perf_counter() - begun, f"of {count:,} align runs"
        script = f"import pandas\n{MEGABYTES}\nbefore = megabytes()\nfrom ndg import runs\n"
        script += f"runs.open({str(Path(folder) / 'ndg.db')!r}).frame()\nprint(megabytes() - before)"
        used = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        yield "frame_10k_megabytes", float(used), "growth of a process by the frame"
        size = (Path(folder) / "ndg.db").stat().st_size
        yield "kilobytes_per_run", size / count / 1e3, "in the embedded file"


MEGABYTES = """
import re
from pathlib import Path
def megabytes():  # of this program: getrusage would start at the peak of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
"""


def _fill(folder: Path, count: int, draw: np.random.Generator) -> list[str]:
    """Ids of `count` runs with as many figures as an align run has, written to `folder/ndg.db`.

    Each has a folder with a journal of the right length, which has no content.
    """
    splits = ("train", "validation", "test")
    with runs.start(None, "align", EXPERIMENT, folder / "one") as logged:
        for stage in ("q", "g1", "g2", "prototype", "random"):
            for split in splits:
                by_class = {str(i): {"aligned": 0.9, "changed": 0.1, "n": 100, "low": 0.8} for i in range(40)}
                logged.result(f"trial.{stage}.{split}", {"aligned": 0.5, "n": 4000, "by_class": by_class})
    base, ids = logged.record, []
    shutil.rmtree(folder / "one")
    link = EmbeddedLink(folder / "ndg.db")
    with link.writing() as writer:
        for number in range(count):
            id = f"20261101-{number:06}-digits_mlp-align-{number:04x}"
            trial = base["results"]["trial"]
            q = {**trial["q"], "test": {**trial["q"]["test"], "aligned": float(draw.random())}}
            own = {"_id": id, "results": {"trial": {**trial, "q": q}}, "folder": str(folder / id)}
            write(writer, record.signed({**base, **own}))
            (folder / id).mkdir()
            with (folder / id / record.RECORD).open("wb") as journal:
                journal.truncate(base["journal"])
            ids.append(id)
    link.close()
    return ids


def _process(script: str, folder: str, uri: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, folder, uri]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    quick = options.quick
    parts = {
        "kills": partial(kills, 1 if quick else 20, 1 if quick else 4),
        "server": partial(kills_with_server, 1 if quick else 20, 1 if quick else 4),
        "outages": partial(outages.outages, 0.5 if quick else 10.0, quick),
        "power": partial(outages.power_cut, 0.5 if quick else 5.0),
        "writers": partial(outages.writers, 2 if quick else 8, 40 if quick else 1_000),
        "round trips": outages.round_trips,
        "share": partial(outages.logging_share, quick),
        "resumes": partial(resumes, 1 if quick else 20),
        "rows": partial(rows, 4_000 if quick else 64_000),
        "queries": partial(queries, 20 if quick else 10_000),
    }
    return run(parts, options)


if __name__ == "__main__":
    raise SystemExit(main())
