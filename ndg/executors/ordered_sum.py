"""Results as they come, added up in the order of their tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from ndg.errors import DataError
from ndg.executors.journal import Book

R = TypeVar("R")


def in_order(results: Iterable[tuple[int, R]], book: Book) -> Iterator[R]:
    """Results by the number of their task, those of the book among them.

    Raises ConfigError when the book has more tasks than there are.
    """
    early: dict[int, R] = {}
    following = book.first
    for number, result in results:
        early[number] = result
        while following in early or following in book:
            yield early.pop(following) if following in early else book.take(following)
            following += 1
    book.check()
    while following in book:
        yield book.take(following)
        following += 1


def summed(results: Iterable[R], start: R | None) -> R:
    """`start` and the results under `+`. Raises DataError when there is neither."""
    total: Any = start
    for result in results:
        total = result if total is None else total + result
    if total is None:
        raise DataError("a total needs at least one task; got none; check that the loader gives examples")
    return total
