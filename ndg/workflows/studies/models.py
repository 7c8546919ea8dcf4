"""`align.py models`: the graph over two networks (Hu & Tian 2022, five conditions), and cross accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ndg.comparison.crossing import cross_accuracy
from ndg.comparison.models import PairSettings, inter_models
from ndg.comparison.sources import read
from ndg.errors import ConfigError
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.controls import mining_of, serial, vocabulary
from ndg.workflows.studies.study_record import Findings, edges_table, logged, untried

CROSS_NOTE = (
    "The edges of the graph of one network on the booleans of another, on held-out inputs, by unit numbers and with "
    "units matched one to one where they agree most on training inputs."
)


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """Log the edges within and between one network, two trainings, or two trainings and a network of another task.

    Networks of the same training settings are trainings of one network; one with other settings is of another task.
    """
    first, *others = map(untried, prepared)
    alike = [network for network in others if _training(network) == _training(first)]
    tasks = [network for network in others if network not in alike]
    if len(alike) > 1 or len(tasks) > 1:
        raise ConfigError(
            "the study models takes a network, a second training of it, and one of another task; got "
            f"{len(alike)} more trainings and {len(tasks)} of other tasks; name fewer"
        )
    experiment, subject = first.target.experiment, first.subject

    def work(run: object) -> Findings:
        result = inter_models(
            subject.network,
            subject.loaders["train"],
            subject.loaders[subject.held_out],
            other=alike[0].subject.network if alike else None,
            task=tasks[0].subject.network if tasks else None,
            settings=PairSettings(first.layers, vocabulary(first), mining=mining_of(first)),
            reading=replace(first.reading, labels=True, max_examples=None),
            options=serial(first),
        )
        title = f"{experiment.name}: edges within networks and between them"
        tables = [edges_table(title, result.rows())]
        results, files = result.to_dict(), {"models.csv": result.rows()}
        if alike:
            cross = _crossed(first, alike[0])
            tables.append(edges_table("Cross accuracy", cross, CROSS_NOTE))
            results |= {"cross": cross}
            files |= {"cross.csv": cross}
        return Findings(results, tables, files, [result.words()])

    return [
        logged("models", first, work, f"Networks beside {experiment.name}", [network.target.id for network in others])
    ]


def _training(prepared: Prepared) -> str:
    return prepared.target.experiment.training_digest


def _crossed(first: Prepared, second: Prepared) -> list[dict[str, Any]]:
    """Each graph on the held-out booleans of both networks, with units by number and matched on training inputs."""
    loaders, held_out, seed = first.subject.loaders, first.subject.held_out, first.target.experiment.seed
    how: dict[str, Any] = {
        "settings": replace(first.reading, labels=True, max_examples=None),
        "options": serial(first),
    }
    two = (loaders["train"], loaders[held_out], first.layers)
    a, b = (read(network.subject.network, *two, **how) for network in (first, second))
    return cross_accuracy(a, b, names=("first", "second"), seed=seed, **mining_of(first)).rows()
