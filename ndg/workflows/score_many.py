"""Scoring of several networks, one after the other or in Ray workers.

Each network is an ordinary run with the numbers that it would have alone, logged by the process that scores it. Workers
on other machines need the same folders of data and runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ndg import executors, runs
from ndg.errors import RunNotFoundError
from ndg.executors.outcomes import Outcome, outcomes
from ndg.importance.evaluation.spec import of_network
from ndg.locations import Locations
from ndg.runs.record import RunRecord
from ndg.workflows import score
from ndg.workflows.targets import Target


@dataclass(frozen=True)
class Task:
    """One network to score, with the alignment whose graph is annotated, if the user named one."""

    target: Target
    aligned: RunRecord | None
    resume: bool = False


def run_all(
    tasks: Sequence[Task],
    where: Locations,
    *,
    device: str = "cpu",
    executor: str = "serial",
    address: str | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Number and outcome of each task, as they finish: the document of its run, or the reason of the failure.

    Of tasks to `resume`, unfinished scorings continue and complete ones stay; networks without a scoring start if
    others have one. A worker takes as many CPUs as a network has threads, and on a GPU one GPU.

    Raises ConfigError for an unknown method, WorkerError where Ray does not start or could never run a task.
    """
    for task in tasks:
        of_network(task.target.experiment.importance.methods)
    threads = max((task.target.experiment.extract.threads for task in tasks), default=1)
    name = "serial" if executor == executors.AUTO and not address else executor
    workers, _ = executors.choose(name, address=address, task_cpus=threads)
    if isinstance(workers, executors.Ray):
        workers = replace(workers, task_gpus=float(device != "cpu"))
    begun = [task.resume and _begun(task.target, where) for task in tasks]
    left = [
        replace(task, resume=task.resume and (known or not any(begun)))
        for task, known in zip(tasks, begun, strict=True)
    ]
    within = "serial" if isinstance(workers, executors.Ray) else executor
    shared = (where.absolute(), device, within)
    yield from outcomes(workers, _score, shared, left, "lower extract.threads")


def _score(shared: tuple[Locations, str, str], task: Task) -> RunRecord:
    """The document of one scoring, here or in a worker."""
    where, device, executor = shared
    try:
        return score.run(task.target, where, device, executor, aligned=task.aligned, resume=task.resume)
    except RunNotFoundError:
        complete = _complete(task.target, where) if task.resume else None
        if complete is None:
            raise
        return complete


def _begun(target: Target, where: Locations) -> bool:
    """Whether a run has scored this network by this experiment, or has begun to."""
    parent = None if target.run is None else target.run.id
    return bool(runs.begun(where.runs, score.logged_experiment(target), kind=score.KIND, parent=parent))


def _complete(target: Target, where: Locations) -> RunRecord | None:
    """The newest scoring of this network by this experiment, if it is complete."""
    same = {
        "kind": score.KIND,
        "digest": score.logged_experiment(target).digest,
        "parent": None if target.run is None else target.run.id,
    }
    with runs.open(where.store, local=where.runs) as log:
        newest = log.find(same, limit=1)
    return newest[0] if newest and newest[0]["status"] == "COMPLETED" else None
