"""Control graphs of a trial, mined from other networks, inputs or labels."""

from __future__ import annotations

from typing import Any

from ndg import extraction, seeds
from ndg.comparison.inputs import random_inputs
from ndg.comparison.networks import reinitialised
from ndg.comparison.resampling import shuffled_labels
from ndg.graph.ndg import NDG
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.controls import vocabulary


def control_graphs(prepared: Prepared) -> dict[str, NDG]:
    """The control graphs of the experiment by name: re-initialised network, random inputs, shuffled labels.

    Each is mined by the experiment's criterion from as many examples as the network's own graph.
    """
    experiment, subject = prepared.target.experiment, prepared.subject
    train, seed = prepared.bits["train"], experiment.seed
    how: dict[str, Any] = {"settings": prepared.reading, "options": prepared.reading_options(seed)}
    graphs: dict[str, NDG] = {}
    for name in dict.fromkeys(experiment.trial.graphs):
        if name == "reinitialised":
            fresh = reinitialised(subject.network, seed).model
            bits = extraction.extract(fresh, subject.loaders["train"], prepared.layers, **how)
        elif name == "random_inputs":
            noise = random_inputs(subject.loaders["train"], seeds.integer(seed, "mined"), vocabulary(prepared))
            bits = extraction.extract(subject.network, noise, like=train, **how)
        else:
            bits = shuffled_labels(train, seeds.integer(seed, "mined"))
        graphs[name] = prepared.mine(bits)
    return graphs
