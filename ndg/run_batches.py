"""A study of a network over the compute batches of a loader: where it runs, and the sum of what its batches give.

    total, executor, reason = run_batches(work, study, loader, "trial Q", batch=256, executor="auto")

`work(study, batch)` gives something that adds. A study holds its network as `model`, or as `passes.model`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from ndg import executors
from ndg.activations.batches import COMPUTE_BATCH, Batch, compute_batches, device_of
from ndg.activations.sampling import examples_of, shuffled
from ndg.errors import ConfigError, DataError
from ndg.executors import AUTO, TIMEOUT, Cost, Executor, Journal

S = TypeVar("S")
R = TypeVar("R")

TASK_GPUS = 0.25
"""Part of a GPU that one Ray task takes when a study runs on a GPU."""


def run_batches(
    work: Callable[[S, Batch], R],
    study: S,
    loader: Iterable[Any],
    label: str,
    *,
    batch: int = COMPUTE_BATCH,
    executor: str | Executor = AUTO,
    ray_address: str | None = None,
    timeout: float | int = TIMEOUT,
    journal: Journal | None = None,
) -> tuple[R, str, str]:
    """The sum of `work(study, batch)` over the compute batches, the name of the executor, and why it is that one.

    `auto` times the first batch, which counts once. With a `journal` batches that it holds do not run again. Raises
    DataError without examples or for a loader that shuffles, ConfigError for an unknown executor or a compute batch of
    none, WorkerError when Ray gives no answer.
    """
    if batch < 1:
        raise ConfigError(f"a compute batch has at least 1 example; got {batch}")
    if shuffled(loader):
        raise DataError(
            "what is drawn belongs to the number of an example in the loader; this DataLoader shuffles them anew each "
            "time; make it with shuffle=False"
        )
    batches, count = compute_batches(loader, batch), count_batches(loader, batch)
    chosen, reason, start = _choose(work, study, batches, count, executor, ray_address, timeout)
    if start is not None:
        count = count if count is None else count - 1
        journal = None if journal is None else replace(journal, first=1)
    total = chosen.total(work, study, batches, label, count=count, start=start, journal=journal)
    return total, chosen.name, reason


def placed(
    model: nn.Module,
    device: str | None = None,
    executor: str | Executor | None = None,
    ray_address: str | None = None,
) -> nn.Module:
    """The network on a device: itself where it is there already, else a copy.

    Without a `device` it stays where it is, but for Ray, whose workers run on the CPU. Raises ConfigError for a device
    that there is not.
    """
    device = device or ("cpu" if _is_ray(executor, ray_address) else None)
    if device is not None:
        _check_device(device)
    if device is None or device_of(model).type == device or device_of(model) == torch.device(device):
        return model
    return copy.deepcopy(model).to(device)


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = ["cpu", *(f"cuda:{one}" for one in range(torch.cuda.device_count()))]
        raise ConfigError(
            f"a network runs on a device that this machine has, {', '.join(there)}; got {device!r} "
            f"({str(error).splitlines()[0]}); leave device out for where the network is"
        ) from error


def count_batches(loader: Iterable[Any], size: int) -> int | None:
    """Number of compute batches, where the loader tells how many examples it has."""
    examples = examples_of(loader)
    return None if examples is None else -(-examples // size)


def _is_ray(executor: str | Executor | None, address: str | None) -> bool:
    return executor == "ray" or isinstance(executor, executors.Ray) or (executor == AUTO and bool(address))


def _choose(
    work: Callable[[Any, Batch], R],
    study: Any,
    batches: Iterator[Batch],
    count: int | None,
    executor: str | Executor,
    address: str | None,
    timeout: float | int,
) -> tuple[Executor, str, R | None]:
    """The executor, why it is that one, and the result of the first batch where that was timed to find out."""
    passes = getattr(study, "passes", study)
    place, threads = device_of(passes.model), getattr(passes, "threads", 1)
    start, cost = None, None
    if executor == AUTO and not address:
        if place.type != "cpu":
            return executors.serial(), f"serial: the network is on {place}, which one process uses best", None
        start, cost = _first(work, study, batches, count)
        if count == 1:
            return executors.serial(), "serial: there is one batch only", start
    cpus = min(threads, executors.available_cpus())
    chosen, reason = executors.choose(executor, cost, address=address, timeout=timeout, task_cpus=cpus)
    if isinstance(chosen, executors.Ray) and place.type == "cuda" and not chosen.task_gpus:
        chosen = replace(chosen, task_gpus=TASK_GPUS)
    return chosen, reason, start


def _first(work: Callable[[Any, Batch], R], study: Any, batches: Iterator[Batch], count: int | None) -> tuple[R, Cost]:
    """The result of the first batch, and what the others will cost; a short batch is timed again when warm."""
    first = next(batches, None)
    if first is None:
        raise DataError("at least one example is needed; the loader gave none; check the split")
    for _ in range(2):
        before = time.perf_counter()
        result = work(study, first)
        seconds = time.perf_counter() - before
        if seconds > 1:
            break
    return result, Cost(None if count is None else count - 1, seconds)
