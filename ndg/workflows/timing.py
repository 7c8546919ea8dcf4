"""Timing of short actions, for estimates."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

REFERENCE, REFERENCE_SECONDS = 200_000, 0.0028
"""Numbers to add up, and the seconds that this took where the constants were measured."""


def slowness() -> float:
    """Slowness of this machine relative to that of the constants."""
    return timed(lambda: sum(range(REFERENCE))) / REFERENCE_SECONDS


def timed(action: Callable[[], Any], times: int = 5) -> float:
    """The median seconds of several runs, after a warm-up."""
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))
