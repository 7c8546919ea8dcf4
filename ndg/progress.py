"""Progress bars and messages: on stderr, and bars only when a person is watching."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger("ndg")


def bar(items: Iterable[T], label: str, total: int | None = None, unit: str = "batch") -> Iterator[T]:
    """`items`, with a bar on stderr when it is a terminal and messages are not silenced."""
    if not visible():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, desc=label, total=total, unit=unit, file=sys.stderr, dynamic_ncols=True, leave=False)


def visible() -> bool:
    """Whether bars are drawn."""
    return sys.stderr.isatty() and log.isEnabledFor(logging.INFO)
