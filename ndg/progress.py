"""Progress bars and messages: on stderr, and bars only when a person is watching."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger("ndg")

EVERY = 30.0
"""Seconds between two messages of progress where nobody watches a bar."""


def bar(items: Iterable[T], label: str, total: int | None = None, unit: str = "batch", done: int = 0) -> Iterator[T]:
    """`items`, with a bar on stderr when it is a terminal and messages are not silenced, else with a message at times.

    `total` is how many there are, where it is known, with the `done` ones that were finished before.
    """
    if not visible():
        yield from _told(items, label, total, unit, done)
        return
    from tqdm import tqdm

    yield from tqdm(
        items,
        desc=label,
        total=total,
        unit=unit,
        initial=done,
        miniters=1,
        file=sys.stderr,
        dynamic_ncols=True,
        leave=False,
    )


def visible() -> bool:
    """Whether bars are drawn."""
    return sys.stderr.isatty() and log.isEnabledFor(logging.INFO)


def left(seconds: float | int) -> str:
    """A length of time that remains, in its largest sensible unit: `1.5 min left`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit} left"
    return f"{seconds:.0f} s left"


def _told(items: Iterable[T], label: str, total: int | None, unit: str, done: int) -> Iterator[T]:
    began = said = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said < EVERY:
            continue
        said = now
        whole = f" of {total}, {left((now - began) / count * max(total - done - count, 0))}" if total else ""
        log.info("%s: %s %d%s", label, unit, done + count, whole)
