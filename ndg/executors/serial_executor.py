"""One task after the other in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ndg.executors.ordered_sum import OrderedSum, Results, Tasks, Work


@dataclass(frozen=True)
class Serial(OrderedSum):
    """One task after the other in this process."""

    name = "serial"

    def results(self, work: Work, shared: Any, tasks: Tasks) -> Results:
        return ((number, work(shared, task)) for number, task in tasks)
