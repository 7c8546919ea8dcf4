"""Run the tasks of a study by an executor and add their results.

run = run_batches(study, loader, "trial Q", options)       # the compute batches of a loader are the tasks
run.total, run.executor, run.reason
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

from ndg import executors
from ndg.activations.batches import Batch, compute_batches, device_of
from ndg.activations.digest import digest_of, network_digest
from ndg.activations.sampling import examples_of, shuffled
from ndg.errors import ConfigError, DataError
from ndg.executors import AUTO, Executor, Journal
from ndg.options import RunOptions
from ndg.probe import probe

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

TASK_GPUS = 0.25
"""Fraction of a GPU for one Ray task."""


@runtime_checkable
class Study(Protocol[T_contra, R_co]):
    """A frozen value with a network that runs single tasks.

    Results add up with `+`. For a journal they have `to_dict`, and the study its inverse, `decode`; for a journal that
    is a path the study also has `identity`: plain values that tell it from other studies of the same network.
    """

    @property
    def model(self) -> nn.Module: ...

    def with_model(self, model: nn.Module) -> Study[T_contra, R_co]:
        """The study of a copy of its network."""

    def run(self, task: T_contra, /) -> R_co:
        """The result of one task, such as a compute batch."""


@dataclass(frozen=True)
class StudyRun(Generic[R]):
    """Sum of all results, and the chosen executor."""

    total: R
    executor: str
    reason: str


def run_study(
    study: Study[T, R],
    tasks: Iterable[T],
    label: str,
    options: RunOptions,
    *,
    count: int | None = None,
    start: Any = None,
) -> StudyRun[R]:
    """The sum of `start` and the results of `count` tasks.

    `auto` is what `executors.choose` says, and serial for one task. Tasks that the journal holds do not run again. Ray
    workers get a copy of the network on the CPU, unless there is a `device`. Raises ConfigError for an unknown executor
    or a journal of another study, network or first batch; WorkerError when Ray gives no answer.
    """
    model = placed(study.model, options)
    study = study if model is study.model else study.with_model(model)
    executor, reason = _choose(study, options, count)
    journal = None
    if options.journal is not None:
        tasks = iter(tasks)
        first = list(islice(tasks, 1))
        journal, tasks = _journal(study, label, first, options.journal), chain(first, tasks)
    total = executor.total(
        run_task, study, _probed(study, tasks, options), label, count=count, start=start, journal=journal
    )
    return StudyRun(total, executor.name, reason)


def run_batches(study: Study[Batch, R], loader: Iterable[Any], label: str, options: RunOptions) -> StudyRun[R]:
    """The sum of the results of the compute batches of `loader`.

    Raises DataError without examples or for a loader that shuffles, and what `run_study` does.
    """
    check_order(loader)
    count = count_batches(loader, options.batch)
    return run_study(study, compute_batches(loader, options.batch), label, options, count=count)


def placed(model: nn.Module, options: RunOptions) -> nn.Module:
    """The network, or a copy of it, on the requested device.

    Without a device it stays where it is, but for Ray, whose workers run on the CPU. Raises ConfigError for a device
    that this machine does not have.
    """
    check_model(model)
    executor = options.executor
    on_ray = executor == "ray" or isinstance(executor, executors.Ray) or (executor == AUTO and options.ray_address)
    device = ("cpu" if on_ray else None) if options.device is None else options.device
    if device is not None:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
            devices = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
            raise ConfigError(
                f"a network runs on a device that this machine has, {', '.join(devices)}; got {device!r} "
                f"({str(error).splitlines()[0]}); leave device out for where the network is"
            ) from error
    if device is None or device_of(model).type == device or device_of(model) == torch.device(device):
        return model
    return copy.deepcopy(model).to(device)


def check_model(model: object) -> None:
    """Raise ConfigError for what is no network, or one without values."""
    if not isinstance(model, nn.Module):
        loaded = isinstance(model, tuple) and bool(model) and isinstance(model[0], nn.Module)
        raise ConfigError(
            f"a network is a torch.nn.Module; got {type(model).__name__}; "
            + (
                "ndg.load_model returns the network and its experiment: pass the first"
                if loaded
                else "pass the network itself, or load one: network, experiment = ndg.load_model(folder)"
            )
        )
    empty = next(
        (name for name, value in model.state_dict(keep_vars=True).items() if getattr(value, "is_meta", 0)), None
    )
    if empty is not None:
        raise ConfigError(
            f"a network has values for its weights; {empty!r} is on the meta device, which holds shapes alone; load "
            "the weights first, such as network.to_empty(device='cpu') and network.load_state_dict(weights)"
        )


def count_batches(loader: Iterable[Any], size: int) -> int | None:
    """Number of compute batches; None for a loader of unknown length."""
    examples = examples_of(loader)
    return None if examples is None else -(-examples // size)


def check_order(loader: Iterable[Any] | None) -> None:
    """Raise DataError for a loader that is known to shuffle."""
    if loader is not None and shuffled(loader):
        raise DataError(
            "draws belong to an example by its number in the loader, but this DataLoader shuffles them; make it with "
            "shuffle=False"
        )


def run_task(study: Study[T, R], task: T) -> R:
    """The result of one task: the function that executors call."""
    return study.run(task)


def _probed(study: Study[T, R], tasks: Iterable[T], options: RunOptions) -> Iterator[T]:
    """The tasks; before the first one, the network is probed with a few of its examples."""
    for number, task in enumerate(tasks):
        batch = task if isinstance(task, Batch) else getattr(task, "batch", None)
        if number == 0 and isinstance(batch, Batch):
            layers = getattr(study, "layers", None) or [getattr(study, "layer", "")]
            probe(study.model, batch, layers, options.threads)
        yield task


def _journal(study: Study[T, R], label: str, tasks: list[Any], journal: Journal | Path | str) -> Journal:
    """A journal with the study's `decode` and digest."""
    decode, identity = (getattr(study, name, None) for name in ("decode", "identity"))
    if decode is None:
        raise ConfigError(f"{label} keeps no journal; got {journal}; leave it out")
    if isinstance(journal, Journal):
        return replace(journal, decode=decode)
    if identity is None:
        raise ConfigError(
            f"a journal of this study needs a digest of its data and settings; got the path {journal}; pass "
            "ndg.executors.Journal(path, digest, decode)"
        )
    batches = [task if isinstance(task, Batch) else getattr(task, "batch", None) for task in tasks]
    digest = digest_of([label, network_digest(study.model), identity, batches])
    return Journal(Path(journal), digest, decode)


def _choose(study: Study[T, R], options: RunOptions, count: int | None) -> tuple[Executor, str]:
    """The executor, and why it was chosen.

    Ray tasks share a GPU.
    """
    if options.executor == AUTO and not options.ray_address and count == 1:
        return executors.serial(), "serial: there is one batch only"
    cpus = min(options.threads, executors.available_cpus())
    chosen, reason = executors.choose(
        options.executor, model=study.model, address=options.ray_address, timeout=options.timeout, task_cpus=cpus
    )
    if isinstance(chosen, executors.Ray) and device_of(study.model).type == "cuda" and not chosen.task_gpus:
        chosen = replace(chosen, task_gpus=TASK_GPUS)
    return chosen, reason
