"""Sum of results in the order of their tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, TypeVar

from ndg.errors import DataError
from ndg.executors.journal import Book, Journal, opened
from ndg.progress import bar

R = TypeVar("R")
Work = Callable[[Any, Any], Any]
Tasks = Iterator[tuple[int, Any]]
Results = Generator[tuple[int, Any], None, None]


class OrderedSum(ABC):
    """Base of executors: results in any order, their total."""

    @abstractmethod
    def results(self, work: Work, shared: Any, tasks: Tasks) -> Results:
        """Number and result of each task, as they end."""

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def total(
        self,
        work: Callable[[Any, Any], R],
        shared: Any,
        tasks: Iterable[Any],
        label: str,
        *,
        count: int | None = None,
        start: R | None = None,
        journal: Journal | None = None,
    ) -> R:
        with opened(journal) as book, closing(self.results(work, shared, book.left(tasks))) as results:
            kept = ((number, book.keep(number, result)) for number, result in results)
            return summed(in_order(bar(kept, label, count, done=len(book)), book), start)


def in_order(results: Iterable[tuple[int, R]], book: Book) -> Iterator[R]:
    """Results in order, with the book's.

    ConfigError if it has too many.
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
    """`start` and the results under `+`; DataError without either."""
    total: Any = start
    for result in results:
        total = result if total is None else total + result
    if total is None:
        raise DataError("a total needs at least one task; got none; check that the loader gives examples")
    return total
