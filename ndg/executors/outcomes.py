"""Tasks that stand alone: each has an outcome, and one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ndg.errors import NDGError, UserError
from ndg.executors.protocol import Executor
from ndg.executors.serial_executor import Serial
from ndg.progress import log

PATIENCE = 7 * 86_400.0
"""Seconds that a task may take which is a whole study: of such tasks none ends for long."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of a task, or the reason why there is none; `mistake` says whether it is one of the user."""

    result: Any = None
    reason: str | None = None
    mistake: bool = False


def apart(
    executor: Executor, work: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any], label: str
) -> Iterator[Outcome]:
    """The outcome of `work(shared, task)` for each task, in their order; here as they end, in workers at the end of
    all. An interrupt is no outcome: it ends them all."""
    if isinstance(executor, Serial):
        for task in tasks:
            yield from _outcome((work, shared), task)
    else:
        yield from executor.total(_outcome, (work, shared), tasks, label, count=len(tasks))


def _outcome(shared: tuple[Callable[[Any, Any], Any], Any], task: Any) -> tuple[Outcome, ...]:
    work, of = shared
    try:
        return (Outcome(work(of, task)),)
    except Exception as error:
        known = isinstance(error, NDGError)
        log.debug("%s", task, exc_info=not known)
        told = str(error) if known else f"{type(error).__name__}: {error}"
        return (Outcome(None, told, isinstance(error, UserError)),)
