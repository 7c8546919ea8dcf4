"""`align.py rotation`: a layer in another basis, mined and tried beside its own units."""

from __future__ import annotations

from collections.abc import Sequence

from ndg.pipeline.prepared import Prepared
from ndg.pipeline.studies.controls import mining_of
from ndg.pipeline.studies.findings import Findings, logged
from ndg.report import rows
from ndg.rotation.bases import compare
from ndg.rotation.principal import pca
from ndg.rotation.value import localist, random_rotation
from ndg.runs.record import RunRecord

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
        table = rows.table(f"{experiment.name}: {layer} in three bases", found.rows(), note=NOTE)
        return Findings(found.to_dict(), [table], {"rotation.csv": found.rows()}, [found.words()])

    return logged("rotation", prepared, work, f"Bases of {experiment.name}")
