"""Fitness of the units of groups, by any registered score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64
from torch import nn

from ndg import seeds
from ndg.compression.groups import Group
from ndg.errors import ConfigError, LayerError
from ndg.importance.evaluation.spec import fitting, parse, scored
from ndg.importance.fitness.monitor import watched
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.score import IMPORTANCE
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings
from ndg.importance.weights.incoming import leading

RANDOM = "random"
"""The control: units in random order."""

Fitness = Float64[np.ndarray, " _"]


def check_method(method: str) -> None:
    """Raise ConfigError for what is neither a registered score nor `random`."""
    if method == RANDOM:
        return
    if method.partition(":")[0] in OF_GRAPH:
        raise ConfigError(f"units are removed by a score of the network; {method} scores a mined graph; choose another")
    _, own = parse(method)
    if own.get("measure") == "change":
        raise ConfigError(
            "units are removed by a score of one network; fitness:measure=change compares two; choose another measure"
        )


def unit_fitness(
    model: nn.Module,
    loader: Iterable[Any],
    groups: Mapping[str, Group],
    method: str,
    settings: Settings = Settings(),
    draw: int = 0,
) -> dict[str, Fitness]:
    """Fitness of the units of each group.

    The lowest are removed first.

    It is the score itself where a negative score means harm (`Method.harm`), else its absolute value. Scores of
    activations are taken after the activation function that follows a layer, scores of weights at the layer. `draw`
    numbers the draws of `random`.
    """
    check_method(method)
    if method == RANDOM:
        return {
            name: seeds.generator(settings.options.seed, f"random units of {name}", draw).random(group.units)
            for name, group in groups.items()
        }
    entry = IMPORTANCE[parse(method)[0]]
    layers = {name: group.makers[0].path for name, group in groups.items()}
    if not entry.weights:
        layers |= after(model, loader, groups, settings.options.batch)
    scores = scored(model, loader, list(dict.fromkeys(layers.values())), method, fitting(method, settings))
    keys = score_keys(scores)
    return {name: keys[layers[name]][group.makers[0].index[:, 0]] for name, group in groups.items()}


def score_keys(scores: Scores) -> dict[str, Fitness]:
    """Keys by which units are removed, the lowest first, by layer."""
    harm = IMPORTANCE[parse(scores.method)[0]].harm
    return {layer: (values if harm else np.abs(values)).astype(np.float64) for layer, values in scores.values.items()}


def after(model: nn.Module, loader: Iterable[Any], groups: Mapping[str, Group], batch: int) -> dict[str, str]:
    """The activation function that follows the units of each group, where there is one."""
    try:
        activations = watched(model, loader, batch)
    except LayerError:
        return {}
    led = leading(model, loader, activations, batch)
    follows: dict[str, str] = {}
    for layer in activations:
        owners = {path.rpartition(".")[0] for path in led[layer]}
        for name, group in groups.items():
            if owners & {part.path for part in group.makers}:
                follows.setdefault(name, layer)
    return follows
