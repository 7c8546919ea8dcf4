"""One config trained with several seeds, one after the other or in Ray workers at once.

Each seed is an ordinary run, logged by the process that trains it, with the numbers that it has alone. Workers on other
machines need the same folders of data and runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ndg import executors, runs
from ndg.config import Experiment
from ndg.errors import ConfigError, DataError, NDGError, RunNotFoundError, WorkerError
from ndg.locations import Locations
from ndg.progress import log
from ndg.runs.record import RunRecord
from ndg.workflows import train

WORTH = 30.0
"""Estimated seconds of one training below which starting Ray takes longer than it saves."""

PATIENCE = 5.0
"""Seconds between two looks at workers, and those that they get to log that they were interrupted."""


@dataclass(frozen=True)
class Outcome:
    """What became of one seed: the document of its run, or the reason why there is none that is complete."""

    seed: int
    record: RunRecord | None
    reason: str | None = None


@dataclass(frozen=True)
class Task:
    """What a worker needs to know; `folder` and `command` are those of the process that sent it."""

    experiment: Experiment
    where: Locations
    device: str
    resume: bool
    folder: str
    command: tuple[str, ...]


def run_seeds(
    experiment: Experiment,
    seeds: Sequence[int],
    where: Locations,
    *,
    device: str = "cpu",
    resume: bool = False,
    executor: str = "auto",
    address: str | None = None,
) -> list[Outcome]:
    """The outcome of each seed, in their order; one that fails does not stop the others.

    With `resume` an unfinished run of a seed goes on, one that is complete stays as it is, and where some seeds were
    begun the others begin. `executor` is `serial`, `ray`, or `auto`: Ray where several trainings of more than half a
    minute can run at once. A worker takes as many CPUs as the training has threads, and on the device cuda one GPU.

    Raises DataError before anything is written when the data are not at hand, ConfigError for seeds that are not
    different, and WorkerError where Ray does not start or could never run one.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds are one or more, all different; got {', '.join(map(str, seeds)) or 'none'}")
    if reason := train.absent(where.place(experiment)):
        raise DataError(reason)
    each = [replace(experiment, seed=seed) for seed in seeds]
    known = [resume and bool(runs.begun(where.runs, one)) for one in each]
    tasks = [
        Task(one, where, device, resume and (old or not any(known)), str(Path.cwd()), tuple(sys.argv))
        for one, old in zip(each, known, strict=True)
    ]
    if executor == executors.AUTO:
        several = len(seeds) > 1 and _at_once(experiment, device) > 1 and train.plan(experiment, where).seconds > WORTH
        executor = "ray" if address or several else "serial"
    workers, _ = executors.choose(executor, address=address, task_cpus=experiment.train.threads)
    outcomes = {}
    for outcome in _in_ray(workers, tasks) if isinstance(workers, executors.Ray) else map(_train, tasks):
        outcomes[outcome.seed] = outcome
        told = f"failed: {outcome.reason}" if outcome.record is None else str(outcome.record.folder)
        log.info("  seed %d (%d of %d): %s", outcome.seed, len(outcomes), len(seeds), told)
    return [outcomes[seed] for seed in seeds]


def _at_once(experiment: Experiment, device: str) -> int:
    """How many trainings this machine has room for."""
    if device != "cpu":
        import torch

        return torch.cuda.device_count()
    return executors.available_cpus() // experiment.train.threads


def _in_ray(workers: executors.Ray, tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Outcomes as they come. On an interrupt the trainings that are under way are interrupted too, and log it."""
    with workers.session():
        import ray
        from ray.exceptions import RayError

        needs = {"CPU": float(workers.task_cpus), "GPU": float(tasks[0].device != "cpu")}
        has = ray.cluster_resources()
        for kind, need in needs.items():
            if has.get(kind, 0) < need:
                raise WorkerError(
                    f"each training needs {need:g} {kind} at once; the Ray cluster has {has.get(kind, 0):g}; lower "
                    "train.threads, choose another device, or use the executor 'serial'"
                )
        remote = ray.remote(_in_worker).options(num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_retries=0)
        waiting: dict[Any, Task] = {remote.remote(_absolute(task)): task for task in tasks}
        try:
            while waiting:
                ended, _ = ray.wait(list(waiting), num_returns=1, timeout=PATIENCE)
                for reference in ended:
                    seed = waiting.pop(reference).experiment.seed
                    try:
                        yield ray.get(reference)
                    except RayError as error:
                        line = str(error).strip().partition("\n")[0]
                        yield Outcome(seed, None, f"its Ray worker ended without an answer: {line}")
        finally:
            for reference in waiting:
                ray.cancel(reference)
            if waiting:
                ray.wait(list(waiting), num_returns=len(waiting), timeout=PATIENCE)


def _absolute(task: Task) -> Task:
    """The same with a run log and a folder of runs that do not depend on where a worker stands."""
    store = task.where.store if "://" in task.where.store else str(Path(task.where.store).expanduser().absolute())
    return replace(task, where=replace(task.where, runs=task.where.runs.absolute(), store=store))


def _in_worker(task: Task) -> Outcome:
    """Runs in a Ray worker, as it would in the process that sent it: paths and the logged command are the same."""
    if os.path.isdir(task.folder):
        os.chdir(task.folder)
    sys.argv = list(task.command)
    return _train(task)


def _train(task: Task) -> Outcome:
    """The outcome of one training, whatever goes wrong in it but an interrupt."""
    seed = task.experiment.seed
    try:
        return Outcome(seed, _run(task))
    except Exception as error:
        known = isinstance(error, NDGError)
        log.debug("seed %d", seed, exc_info=not known)
        return Outcome(seed, None, str(error) if known else f"{type(error).__name__}: {error}")


def _run(task: Task) -> RunRecord:
    experiment, where = task.experiment, task.where
    try:
        return train.run(experiment, where, device=task.device, resume=task.resume)
    except RunNotFoundError:
        with runs.open(where.store, local=where.runs) as book:
            mine = {"kind": "train", "training_digest": experiment.training_digest, "seeds.seed": experiment.seed}
            newest = book.find(mine, limit=1)
        if not task.resume or not newest or newest[0]["status"] != "COMPLETED":
            raise
        train.same_data(newest[0], train.load(where.place(experiment)))
        return newest[0]
