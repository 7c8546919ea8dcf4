"""Fitness of a neuron: the measures of `ndg.importance.fitness`, one at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from torch import nn

from ndg.errors import ConfigError, DataError, LayerError, nearest
from ndg.importance.fitness.measure import COMPOSITE, MEASURES, SLOPES, SPREAD, TERMS, UNITS, KnownWeights
from ndg.importance.fitness.measure import fitness as measured
from ndg.importance.method import Method
from ndg.importance.scores import Scores
from ndg.importance.settings import Layers, Loader, Settings
from ndg.importance.weights.incoming import Weights, leading, rows_before
from ndg.models import checkpoint

MISSING = {
    "weights": "no incoming weights with one row per unit were found",
    "outgoing": "its units cannot be traced to the weights that read them",
}


def fitness(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Scores:
    """Scores by one measure, in its own unit.

    Lower means less fit.

    Options: `measure` is one of `MEASURES`. `before` is the checkpoint of an earlier epoch, for `change`. The other
    options are the weights of the terms of `composite`. Raises LayerError for a layer without this measure, DataError
    for `correlation` if all predictions are correct or all wrong.
    """
    measure, before = settings.own["measure"], settings.own["before"]
    if measure not in MEASURES:
        raise ConfigError(f"a measure of fitness is a known one; got {measure!r}; {nearest(f'{measure}', MEASURES)}")
    weights = {name: settings.own[name] for name in TERMS}
    if not all(isinstance(weight, int | float) and weight >= 0 for weight in weights.values()) or not any(
        weights.values()
    ):
        raise ConfigError(f"a composite has weights of 0 or more, not all 0; got {weights}")
    if settings.each_position:
        raise ConfigError("fitness is of units with all their positions; got each_position=True; leave it out")
    if (measure == "change") != bool(before):
        raise ConfigError(
            "change compares with the checkpoint of an earlier epoch, and no other measure does; got "
            f"measure={measure}, before={before!r}; write fitness:measure=change,before=FILE"
        )
    known = None
    if before:
        known = KnownWeights(leading(model, loader, layers, settings.options.batch), ())
        known = replace(known, before=_rows(f"{before}", model, known))
    composite = {name: weight for name, weight in weights.items() if weight}
    result = measured(
        *(model, loader, layers),
        known=known,
        composite=composite,
        measures=[measure],
        options=settings.options,
    )
    for layer, values in result.values.items():
        if measure not in values:
            if measure == "correlation":
                raise DataError(
                    f"correlation compares correct with wrong predictions; got {result.right} correct ones of "
                    f"{result.examples} examples; take other examples, or another measure"
                )
            why = MISSING.get(measure, MISSING["weights"])
            raise LayerError(f"fitness by {measure} needs a layer that has it; {layer!r} has not: {why}; leave it out")
    batches, needed = -(-result.examples // settings.options.batch), {measure, *composite}
    needed = needed if measure == "composite" else {measure}
    facts = {
        "measure": measure,
        "forward_passes": batches * (1 + bool(needed & SPREAD)),
        "backward_passes": batches * bool(needed & SLOPES),
    }
    values = result.scores(measure).values
    unit = UNITS.get(measure, measure)
    return METHOD.scores(settings, values, result.examples, whole=np.mean, measure=unit, facts=facts)


METHOD = Method(
    fitness,
    title="fitness of a neuron",
    source="Molchanov et al. 2017 (taylor, the default); Han et al. 2015 (weights)",
    measure="nats",
    options={"measure": "taylor", "before": "", **{name: COMPOSITE.get(name, 0) for name in TERMS}},
    baselines=("zero",),
    labels=True,
    harm=True,
    laws=frozenset({"additive", "baseline", "unread"}),
)


def _rows(path: str, model: nn.Module, known: KnownWeights) -> Weights:
    """Weights before each layer in a checkpoint, one row per unit."""
    tensors, _ = checkpoint.read(Path(path))
    shapes = {name: value.shape for name, value in model.named_parameters()}
    for name in chain.from_iterable(known.led.values()):
        if name not in tensors or tensors[name].shape != shapes[name]:
            raise ConfigError(
                f"change compares weights of the same network; {path} has no {name} of shape {tuple(shapes[name])}; "
                "give a checkpoint of an earlier epoch of this training"
            )
    return rows_before(tensors, known.led)
