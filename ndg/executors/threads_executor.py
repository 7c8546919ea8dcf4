"""Tasks in threads of this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ndg.executors.ordered_sum import OrderedSum, Results, Tasks, Work
from ndg.executors.ray_session import available_cpus


@dataclass(frozen=True)
class Threads(OrderedSum):
    """Tasks in threads of this process.

    Each thread has its own copy of the network and `task_cpus` torch threads. Nothing needs to be started or pickled.
    Parameters and arrays are shared, so memory hardly grows. By default there are as many `workers` as the CPUs of this
    process have room for.
    """

    workers: int | None = None
    task_cpus: int = 1

    name = "threads"

    @property
    def slots(self) -> int:
        """Number of tasks that run at once."""
        return self.workers or max(available_cpus() // self.task_cpus, 1)

    def results(self, work: Work, shared: Any, tasks: Tasks) -> Results:
        from ndg.executors import thread_pool  # imports torch

        return thread_pool.results(work, shared, tasks, self.slots, self.task_cpus)
