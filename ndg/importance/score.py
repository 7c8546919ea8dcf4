"""Importance of units by a named method; registry of methods."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from typing import Any, SupportsIndex

import torch
from torch import nn

from ndg.activations.batches import fixed
from ndg.errors import ConfigError, LayerError, check_kind, nearest
from ndg.extraction import latent_layer
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.logits import check_read
from ndg.importance.method import Method
from ndg.importance.methods import (
    ablation,
    activation,
    conductance,
    fast_ablation,
    fitness,
    gndi,
    gradient,
    gradient_x_activation,
    grasp,
    hrank,
    influence,
    integrated,
    magnitude,
    shapley,
    snip,
    synflow,
)
from ndg.importance.methods.lrp import relevance
from ndg.importance.scores import Scores
from ndg.importance.settings import ScoreSettings, Settings
from ndg.options import RunOptions, old_keywords, plain_number
from ndg.probe import probe_loader
from ndg.run_study import placed
from ndg.units.resolve import check_paths, expand_layers, resolve_layer

IMPORTANCE: dict[str, Method] = {
    "gndi": gndi.METHOD,
    "conductance": conductance.METHOD,
    "ablation": ablation.METHOD,
    "fast_ablation": fast_ablation.METHOD,
    "shapley": shapley.METHOD,
    "integrated": integrated.METHOD,
    "influence": influence.METHOD,
    "lrp": relevance.METHOD,
    "activation": activation.METHOD,
    "gradient": gradient.METHOD,
    "gradient_x_activation": gradient_x_activation.METHOD,
    "snip": snip.METHOD,
    "grasp": grasp.METHOD,
    "synflow": synflow.METHOD,
    "hrank": hrank.METHOD,
    "magnitude": magnitude.METHOD,
    "fitness": fitness.METHOD,
}


@old_keywords(settings=ScoreSettings, options=RunOptions, renamed={"internal_batch_size": "batch"})
def score(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    method: str = "gndi",
    target: SupportsIndex | None = None,
    *,
    settings: ScoreSettings = ScoreSettings(),
    options: RunOptions = RunOptions(),
    **own: Any,
) -> Scores:
    """One score per unit of `layers`, a mean over the examples.

    `layers` are module paths or one path; without them the network's `latent_layer` is scored. Units are those of
    `[example, unit]`, the channels of `[example, channel, position...]`, the units of all tokens of `[example, token,
    unit]` without padding.

    `method` is a key of `IMPORTANCE`; its page in docs/importance says what it measures, what it costs and when it
    misleads. `target` is a class, where the method looks at one. `own` are the method's own options. Sums run in
    float64 over compute batches of `options.batch` rows, so the loader's batch size does not change the result. The
    network is left as it was: mode, hooks, gradients.

    Raises ConfigError for an unknown method, option, baseline or target; LayerError for a layer that does not exist, is
    not used exactly once, has no units, gives NaN, or from which no path leads to the logits; ShapeError for a baseline
    that does not fit; DataError without examples. Warns of a layer that scores 0 since it does not change the logits.

    >>> scores = ndg.score(net, data, layers=["1"], method="ablation")
    >>> scores["1"].shape
    (8,)
    """
    entry = known(method)
    baselines, n_steps = settings.baselines, settings.n_steps
    if isinstance(baselines, str) and baselines not in entry.baselines:
        raise ConfigError(
            f"a baseline of {method} is a known neutral state, a number or a tensor; got {baselines!r}; "
            f"{nearest(baselines, entry.baselines)}"
        )
    for option in own:
        check_option(method, entry, option)
    own = {**entry.options, **{option: plain_number(value) for option, value in own.items()}}
    request = Settings(baselines, n_steps, settings.each_position, target=target, options=options, own=own)
    if target is not None and not entry.target:
        raise ConfigError(f"{method} does not use a target class; got target={target}; leave it out")
    if entry.baselines == ("zero",) and not (isinstance(baselines, str) and baselines == "zero"):
        shown = baselines if isinstance(baselines, (str, float, int)) else "tensors"
        raise ConfigError(f"{method} does not use baselines; got baselines={shown!r}; leave it out")
    if n_steps is not None and not entry.steps:
        raise ConfigError(f"n_steps counts gradients along a path; {method} follows none; got {n_steps}; leave it out")
    model = placed(model, replace(options, executor="serial"))
    alone = isinstance(layers, (str, nn.Module)) or not isinstance(layers, Iterable)
    names: Any = [latent_layer(model)] if layers is None else [layers] if alone else layers
    entries = tuple(names)
    check_paths(model, entries)
    if not entries or len(set(entries)) < len(entries):
        raise LayerError(f"at least one layer is scored, and each once; got {list(entries)}")
    paths = tuple(expand_layers(model, entries))
    for path in paths:
        resolve_layer(model, path)
    loader = probe_loader(model, loader, paths, options.threads, options.batch)
    with torch.inference_mode(False):
        if any(value.is_inference() for value in chain(model.parameters(), model.buffers())):
            model = deepcopy(model)  # weights that were made in inference mode take no part in gradients
    with torch.inference_mode(False), fixed(model, options.threads, grad=True):
        scores = entry.run(model, loader, paths, request)
        if "unread" in entry.laws:
            check_read(model, loader, [path for path in paths if not scores.values[path].any()], options.batch)
        return scores


def known(method: str) -> Method:
    """The method of that name; ConfigError names the nearest."""
    check_kind(method, str, "method must be the name of one method of importance", nearest(method, IMPORTANCE))
    name = method.partition(":")[0]
    if name in OF_GRAPH:
        raise ConfigError(
            f"ndg.score scores networks; {name} scores a mined graph and has no options; call "
            f"ndg.importance.{name}(graph), or `ndg score RUN --method {name}` where RUN has an alignment"
        )
    if method not in IMPORTANCE:
        raise ConfigError(f"method must be a known method of importance; got {method!r}; {nearest(method, IMPORTANCE)}")
    return IMPORTANCE[method]


def check_option(name: str, method: Method, option: str) -> None:
    """Raise ConfigError for an option that a method does not have."""
    if option not in method.options:
        known = nearest(option, method.options) if method.options else "it has none"
        raise ConfigError(f"an option of {name} is one of its own; got {option!r}; {known}")
