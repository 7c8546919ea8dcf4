"""Seconds before the first progress bar of an alignment, and of the first compile of the kernels.

    python -m benchmarks.start [--json FILE] [--quick]

`ndg align digits_mlp` runs in processes of its own, on files that were read before, until its first bar. Seconds are
those of the CPU, the least of the rounds. `--quick`: one round, and the kernels are not compiled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.frame import Figure, parser, run

ROOT = Path(__file__).parent.parent
CHILD = "import benchmarks.start as start; start.child({!r})"
KERNELS = "import ndg.bits.kernel, ndg.checksum_kernel, ndg.gradients.kernels, ndg.graph.traversal, ndg.mining.miner"
TRAINED = ["digits_mlp", "train.epochs=1"]


class FirstBarError(BaseException):
    """Ends the alignment at its first progress bar."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser(__doc__).parse_args(arguments)
    parts = {"first bar": partial(first_bar, 1 if options.quick else 5)}
    return run(parts if options.quick else {**parts, "kernels": kernels}, options)


def first_bar(rounds: int) -> Iterator[Figure]:
    """Seconds of importing torch, and of all else until the first bar."""
    from ndg.cli import main

    with tempfile.TemporaryDirectory() as folder:
        runs = str(Path(folder) / "runs")
        main(["train", *TRAINED, "--runs", runs, "--quiet"])
        times = [json.loads(_python(CHILD.format(runs)).splitlines()[-1]) for _ in range(rounds)]
    yield "torch_import_seconds", min(torch for torch, _ in times), "s to import torch"
    yield "first_bar_seconds", min(rest for _, rest in times), "s more until the first bar of `ndg align digits_mlp`"


def child(runs: str) -> None:
    """Print the seconds of importing torch, and those of all else until the first bar of an alignment."""
    started = time.process_time()
    import torch  # noqa: F401

    of_torch = time.process_time() - started
    from ndg import progress
    from ndg.cli import main

    def stop(*_: object, **__: object) -> None:
        raise FirstBarError

    progress.bar = progress.meter = stop  # type: ignore[assignment]
    try:
        main(["align", *TRAINED, "--runs", runs])
    except FirstBarError:
        print(json.dumps([of_torch, time.process_time() - of_torch]))


def kernels() -> Iterator[Figure]:
    """Seconds of importing the kernels with and without compiled code on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.times()
        _python(KERNELS, NUMBA_CACHE_DIR=folder)
        compiled = os.times()
        _python(KERNELS, NUMBA_CACHE_DIR=folder)
        read = os.times()
    first, second = compiled.children_user - before.children_user, read.children_user - compiled.children_user
    yield "compile_seconds", first - second, "s to compile the kernels, once for each installation"
    yield "read_seconds", second, "s to start Python and to read them from the disk"


def _python(code: str, **environment: str) -> str:
    """Standard output of Python code that runs in a process of its own."""
    settings = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=ROOT, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    raise SystemExit(main())
