"""Importance of units by a named method: the one face of all methods, and where a new one is entered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

import torch
from torch import nn

from ndg.activations.compute import COMPUTE_BATCH, fixed
from ndg.activations.trace import find_layer
from ndg.errors import ConfigError, LayerError, nearest
from ndg.extraction import latent_layer
from ndg.importance.conductance import conductance
from ndg.importance.gndi import gndi
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings

Method = Callable[[nn.Module, Iterable[Any], tuple[str, ...], Settings], Scores]

IMPORTANCE: dict[str, Method] = {
    "gndi": gndi,
    "conductance": conductance,
}


def score(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    method: str = "gndi",
    target: SupportsIndex | None = None,
    *,
    baseline: str = "zero",
    steps: int = 50,
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
) -> Scores:
    """One score per unit of each of `layers`, all layers from the same passes, the mean over the loader's examples.

    `layers` are module paths (one path may stand alone) whose output is `[example, unit]`, or
    `[example, channel, height, width]` where a channel is a unit; without them the network's own `latent_layer` is
    taken. `method` is `gndi` (all logits at once, or the one of `target`) or `conductance` (the logit of the predicted
    class, or of `target`; `steps` gradients along the path). `baseline` is `zero` or `mean`: of the activations for
    gndi, of the inputs for conductance. Sums run in float64 over compute batches of `batch` examples, so the loader's
    batch size does not change the result. The network is left as it was: mode, hooks, gradients.

    Raises ConfigError for an unknown method, baseline or target; LayerError for a layer that does not exist, is not
    used exactly once, has no units, or from which no gradient path leads to the logits; DataError without examples.
    """
    measure = known(method)
    settings = Settings(target, baseline, steps, batch, threads)
    paths = (layers,) if isinstance(layers, str) else tuple(layers) if layers is not None else (latent_layer(model),)
    if not paths or len(set(paths)) < len(paths):
        raise LayerError(f"at least one layer is scored, and each once; got {list(paths)}")
    for path in paths:
        find_layer(model, path)
    with torch.inference_mode(False), fixed(model, threads, grad=True):
        return measure(model, loader, paths, settings)


def known(method: str) -> Method:
    """The method of that name; ConfigError names the nearest."""
    if method not in IMPORTANCE:
        raise ConfigError(f"method must be a known method of importance; got {method!r}; {nearest(method, IMPORTANCE)}")
    return IMPORTANCE[method]
