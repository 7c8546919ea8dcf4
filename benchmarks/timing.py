"""Timing of alternatives side by side, and how the figures are written."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def median_seconds(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call; the calls take turns, so that a busy machine slows all of them alike."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            spent[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in spent.items()}


def report(title: str, figures: dict[str, tuple[float, str]], file: Path | None = None) -> None:
    """Print figures (value and what it is), and write them to a file, by default to the one that `--json` says."""
    if file is None:
        parser = argparse.ArgumentParser(description=title)
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
        file = parser.parse_known_args()[0].json
    print(f"{title} ({platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()})")
    for key, (value, what) in figures.items():
        print(f"  {key:34} {value:>12,.4g}  {what}")
    if file:
        file.write_text(json.dumps({key: value for key, (value, _) in figures.items()}, indent=2) + "\n")
        print(f"written to {file}", file=sys.stderr)
