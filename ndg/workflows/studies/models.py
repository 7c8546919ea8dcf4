"""`align.py models`: the graph over two networks, and cross accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ndg.comparison.models import PairSettings, inter_models
from ndg.comparison.sources import read
from ndg.comparison.tables import cross_accuracy
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
    """Log the edges within and between up to three networks."""
    first, *others = map(untried, prepared)
    training = first.experiment.training_digest
    alike = [network for network in others if network.experiment.training_digest == training]
    tasks = [network for network in others if network not in alike]
    if len(alike) > 1 or len(tasks) > 1:
        raise ConfigError(
            "the study models takes a network, a second training of it, and one of another task; got "
            f"{len(alike)} more trainings and {len(tasks)} of other tasks; name fewer"
        )
    name, subject = first.experiment.name, first.subject

    reading = replace(first.reading, labels=True, max_examples=None)

    def work(run: object) -> Findings:
        result = inter_models(
            subject.network,
            subject.loaders["train"],
            subject.loaders[subject.held_out],
            other=alike[0].subject.network if alike else None,
            task=tasks[0].subject.network if tasks else None,
            settings=PairSettings(first.layers, vocabulary(first), mining=mining_of(first)),
            reading=reading,
            options=serial(first),
        )
        tables = [edges_table(f"{name}: edges within networks and between them", result.rows())]
        results, files = result.to_dict(), {"models.csv": result.rows()}
        if alike:
            loaders = (subject.loaders["train"], subject.loaders[subject.held_out])
            bits = [
                read(network.subject.network, *loaders, first.layers, settings=reading, options=serial(first))
                for network in (first, alike[0])
            ]
            seed, names = first.experiment.seed, ("first", "second")
            cross = cross_accuracy(*bits, names=names, seed=seed, **mining_of(first)).rows()
            tables.append(edges_table("Cross accuracy", cross, CROSS_NOTE))
            results |= {"cross": cross}
            files |= {"cross.csv": cross}
        return Findings(results, tables, files, [result.words()])

    return [logged("models", first, work, f"Networks beside {name}", [network.target.id for network in others])]
