"""`align.py rotation`: a layer in other bases than its units."""

from __future__ import annotations

from dataclasses import replace

from ndg.report.tables import Table
from ndg.rotation.basis import localist, random_rotation
from ndg.rotation.principal import pca
from ndg.workflows.bases import BasisSettings, compare
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.controls import mining_of, serial
from ndg.workflows.studies.study_record import Findings, per_network

NOTE = (
    "localist: the layer's own units; pca: its principal components on the training examples; random: a random "
    "rotation, the control. In every basis a coordinate is on above its median on the training examples, and a boolean "
    "is set to the mean of the coordinate given that boolean. Rows are comparable with each other, not with the trial "
    "of the run."
)


@per_network("rotation", "Bases of {}")
def run(prepared: Prepared, run: object) -> Findings:
    """Compare three bases of a layer on held-out examples."""
    experiment, subject, layer = prepared.experiment, prepared.subject, prepared.trial_layer
    train, held_out = (subject.loaders[split] for split in ("train", subject.held_out))
    components = pca(subject.network, train, layer)
    units = len(components.mean)
    result = compare(
        subject.network,
        train,
        held_out,
        [localist(layer, units), components, random_rotation(layer, units, experiment.seed)],
        settings=BasisSettings(mining_of(prepared)["criterion"], split=subject.held_out),
        options=replace(serial(prepared), seed=experiment.trial.seed),
    )
    table = Table.of_rows(f"{experiment.name}: {layer} in three bases", result.rows(), note=NOTE)
    return Findings(result.to_dict(), [table], {"rotation.csv": result.rows()}, [result.words()])
