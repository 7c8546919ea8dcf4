"""`align.py rotation`: a layer in another basis, mined and tried beside its own units."""

from __future__ import annotations

from collections.abc import Sequence

from ndg.report import row_table
from ndg.rotation.bases import compare
from ndg.rotation.basis import localist, random_rotation
from ndg.rotation.principal import pca
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.controls import mining_of
from ndg.workflows.studies.study_record import Findings, logged

NOTE = (
    "localist: the layer's own units; pca: its principal components on the training examples; random: a random "
    "rotation, the control. In every basis a coordinate is on above its median on the training examples, and a "
    "boolean is written as the mean given it there, so that rows can be compared with each other and not with the "
    "trial of the run."
)


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """Each network's layer in three bases, on its held-out examples."""
    return [_one(one) for one in prepared]


def _one(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, subject = prepared.target.experiment, prepared.subject

    def work(one: object) -> Findings:
        layer = prepared.trial_layer
        network, train = subject.network, subject.loaders["train"]
        components = pca(network, train, layer)
        units = len(components.mean)
        found = compare(
            network,
            train,
            subject.loaders[subject.held_out],
            [localist(layer, units), components, random_rotation(layer, units, experiment.seed)],
            split=subject.held_out,
            seed=experiment.trial.seed,
            batch=prepared.passes["batch"],
            threads=prepared.passes["threads"],
            **{key: value for key, value in mining_of(prepared).items() if key in ("criterion", "alpha")},
        )
        table = row_table.table(f"{experiment.name}: {layer} in three bases", found.rows(), note=NOTE)
        return Findings(found.to_dict(), [table], {"rotation.csv": found.rows()}, [found.words()])

    return logged("rotation", prepared, work, f"Bases of {experiment.name}")
