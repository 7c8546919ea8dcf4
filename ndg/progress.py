"""Progress bars and messages on stderr."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger("ndg")

EVERY = 30.0
"""Seconds between progress messages without a bar."""


def bar(items: Iterable[T], label: str, total: int | None = None, unit: str = "batch", done: int = 0) -> Iterator[T]:
    """Items with a progress bar, or a message every 30 s.

    `total` is the number of items if known, including `done` items that were finished before.
    """
    if not visible():
        yield from _with_messages(items, label, total, unit, done)
        return
    yield from meter(iterable=items, desc=label, total=total, unit=unit, initial=done, miniters=1)


def meter(**options: Any) -> Any:
    """Progress bar of tqdm on stderr; hidden without a terminal."""
    from tqdm import tqdm

    if hidden := not visible():
        tqdm.monitor_interval = 0  # no thread for a bar that nobody sees
    return tqdm(**options, file=sys.stderr, dynamic_ncols=True, leave=False, disable=hidden)


def visible() -> bool:
    """Whether progress bars are shown."""
    return sys.stderr.isatty() and log.isEnabledFor(logging.INFO)


def left(seconds: float | int) -> str:
    """Text of the remaining time: `1.5 min left`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit} left"
    return f"{seconds:.0f} s left"


def _with_messages(items: Iterable[T], label: str, total: int | None, unit: str, done: int) -> Iterator[T]:
    started = reported = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - reported < EVERY:
            continue
        reported = now
        rest = f" of {total}, {left((now - started) / count * max(total - done - count, 0))}" if total else ""
        log.info("%s: %s %d%s", label, unit, done + count, rest)
