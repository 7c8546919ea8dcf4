"""The interface of all executors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, runtime_checkable

from ndg.executors.journal import Journal

R = TypeVar("R")


@runtime_checkable
class Executor(Protocol):
    """An object that adds up results; `session` keeps its workers alive."""

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
        """The sum of `start` and `work(shared, task)` of every task.

        `count` is the number of tasks where it is known. A `journal` keeps each result as it comes; those that it has
        from before are not computed again.
        """
