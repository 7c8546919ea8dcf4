"""One task after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from ndg.executors.journal import Journal, opened
from ndg.executors.ordered_sum import in_order, summed
from ndg.progress import bar

R = TypeVar("R")


@dataclass(frozen=True)
class Serial:
    """One task after the other in this process."""

    name = "serial"

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
        with opened(journal) as book:
            results = ((number, book.keep(number, work(shared, task))) for number, task in book.left(tasks))
            return summed(in_order(bar(results, label, count, done=len(book)), book), start)
