"""Tasks in threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from ndg.executors.journal import Journal, opened
from ndg.executors.ordered_sum import in_order, summed
from ndg.executors.ray_session import available_cpus
from ndg.progress import bar

R = TypeVar("R")


@dataclass(frozen=True)
class Threads:
    """Tasks in threads of this process, each with its own copy of the network and `task_cpus` torch threads.

    Nothing needs to be started or pickled. Parameters and arrays are shared, so memory hardly grows. `workers` is the
    number of threads, by default as many as the CPUs of this process have room for.
    """

    workers: int | None = None
    task_cpus: int = 1

    name = "threads"

    @property
    def slots(self) -> int:
        """Number of tasks that run at once."""
        return self.workers or max(available_cpus() // self.task_cpus, 1)

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
        from ndg.executors import thread_pool  # imports torch

        with (
            opened(journal) as book,
            closing(thread_pool.results(work, shared, book.left(tasks), self.slots, self.task_cpus)) as results,
        ):
            kept = ((number, book.keep(number, result)) for number, result in results)
            return summed(in_order(bar(kept, label, count, done=len(book)), book), start)
