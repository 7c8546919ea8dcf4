"""Progress bars and messages on stderr."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from ndg.escape import printable

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
    shown = meter(
        iterable=items, desc=label, total=total, unit=unit, initial=done, miniters=1, postfix=in_total() or None
    )
    for item in shown:
        yield item
        shown.set_postfix_str(in_total(), refresh=False)


def meter(**options: Any) -> Any:
    """Progress bar of tqdm on stderr; hidden without a terminal."""
    from tqdm import tqdm

    if hidden := not visible():
        tqdm.monitor_interval = 0  # no thread for a bar that nobody sees
    options["desc"] = printable(options.get("desc") or "")
    return tqdm(**options, file=sys.stderr, dynamic_ncols=True, leave=False, disable=hidden)


class Total:
    """Progress of all stages of a command, by seconds or any weights."""

    def __init__(self, stages: Mapping[str, float], runs: int = 1, estimated: bool = True) -> None:
        self._waiting = {(run, stage): weight for run in range(runs) for stage, weight in stages.items()}
        self._whole, self._done, self._spent = sum(self._waiting.values()), 0.0, 0.0
        self._pace = 1.0 if estimated else None
        self._run, self._stage, self._entered = 0, "", time.monotonic()

    def enter(self, stage: str) -> None:
        """Begin a stage, which ends the one before.

        Other stages are not counted.
        """
        if stage == self._stage or (self._run, stage) not in self._waiting:
            return
        self._finish()
        self._stage = stage

    def next_run(self) -> None:
        """Begin the next run.

        Stages that this one did not have are left out.
        """
        self._finish()
        for key in [key for key in self._waiting if key[0] == self._run]:
            self._whole -= self._waiting.pop(key)
        self._run += 1

    def _finish(self) -> None:
        now = time.monotonic()
        self._spent += now - self._entered
        self._done += self._waiting.pop((self._run, self._stage), 0.0)
        if self._done > 0.05 * self._whole:
            self._pace = self._spent / self._done
        self._stage, self._entered = "", now

    def __str__(self) -> str:
        elapsed, weight = time.monotonic() - self._entered, self._waiting.get((self._run, self._stage), 0.0)
        share = self._done + (0.0 if self._pace is None else min(elapsed / max(self._pace, 1e-9), weight))
        text = f"{share / max(self._whole, 1e-9):.0%} in total"
        return text if self._pace is None else f"{text}, {left((self._whole - share) * self._pace)}"


_totals: list[Total] = []


@contextmanager
def whole(stages: Mapping[str, float], runs: int = 1, estimated: bool = True) -> Iterator[None]:
    """Show the total progress of these stages beside each bar."""
    if _totals or len(stages) * runs < 2:
        yield
        return
    _totals.append(Total(stages, runs, estimated))
    try:
        yield
    finally:
        _totals.clear()


def enter(stage: str) -> None:
    """Begin a stage of the total progress, if there is one."""
    for total in _totals:
        total.enter(stage)


def next_run() -> None:
    """End a run of the total progress, if there is one."""
    for total in _totals:
        total.next_run()


def in_total() -> str:
    """Text of the total progress, `35% in total, 40 s left`.

    Empty without one.
    """
    return "".join(map(str, _totals))


def told() -> bool:
    """Whether progress is told: as bars, or as messages."""
    return log.isEnabledFor(logging.INFO)


def visible() -> bool:
    """Whether progress bars are shown."""
    return sys.stderr.isatty() and told()


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
        log.info("%s", "; ".join(filter(None, [f"{label}: {unit} {done + count}{rest}", in_total()])))
