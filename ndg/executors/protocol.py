"""The one face of all executors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

from ndg.executors.journal import Journal

R = TypeVar("R")


@runtime_checkable
class Executor(Protocol):
    """What adds up the results of tasks. `session` keeps workers alive for several totals."""

    @property
    def name(self) -> str: ...

    def session(self) -> AbstractContextManager[None]: ...

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
        """`start` plus `work(shared, task)` of every task; `count` is the number of tasks where it is known.

        A `journal` keeps each result as it comes; those that it has from before are not computed again.
        """
