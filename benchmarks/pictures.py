"""The explorer of a large graph in headless Chromium, the report of an MNIST align run, a page of the demo.

    python -m benchmarks.pictures [--json FILE] [--quick]

Needs Chromium on the PATH. Opening ends when the whole picture is drawn. A pan is a drag of 60 steps; its figure is the
95 % quantile of the time between two frames. The report is that of `ndg report RUN --html`: of MNIST after one
epoch on 1,000 examples where its files are in NDG_DATA, else of the digits. The demo's explorer is that of digits_cnn.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import ndg
from benchmarks.browser import chromium, window
from benchmarks.frame import Figure, WrongResultError, parser, run
from benchmarks.graph import random_graph
from ndg.cli import main as ndg_command
from ndg.data import DATASETS
from ndg.locations import Locations
from ndg.runs.record import RunRecord
from ndg.workflows.pictures import EXPLORER
from ndg.workflows.report import reported

FRAMES = """() => { window.frames_ms = []; let last = performance.now();
  const next = (now) => { window.frames_ms.push(now - last); last = now; requestAnimationFrame(next); };
  requestAnimationFrame(next); }"""
STEPS = 60


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    nodes, edges, opened = (200, 2_000, 1) if options.quick else (5_000, 50_000, 3)
    parts = {
        "explorer": partial(explorer, nodes, edges, opened),
        "report": partial(report, options.quick),
        "demo": partial(demo, options.quick),
    }
    return run(parts, options)


def report(quick: bool) -> Iterator[Figure]:
    """Seconds to write the report of an align run, from its folder."""
    name, more = (
        ("digits_mlp", ["train.epochs=2"])
        if quick or not _mnist()
        else ("mnist_cnn", ["train.epochs=1", "data.limit=1000", "criterion.alpha=20"])
    )
    with aligned(name, more) as record:
        started = time.perf_counter()
        path = reported([record], "html")
        seconds = time.perf_counter() - started
        yield "report_seconds", seconds, f"report of an align run of {name}, from its folder"
        yield "report_megabytes", path.stat().st_size / 1e6, "with the explorer and the examples in it"


def demo(quick: bool) -> Iterator[Figure]:
    """Size of the explorer of a network of `make demo`, with its examples."""
    name = "digits_mlp" if quick else "digits_cnn"
    with aligned(name, ["train.epochs=2"] if quick else []) as record:
        size = (record.folder / EXPLORER).stat().st_size / 1e6
        yield "demo_explorer_megabytes", size, f"explorer of an align run of {name}"


@contextlib.contextmanager
def aligned(name: str, more: list[str]) -> Iterator[RunRecord]:
    """An align run of a config, in a folder that goes with the block."""
    with tempfile.TemporaryDirectory() as folder:
        where = Locations.choose(runs=folder, store=None)
        place = ["--runs", folder, "-q"]
        for words in (["train", name, *more, *place], ["align", name, *more, "trial.draws=1", *place]):
            with contextlib.redirect_stdout(sys.stderr):
                code = ndg_command(words)
            if code != 0:
                raise WrongResultError(f"`ndg {' '.join(words)}` ended with code {code}")
        with ndg.runs.open(where.store, local=where.runs) as log:
            yield log.get("last", kind="align")


def _mnist() -> bool:
    """Whether the files of MNIST are at hand."""
    folder = Path(os.environ.get("NDG_DATA", "data"))
    return not DATASETS["mnist"].missing(DATASETS["mnist"].home(folder))


def explorer(nodes: int, edges: int, opened: int) -> Iterator[Figure]:
    """Figures of the explorer of a random graph with so many literals and implications."""
    with tempfile.TemporaryDirectory() as folder:
        graph = random_graph(nodes // 2, edges)
        started = time.perf_counter()
        path = ndg.explore(graph, Path(folder) / "graph.html")
        size = f"{nodes:,} literals, {edges:,} implications"
        yield "explorer_write_seconds", time.perf_counter() - started, size
        yield "explorer_megabytes", path.stat().st_size / 1e6, size
        seconds, pans, trouble, requests = [], [], 0, 0
        with chromium() as browser:
            for _ in range(opened):
                with window(browser) as (page, errors, asked):
                    started = time.perf_counter()
                    page.goto(path.as_uri())
                    page.wait_for_selector("canvas[data-state=whole]")
                    seconds.append(time.perf_counter() - started)
                    box = page.query_selector("canvas").bounding_box()
                    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
                    page.mouse.move(x, y)
                    page.mouse.down()
                    page.evaluate(FRAMES)
                    for step in range(STEPS):
                        page.mouse.move(x + 3 * step, y + step)
                    pans.append(float(np.quantile(page.evaluate("window.frames_ms"), 0.95)))
                    page.mouse.up()
                    trouble += len(errors)
                    requests += len(asked) - 1
        yield (
            "explorer_open_seconds",
            float(np.median(seconds)),
            f"until the whole picture is drawn, median of {opened}",
        )
        yield (
            "explorer_pan_ms",
            float(np.median(pans)),
            f"95 % quantile of a frame while it is dragged, median of {opened}",
        )
        yield "console_errors", trouble, "errors and messages of the pages"
        yield "requests", requests, "requests beside the page itself"


if __name__ == "__main__":
    raise SystemExit(main())
