"""Tasks in Ray workers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ndg.executors import ray_scheduler
from ndg.executors.ordered_sum import OrderedSum, Results, Tasks, Work
from ndg.executors.payload import packed
from ndg.executors.ray_scheduler import TIMEOUT, Needs
from ndg.executors.ray_session import STORE_BYTES, session


@dataclass(frozen=True)
class Ray(OrderedSum):
    """Tasks in Ray workers.

    The session is that of this process, else that of the cluster at `address` or RAY_ADDRESS, else one started here,
    which ends with the `with` (or with the total). `shared` is sent once to each machine and unpacked once in each
    worker. At most two tasks per CPU are under way. A task whose worker or machine is lost is done again. `timeout` is
    in seconds without any finished task. `cpus` are those of a session started here, by default all that this process
    may use; `task_cpus` and `task_gpus` are what one task takes.
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

    def results(self, work: Work, shared: Any, tasks: Tasks) -> Results:
        package = packed(work, shared)
        if (first := next(tasks, None)) is not None:
            with session(self.address, self.cpus, max(self.store_bytes, 2 * package.nbytes)):
                needs = Needs(self.task_cpus, self.task_gpus)
                yield from ray_scheduler.results(package, chain([first], tasks), needs, self.timeout)
