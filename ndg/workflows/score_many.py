"""Scoring of several networks, here or in Ray workers with the same folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ndg import executors, progress, runs
from ndg.errors import RunNotFoundError
from ndg.executors.outcomes import Outcome, outcomes
from ndg.importance.evaluation.spec import of_network
from ndg.locations import Locations
from ndg.runs.record import RunRecord
from ndg.workflows import score
from ndg.workflows.score import KIND, logged_experiment
from ndg.workflows.targets import Target


@dataclass(frozen=True)
class Task:
    """One network to score, with the alignment that the user named."""

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
    """Number and outcome of each task, as they finish.

    Of tasks to `resume`, unfinished scorings continue and complete ones stay; networks without a scoring start if
    others have one. Raises ConfigError for an unknown method, WorkerError where Ray does not start or could never run a
    task.
    """
    for task in tasks:
        of_network(task.target.experiment.importance.methods)
    threads = max((task.target.experiment.extract.threads for task in tasks), default=1)
    name = "serial" if executor == executors.AUTO and not address else executor
    workers, _ = executors.choose(name, address=address, task_cpus=threads)
    within = executor
    if isinstance(workers, executors.Ray):
        workers, within = replace(workers, task_gpus=float(device != "cpu")), "serial"
    begun = [
        task.resume
        and bool(runs.begun(where.runs, logged_experiment(task.target), kind=KIND, parent=task.target.parent))
        for task in tasks
    ]
    resumes = [task.resume and (known or not any(begun)) for task, known in zip(tasks, begun, strict=True)]
    left = [replace(task, resume=resume) for task, resume in zip(tasks, resumes, strict=True)]
    with progress.whole({task.target.id: 1.0 for task in left}, estimated=False):
        yield from outcomes(workers, _score, (where.absolute(), device, within), left, "lower extract.threads")


def _score(shared: tuple[Locations, str, str], task: Task) -> RunRecord:
    """The document of one scoring, here or in a worker."""
    where, device, executor = shared
    progress.enter(task.target.id)
    try:
        return score.run(task.target, where, device, executor, aligned=task.aligned, resume=task.resume)
    except RunNotFoundError:
        if not task.resume:
            raise
        same = {"kind": KIND, "digest": logged_experiment(task.target).digest, "parent": task.target.parent}
        with runs.open(where.store, local=where.runs) as log:
            newest = log.find(same, limit=1)
        if not newest or newest[0]["status"] != "COMPLETED":
            raise
        return newest[0]
