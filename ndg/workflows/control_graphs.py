"""Graphs that know nothing of a network: what they name is set in it too, as controls of a trial."""

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
    """The asked ones of: the graph of the network re-initialised, of random inputs, and with the labels of other
    examples; each mined by the criterion of the network's own, from as many examples."""
    experiment, subject = prepared.target.experiment, prepared.subject
    train, seed = prepared.bits["train"], experiment.seed
    reading = prepared.reading | {"executor": prepared.executor, "ray_address": prepared.address}
    most: dict[str, Any] = {"seed": seed, "max_examples": experiment.mining.max_examples}
    found: dict[str, NDG] = {}
    for name in dict.fromkeys(experiment.trial.graphs):
        if name == "reinitialised":
            fresh = reinitialised(subject.network, seed).model
            bits = extraction.extract(fresh, subject.loaders["train"], **reading, **most)
        elif name == "random_inputs":
            noise = random_inputs(subject.loaders["train"], seeds.integer(seed, "mined"), vocabulary(prepared))
            how = {key: reading[key] for key in ("batch", "threads", "executor", "ray_address")}
            bits = extraction.extract(subject.network, noise, like=train, **how, **most)
        else:
            bits = shuffled_labels(train, seeds.integer(seed, "mined"))
        found[name] = prepared.mine(bits)
    return found
