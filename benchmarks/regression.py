"""Speed of the fast paths beside another checkout, both in one run.

    python -m benchmarks.regression [--json FILE] [--quick] [--before DIR]

The other checkout can be made by `git worktree add ../before HEAD~1`.

Each workload (`benchmarks.workloads`) runs in processes of both checkouts in turn, with `--quick` all in one process of
each. A ratio is the CPU time of the other checkout over ours, the median of the pairs: above 1 is faster than before.
Without `--before` this checkout runs against itself, which shows the noise.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.frame import Figure, parser, run
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["conductance", "mining"]
WORKLOAD = Path(__file__).with_name("workloads.py")


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser(__doc__)
    command.add_argument("--before", type=Path, default=ROOT, metavar="DIR", help="the other checkout; default: this")
    command.add_argument("--only", nargs="+", choices=WORKLOADS, help="these workloads alone")
    options = command.parse_args(arguments)
    names = options.only or (QUICK if options.quick else list(WORKLOADS))
    rounds, repetitions = (1, 1) if options.quick else (5, 3)

    def ratios() -> Iterator[Figure]:
        together = [names] if options.quick else [[name] for name in names]  # quick: one process of each checkout
        for group in together:
            pairs = [
                [seconds(place, group, repetitions, options.quick) for place in turn]
                for turn in order(options.before.resolve(), ROOT, rounds)
            ]
            for at, name in enumerate(group):
                ratio = statistics.median(
                    one[at] / other[at] if number % 2 == 0 else other[at] / one[at]
                    for number, (one, other) in enumerate(pairs)
                )
                yield f"{name}_ratio", ratio, f"CPU time before over now, {rounds} pairs of {repetitions} repetitions"

    return run({"regression": ratios}, options)


def order(before: Path, now: Path, rounds: int) -> Iterator[tuple[Path, Path]]:
    """Which checkout runs first in each round: they take turns."""
    for number in range(rounds):
        yield (before, now) if number % 2 == 0 else (now, before)


def seconds(checkout: Path, names: Sequence[str], repetitions: int, quick: bool) -> list[float]:
    """Median CPU seconds of workloads, in one process of that checkout."""
    words = [sys.executable, str(WORKLOAD), *names, str(repetitions), *(["--quick"] if quick else [])]
    place = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(words, env=place, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{', '.join(names)} failed in {checkout}:\n{done.stderr}")
    times = [float(line) for line in done.stdout.split()]
    return [statistics.median(times[start : start + repetitions]) for start in range(0, len(times), repetitions)]


if __name__ == "__main__":
    raise SystemExit(main())
