"""Several networks scored, one after the other or in Ray workers at once.

Each is an ordinary run, logged by the process that scores it, with the numbers that it has alone. Workers on other
machines need the same folders of data and runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ndg import executors, runs
from ndg.errors import RunNotFoundError
from ndg.executors.outcomes import PATIENCE, Outcome, apart
from ndg.importance.evaluation.spec import of_network
from ndg.locations import Locations
from ndg.runs.record import RunRecord
from ndg.workflows import score
from ndg.workflows.targets import Target

ScoredRun = tuple[Target, RunRecord | None]
"""A network, and the alignment whose graph is meant, where one was named."""


@dataclass(frozen=True)
class Shared:
    """What all workers need to know; `folder` and `command` are those of the process that sent them."""

    where: Locations
    device: str
    folder: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One network to score, or to go on with."""

    target: Target
    aligned: RunRecord | None
    resume: bool


def run_all(
    asked: Sequence[ScoredRun],
    where: Locations,
    *,
    device: str = "cpu",
    executor: str = "serial",
    address: str | None = None,
    resume: bool = False,
) -> Iterator[Outcome]:
    """The outcome of each network, in their order: the document of its run; one that fails does not stop the others.

    With `resume` a scoring that was cut short goes on, one that is complete stays as it is, and where some were begun
    the others begin. A worker takes as many CPUs as a network has threads, and on the device cuda one GPU.

    Raises ConfigError for a method that is not known, WorkerError where Ray does not start.
    """
    for target, _ in asked:
        of_network(target.experiment.importance.methods)
    threads = max((target.experiment.extract.threads for target, _ in asked), default=1)
    workers, _ = executors.choose(executor, address=address, timeout=PATIENCE, task_cpus=threads)
    if isinstance(workers, executors.Ray):
        workers = replace(workers, task_gpus=float(device != "cpu"))
    shared = Shared(_absolute(where), device, str(Path.cwd()), tuple(sys.argv))
    known = [resume and _begun(target, where) for target, _ in asked]
    tasks = [Task(*one, resume and (old or not any(known))) for one, old in zip(asked, known, strict=True)]
    yield from apart(workers, _scored, shared, tasks, "score networks")


def _absolute(where: Locations) -> Locations:
    """The same with a run log and a folder of runs that do not depend on where a worker stands."""
    store = where.store if "://" in where.store else str(Path(where.store).expanduser().absolute())
    return replace(where, runs=where.runs.absolute(), store=store)


def _scored(shared: Shared, task: Task) -> RunRecord:
    """Runs here or in a worker, where paths and the logged command are those of the process that sent it."""
    if os.path.isdir(shared.folder):
        os.chdir(shared.folder)
    sys.argv = list(shared.command)
    target = task.target
    try:
        return score.run(target, shared.where, shared.device, aligned=task.aligned, resume=task.resume)
    except RunNotFoundError:
        done = _complete(target, shared.where) if task.resume else None
        if done is None:
            raise
        return done


def _begun(target: Target, where: Locations) -> bool:
    """Whether there is a run that scored a network by this experiment, or began to."""
    parent = None if target.run is None else target.run.id
    return bool(runs.begun(where.runs, score.logged_experiment(target), kind=score.KIND, parent=parent))


def _complete(target: Target, where: Locations) -> RunRecord | None:
    """The newest run that scored a network by this experiment, where it is complete."""
    mine = {
        "kind": score.KIND,
        "digest": score.logged_experiment(target).digest,
        "parent": None if target.run is None else target.run.id,
    }
    with runs.open(where.store, local=where.runs) as book:
        newest = book.find(mine, limit=1)
    return newest[0] if newest and newest[0]["status"] == "COMPLETED" else None
