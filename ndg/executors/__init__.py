"""Executors: values that sum the results of a function over tasks, in this process or in Ray workers.

    total = executor.total(work, shared, tasks, "label")        # work(shared, tasks[0]) + work(shared, tasks[1]) + ...

`work` is a function of a module and must not depend on where it runs. Results are added in the order of the tasks, so
every executor gives the same sum. A `Journal` keeps the results of finished tasks in a file: a total that was killed
goes on where it was, and its sum is the same. `choose` takes Ray when an estimate says that it ends sooner, and says
why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ndg.errors import ConfigError, nearest
from ndg.executors.journal import Journal
from ndg.executors.protocol import Executor
from ndg.executors.ray_executor import Ray
from ndg.executors.ray_scheduler import TIMEOUT
from ndg.executors.ray_session import available_cpus
from ndg.executors.serial_executor import Serial

__all__ = [
    "AUTO",
    "EXECUTORS",
    "TIMEOUT",
    "Cost",
    "Executor",
    "Journal",
    "Ray",
    "Serial",
    "available_cpus",
    "choose",
    "ray",
    "serial",
]

AUTO = "auto"

START_SECONDS = 5.0
"""Starting Ray, importing torch in its workers and ending it; measured on two cores, 4 to 6 s."""

JOIN_SECONDS = 2.0
"""The same in a Ray session that runs already."""

GAIN = 0.75
"""Gain of one more CPU in Ray; 1.5 times for two was measured."""


def serial() -> Serial:
    """The executor that runs tasks in this process."""
    return Serial()


def ray(address: str | None = None, timeout: float = TIMEOUT, cpus: int | None = None, task_cpus: int = 1) -> Ray:
    """The executor that runs tasks in Ray workers; nothing starts before its first use."""
    return Ray(address, timeout, cpus, task_cpus)


EXECUTORS: dict[str, Callable[..., Executor]] = {"serial": serial, "ray": ray}


@dataclass(frozen=True)
class Cost:
    """Number of tasks, None where it is not known, and the seconds that one took here."""

    tasks: int | None
    seconds: float


def choose(
    name: str | Executor,
    cost: Cost | None = None,
    *,
    address: str | None = None,
    timeout: float = TIMEOUT,
    cpus: int | None = None,
    task_cpus: int = 1,
) -> tuple[Executor, str]:
    """The executor of that name and a sentence that says why it is that one.

    `auto` is Ray when an address is given, or when its estimated time, start included, is below that of doing one task
    after the other; it needs the `cost`. Raises ConfigError for an unknown name.
    """
    if not isinstance(name, str):
        return name, f"{name.name}: as asked for"
    if name not in (AUTO, *EXECUTORS):
        raise ConfigError(f"an executor is auto, serial or ray; got {name!r}; {nearest(name, [AUTO, *EXECUTORS])}")
    if name == "serial":
        return serial(), "serial: as asked for"
    parallel = ray(address, timeout, cpus, task_cpus)
    if name == "ray":
        return parallel, "ray: as asked for"
    if address:
        return parallel, f"ray: an address was given, {address}"
    if cost is None or cost.tasks is None:
        return serial(), "serial: the number of batches is not known before they are read"
    count = max((cpus or available_cpus()) // task_cpus, 1)
    alone = cost.tasks * cost.seconds
    start = JOIN_SECONDS if _connected() else START_SECONDS
    shared = start + alone / max(1.0, GAIN * count)
    winner: Executor = parallel if shared < alone else serial()
    return winner, (
        f"{winner.name}: {cost.tasks} batches of {cost.seconds:.3g} s (one was timed) are about {alone:.1f} s in this "
        f"process and {shared:.1f} s with Ray on {count} CPU{'s' * (count > 1)}, {start:g} s of them to start"
    )


def _connected() -> bool:
    loaded: Mapping[str, Any] = sys.modules
    return "ray" in loaded and loaded["ray"].is_initialized()
