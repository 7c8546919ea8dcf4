"""Tasks in Ray workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from ndg.executors import ray_scheduler
from ndg.executors.journal import Journal, opened
from ndg.executors.ordered_sum import in_order, summed
from ndg.executors.payload import packed
from ndg.executors.ray_scheduler import TIMEOUT, Needs
from ndg.executors.ray_session import STORE_BYTES, session
from ndg.progress import bar

R = TypeVar("R")


@dataclass(frozen=True)
class Ray:
    """Tasks in Ray workers: of the session that this process has, of the cluster at `address`, or of one started here.

    Without an `address`, that in the environment variable RAY_ADDRESS is taken; a session at hand goes before both.
    `shared` is sent once to each machine and unpacked once in each worker. At most two tasks per CPU are under way. A
    task whose worker or machine is lost is done again. `timeout` is in seconds without any finished task. `cpus` are
    those of a session started here, by default all that this process may use; `task_cpus` and `task_gpus` are what one
    task takes. A session that was started here ends with the `with` (or with the total); one that was found is left
    running.
    """

    address: str | None = None
    timeout: float = TIMEOUT
    cpus: int | None = None
    task_cpus: int = 1
    task_gpus: float = 0.0
    store_bytes: int = STORE_BYTES

    name = "ray"

    def session(self) -> AbstractContextManager[None]:
        return session(self.address, self.cpus, self.store_bytes)

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
        package = packed(work, shared)
        needs = Needs(self.task_cpus, self.task_gpus)
        with opened(journal) as book:
            left = book.left(tasks)
            if (first := next(left, None)) is None:
                return summed(in_order((), book), start)
            with (
                session(self.address, self.cpus, max(self.store_bytes, 2 * package.nbytes)),
                closing(ray_scheduler.results(package, chain([first], left), needs, self.timeout)) as results,
            ):
                kept = ((number, book.keep(number, result)) for number, result in results)
                return summed(in_order(bar(kept, label, count, done=len(book)), book), start)
