"""Tasks in Ray: bounded in number, repeated when lost, timed out."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from ndg.errors import WorkerError
from ndg.executors.ordered_sum import Results, Tasks
from ndg.executors.payload import Package, begun, in_worker
from ndg.executors.ray_session import check_alive, ends_with_us, line
from ndg.progress import log

TIMEOUT = 300.0
"""Seconds without any finished task after which workers are given up."""

TRIES = 4
"""How often a task is tried whose worker, machine or answer is lost."""

NOTICE = 5.0
"""Seconds until a cluster that gives no CPU is told of; then twice as many, and so on."""

LOOK = 1.0
"""Seconds between two looks at a silent cluster."""


@dataclass(frozen=True)
class Needs:
    """What one task takes."""

    cpus: int = 1
    gpus: float = 0.0

    def amounts(self) -> dict[str, float]:
        return {kind: need for kind, need in (("CPU", float(self.cpus)), ("GPU", float(self.gpus))) if need}

    def slots(self) -> int:
        """How many tasks the cluster runs at once."""
        import ray

        whole = ray.cluster_resources()
        return int(min(whole.get(kind, 0) / need for kind, need in self.amounts().items()))

    def words(self) -> str:
        """What tasks need, and what the cluster has and has free."""
        import ray

        whole, free = ray.cluster_resources(), ray.available_resources()
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        texts = []
        for kind, need in self.amounts().items():
            largest = max((machine.get(kind, 0) for machine in machines), default=0)
            texts.append(
                f"each needs {need:g} {kind}, the cluster has {whole.get(kind, 0):g} and {free.get(kind, 0):g} free"
                + (f", {largest:g} on its largest machine" if largest < need <= whole.get(kind, 0) else "")
            )
        return ", ".join(texts)


class _Try(NamedTuple):
    number: int
    task: Any
    time: int = 1


def results(package: Package, tasks: Tasks, needs: Needs, timeout: float) -> Results:
    """Number and result of each task, as they end.

    An error cancels running tasks and ends silent workers. Raises WorkerError after `timeout` seconds without a result,
    and for a task that has lost `TRIES` workers; an error of the task itself as it was raised there.
    """
    import ray

    how = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "max_retries": 0}
    held = ray.put((sys.path, package.data, package.buffers))
    remote = ray.remote(in_worker).options(**how)
    silence = _Silence(needs, timeout, ray.remote(begun).options(**how).remote())
    running: dict[Any, _Try] = {}
    slots, lost = needs.slots(), 0

    def send(attempt: _Try) -> None:
        running[remote.remote([held], attempt.task)] = attempt

    try:
        while True:
            while len(running) < 2 * max(slots, 1) and (following := next(tasks, None)) is not None:
                send(_Try(*following))
            if not running:
                return
            before = time.monotonic()
            ended, _ = ray.wait(list(running), num_returns=1, timeout=silence.patience())
            if not ended:
                check_alive()
                silence.goes_on(len(running), time.monotonic() - before)
                slots = needs.slots()
            for reference in ended:
                attempt = running.pop(reference)
                try:
                    result = _result(reference, attempt.number, timeout)
                except _LostError as error:
                    check_alive()
                    if attempt.time == TRIES:
                        raise WorkerError(
                            f"a Ray worker gave no answer to task {attempt.number}, also when it was tried again: "
                            f"{error}; look for a lack of memory, start fewer workers, or use the executor 'serial'"
                        ) from error.__cause__
                    level = logging.DEBUG if lost else logging.WARNING  # a lost machine loses many
                    log.log(level, "a Ray worker was lost at task %d, which is done again: %s", attempt.number, error)
                    lost, slots = lost + 1, needs.slots()
                    send(_Try(attempt.number, attempt.task, attempt.time + 1))
                else:
                    silence.ends()
                    yield attempt.number, result
    finally:  # an interrupted session ends with its workers; to cancel as well can crash Ray
        if isinstance(sys.exception(), Exception) or not ends_with_us():
            for reference in running:
                ray.cancel(reference, force=silence.given_up)


class _Silence:
    """Time without a finished task, and its warnings."""

    def __init__(self, needs: Needs, timeout: float, probe: Any) -> None:
        """`probe` refers to a first task that ends as it begins."""
        self._needs, self._timeout, self._probe = needs, timeout, probe
        self._quiet, self._notice = 0.0, NOTICE
        self.given_up = False

    def patience(self) -> float:
        """Seconds to wait until the next look."""
        return max(0.01, min(LOOK, NOTICE, self._timeout - self._quiet))

    def ends(self) -> None:
        self._quiet, self._probe = 0.0, None

    def goes_on(self, running: int, seconds: float) -> None:
        """Count waiting time, warn of missing CPUs, and give up at last."""
        import ray

        self._quiet += seconds
        if self._quiet >= self._timeout:
            self.given_up = True
            raise WorkerError(
                f"no Ray worker finished a task in {self._timeout:g} s: {running} tasks wait or run, "
                f"{self._needs.words()}; raise the time-out, free the cluster, or use the executor 'serial'"
            )
        if self._probe is None or self._quiet < self._notice:
            return
        if ray.wait([self._probe], timeout=0)[0]:
            self._probe = None
            return
        self._notice *= 2
        log.warning(
            "the Ray cluster has begun no task in %.3g s: %d wait, %s; it is given up after %g s",
            self._quiet,
            running,
            self._needs.words(),
            self._timeout,
        )


class _LostError(Exception):
    """A worker, its machine or its answer was lost."""


def _result(reference: Any, number: int, timeout: float) -> Any:
    """The result of a task, whose own errors are raised again."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference, timeout=timeout)
    except RayError as error:
        cause = error.cause if isinstance(error, RayTaskError) else None
        if not isinstance(cause, Exception) or isinstance(cause, RayError):
            raise _LostError(f"{type(error).__name__}: {line(error)}") from error
        cause.add_note(f"raised in a Ray worker, at task {number}:\n{error}")
        raise cause from None
