"""Independent tasks, such as trainings, whose failures stop no others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndg.errors import NDGError, UserError, WorkerError
from ndg.executors.ordered_sum import Work
from ndg.executors.payload import in_worker, packed
from ndg.executors.protocol import Executor
from ndg.executors.ray_executor import Ray
from ndg.executors.ray_scheduler import Needs
from ndg.executors.ray_session import check_alive, line
from ndg.progress import log

PATIENCE = 5.0
"""Seconds between two looks at workers, and seconds that interrupted workers get to log the interrupt."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of a task, or the reason of its failure."""

    result: Any = None
    reason: str | None = None
    mistake: bool = False


def outcomes(
    executor: Executor, work: Work, shared: Any, tasks: Sequence[Any], remedy: str
) -> Iterator[tuple[int, Outcome]]:
    """Number and outcome of each task, as tasks finish.

    Ray workers run several at once, in the folder and with the command line of this process; a task whose worker dies
    fails. Any other executor runs one after the other here. KeyboardInterrupt propagates, and reaches the workers.
    Raises WorkerError, with the `remedy`, where the Ray cluster could never run a task.
    """
    if isinstance(executor, Ray):
        yield from _in_ray(executor, work, shared, tasks, remedy)
    else:
        for number, task in enumerate(tasks):
            yield number, _outcome(work, shared, task)


def _in_ray(executor: Ray, work: Work, shared: Any, tasks: Sequence[Any], remedy: str) -> Iterator[tuple[int, Outcome]]:
    with executor.session():
        import ray

        needs = Needs(executor.task_cpus, executor.task_gpus).amounts()
        cluster = ray.cluster_resources()
        for kind, need in needs.items():
            if cluster.get(kind, 0) < need:
                raise WorkerError(
                    f"each task needs {need:g} {kind} at once; the Ray cluster has {cluster.get(kind, 0):g}; {remedy}, "
                    "choose another device, or use the executor 'serial'"
                )
        package = packed(_in_worker, (work, shared, str(Path.cwd()), list(sys.argv)))
        held = ray.put((sys.path, package.data, package.buffers))
        cpus, gpus = needs.get("CPU", 0), needs.get("GPU", 0)
        remote = ray.remote(in_worker).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        running = {remote.remote([held], task): number for number, task in enumerate(tasks)}
        try:
            while running:
                ended, _ = ray.wait(list(running), num_returns=1, timeout=PATIENCE)
                check_alive()
                for reference in ended:
                    yield running.pop(reference), _answer(reference)
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=PATIENCE)


def _in_worker(caller: tuple[Work, Any, str, list[str]], task: Any) -> Outcome:
    """Run a task in a Ray worker, with the caller's folder and command line."""
    work, shared, folder, command = caller
    if os.path.isdir(folder):
        os.chdir(folder)
    sys.argv = list(command)
    return _outcome(work, shared, task)


def _answer(reference: Any) -> Outcome:
    """The outcome of a finished Ray task."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        outcome: Outcome = ray.get(reference)
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else None
        if isinstance(cause, NDGError):
            return Outcome(None, str(cause), isinstance(cause, UserError))
        return Outcome(None, f"its Ray worker ended without an answer: {line(error)}")
    return outcome


def _outcome(work: Work, shared: Any, task: Any) -> Outcome:
    try:
        return Outcome(work(shared, task))
    except Exception as error:
        known = isinstance(error, NDGError)
        log.debug("%s", task, exc_info=not known)
        return Outcome(None, str(error) if known else f"{type(error).__name__}: {error}", isinstance(error, UserError))
