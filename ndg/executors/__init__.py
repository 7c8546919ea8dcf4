"""Executors: sums of a function over tasks, here or in workers.

`executor.total(work, shared, tasks, "label")` is work(shared, tasks[0]) + work(shared, tasks[1]) + ... `work` is a
function of a module and must not depend on where it runs. Results are added in the order of the tasks, so every
executor gives the same sum. A `Journal` keeps the results of finished tasks in a file: a total that was killed
continues from it to the same sum. `choose` decides once for a whole run, and says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ndg.cancellation import in_worker
from ndg.errors import ConfigError, nearest
from ndg.executors.journal import Journal
from ndg.executors.protocol import Executor
from ndg.executors.ray_executor import Ray
from ndg.executors.ray_scheduler import TIMEOUT
from ndg.executors.ray_session import available_cpus
from ndg.executors.serial_executor import Serial
from ndg.executors.threads_executor import Threads

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "AUTO",
    "EXECUTORS",
    "TIMEOUT",
    "Executor",
    "Journal",
    "Ray",
    "Serial",
    "Threads",
    "available_cpus",
    "choose",
    "ray",
    "serial",
    "threads",
]

AUTO = "auto"


serial, threads, ray = Serial, Threads, Ray
"""The executors by their names; nothing starts before their first use."""

EXECUTORS: dict[str, Callable[..., Executor]] = {"serial": serial, "threads": threads, "ray": ray}


def choose(
    name: str | Executor,
    model: nn.Module | None = None,
    *,
    address: str | None = None,
    timeout: float = TIMEOUT,
    cpus: int | None = None,
    task_cpus: int = 1,
) -> tuple[Executor, str]:
    """The executor of that name, and why it was chosen.

    `auto` is Ray where an address is given, or where the Ray session of this process has more CPUs than this machine;
    else threads; serial where there is room for one task of `task_cpus` only, and where `model` is on another device or
    cannot be copied. Raises ConfigError for an unknown name.
    """
    first = None if model is None else next(model.parameters(), None)
    device = "cpu" if first is None else str(first.device)
    if device != "cpu" and ((name in (AUTO, "threads") and not address) or isinstance(name, Threads)):
        return serial(), f"serial: the network is on {device}, which one process uses best"
    if isinstance(name, Threads):
        name = replace(name, task_cpus=task_cpus)
    if not isinstance(name, str):
        return name, f"{name.name}: as given"
    if name == "serial":
        return serial(), "serial: as requested"
    if name == "threads":
        return threads(cpus and max(cpus // task_cpus, 1), task_cpus), "threads: as requested"
    parallel = ray(address, timeout, cpus, task_cpus)
    if name == "ray":
        return parallel, "ray: as requested"
    if name != AUTO:
        known = [AUTO, *EXECUTORS]
        names = f"{', '.join(known[:-1])} or {known[-1]}"
        raise ConfigError(f"an executor is {names}; got {name!r}; {nearest(name, known)}")
    if address:
        return parallel, f"ray: an address was given, {address}"
    return _here(parallel, model, cpus or available_cpus(), task_cpus)


def _here(parallel: Ray, model: nn.Module | None, cpus: int, task_cpus: int) -> tuple[Executor, str]:
    """The choice of `auto` on this machine."""
    if in_worker():
        return serial(), "serial: this is a thread of another total"
    if (connected := _session_cpus()) > cpus:
        return parallel, f"ray: the Ray session of this process has {connected} CPUs, this machine {cpus}"
    count = cpus // task_cpus
    if count < 2:
        return serial(), f"serial: {cpus} CPU{'s' * (cpus > 1)} for tasks of {task_cpus} thread{'s' * (task_cpus > 1)}"
    if model is not None:
        from ndg.executors.replicas import why_not

        if reason := why_not(model):
            return serial(), f"serial: {reason}"
    return threads(count, task_cpus), f"threads: {count} at once on this machine"


def _session_cpus() -> int:
    """CPUs of this process' Ray session, 0 without one."""
    loaded: Mapping[str, Any] = sys.modules
    if "ray" not in loaded or not loaded["ray"].is_initialized():
        return 0
    return int(loaded["ray"].cluster_resources().get("CPU", 0))
