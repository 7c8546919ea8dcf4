"""Training of one config with several seeds, here or on Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ndg import executors, progress, runs
from ndg.config import Experiment
from ndg.errors import ConfigError, DataError, RunNotFoundError
from ndg.executors.outcomes import outcomes
from ndg.locations import Locations
from ndg.progress import log
from ndg.runs.record import RunRecord
from ndg.workflows import train
from ndg.workflows.estimates import GAIN

RAY_SECONDS = 8.0
"""Start of Ray on this machine, until its workers have imported what they need."""

RAY_SHARE = 0.5
"""Most of the time without Ray that `auto` lets it take; else it is not worth a start."""


@dataclass(frozen=True)
class Trained:
    """The run of one seed, or the reason of its failure."""

    seed: int
    record: RunRecord | None
    reason: str | None = None


def run_seeds(
    experiment: Experiment,
    seeds: Sequence[int],
    where: Locations,
    *,
    device: str = "cpu",
    resume: bool = False,
    executor: str = "auto",
    address: str | None = None,
) -> list[Trained]:
    """The run of each seed.

    A failure does not stop the others.

    With `resume` unfinished runs continue and complete runs stay; seeds without a run start if others have one.
    `executor` is `serial`, `ray`, or `auto`: Ray with an address, or where the estimate says that it saves at least
    half. Raises DataError before anything is written when the data are missing, ConfigError for seeds that repeat, and
    WorkerError where Ray does not start or could never run a training.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds are one or more, all different; got {', '.join(map(str, seeds)) or 'none'}")
    if reason := train.absent(where.place(experiment)):
        raise DataError(reason)
    experiments = [replace(experiment, seed=seed) for seed in seeds]
    begun = [resume and bool(runs.begun(where.runs, each)) for each in experiments]
    tasks = [(each, resume and (known or not any(begun))) for each, known in zip(experiments, begun, strict=True)]
    if executor == executors.AUTO:
        cpus = executors.available_cpus() // experiment.train.threads
        at_once = cpus if device == "cpu" else torch.cuda.device_count()
        executor = "ray" if address else "serial"
        if not address and len(seeds) > 1 and at_once > 1:
            executor, reason = by_estimate(len(seeds), at_once, train.plan(experiment, where).seconds)
            log.info("  executor %s", reason)
    workers, _ = executors.choose(executor, address=address, task_cpus=experiment.train.threads)
    if isinstance(workers, executors.Ray):
        workers = replace(workers, task_gpus=float(device != "cpu"))
    trained: dict[int, Trained] = {}
    with progress.whole({str(seed): 1.0 for seed in seeds}, estimated=False):
        for number, outcome in outcomes(workers, _train, (where.absolute(), device), tasks, "lower train.threads"):
            seed = seeds[number]
            trained[seed] = Trained(seed, outcome.result, outcome.reason)
            result = f"failed: {outcome.reason}" if outcome.result is None else str(outcome.result.folder)
            log.info("  seed %d (%d of %d): %s", seed, len(trained), len(seeds), result)
    return [trained[seed] for seed in seeds]


def by_estimate(count: int, at_once: int, seconds: float) -> tuple[str, str]:
    """`ray` where it saves at least half of so many trainings here, else `serial`; and why."""
    alone, by_ray = count * seconds, RAY_SECONDS + -(-count // at_once) * seconds / GAIN
    times = f"about {by_ray:.0f} s in Ray, {at_once} at once, and {alone:.0f} s without"
    if by_ray <= RAY_SHARE * alone:
        return "ray", f"ray: the training of {count} seeds takes {times}"
    return "serial", f"serial: Ray would save less than half of the training of {count} seeds: {times}"


def _train(shared: tuple[Locations, str], task: tuple[Experiment, bool]) -> RunRecord:
    """The document of one training, begun or resumed, here or in workers."""
    (where, device), (experiment, resume) = shared, task
    progress.enter(str(experiment.seed))
    try:
        return train.run(experiment, where, device=device, resume=resume)
    except RunNotFoundError:
        with runs.open(where.store, local=where.runs) as log:
            same = {"kind": "train", "training_digest": experiment.training_digest, "seeds.seed": experiment.seed}
            newest = log.find(same, limit=1)
        if not resume or not newest or newest[0]["status"] != "COMPLETED":
            raise
        train.same_data(newest[0], train.load(where.place(experiment)))
        return newest[0]
