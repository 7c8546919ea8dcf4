"""Unstructured pruning: single weights of dense layers and convolutions stay at zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor, nn

from ndg import seeds
from ndg.compression.blocks import WEIGHTS
from ndg.compression.choice import part_of
from ndg.compression.unit_fitness import RANDOM, check_method, score_keys
from ndg.errors import ConfigError, LayerError
from ndg.importance.evaluation.spec import fitting, parse, scored
from ndg.importance.methods import snip
from ndg.importance.settings import Settings

Values = dict[str, Float64[Tensor, "unit *weight"]]
Masks = dict[str, Bool[Tensor, "unit *weight"]]
"""Weights that stay, by name of the parameter."""


def weighted_modules(model: nn.Module, layers: Sequence[str] = ()) -> list[str]:
    """Dense layers and convolutions, or the named ones.

    Raises LayerError for a layer of another kind.
    """
    paths = [path for path, module in model.named_modules() if isinstance(module, WEIGHTS)]
    for layer in layers:
        if layer not in paths:
            raise LayerError(
                f"single weights are pruned in dense layers and convolutions; {layer!r} is none; choose among "
                f"{', '.join(paths) or 'none'}"
            )
    return list(layers) or paths


def check_cut(model: nn.Module, layers: Sequence[str], share: float, scope: str) -> None:
    """Raise ConfigError for a network without weights to prune, or for a share that takes none."""
    modules: list[Any] = [model.get_submodule(layer) for layer in layers]
    counts = [module.weight.numel() for module in modules]
    if not counts:
        raise ConfigError("single weights are pruned in dense layers and convolutions; this network has none")
    largest = sum(counts) if scope == "all" else max(counts)
    if not part_of(share, largest):
        raise ConfigError(
            f"a pruning takes at least one weight; share={share:g} is less than one of {largest:,}; take at least "
            f"{1 / largest:.3g}"
        )


def weight_fitness(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Sequence[str],
    method: str,
    settings: Settings = Settings(),
    draw: int = 0,
) -> Values:
    """Fitness of each weight, 0 or more.

    The lowest are removed first.

    `magnitude` is |w|, `snip` |w dL/dw|. For any other score of units it is |w| times the fitness of the unit that the
    weight leads into, which for `activation` is the importance of a weight in the efficiency report; signed fitness is
    shifted to the lowest of its layer.
    """
    check_method(method)
    weights = {f"{path}.weight": model.get_parameter(f"{path}.weight").detach().double() for path in layers}
    if method == RANDOM:
        return {
            name: torch.from_numpy(
                seeds.generator(settings.options.seed, f"random weights of {name}", draw).random(tuple(weight.shape))
            ).to(weight.device)
            for name, weight in weights.items()
        }
    name, own = parse(method)
    if name == "magnitude" and not own:
        return {path: weight.abs() for path, weight in weights.items()}
    if name == "snip":
        return {path: value.abs() for path, value in snip.effects(model, loader, tuple(layers), settings).items()}
    keys = score_keys(scored(model, loader, layers, method, fitting(method, settings)))
    fitness: Values = {}
    for path, weight in weights.items():
        units = torch.from_numpy(keys[path.removesuffix(".weight")]).to(weight.device)
        units = units - units.min() if bool((units < 0).any()) else units
        fitness[path] = weight.abs() * units.reshape(-1, *[1] * (weight.ndim - 1))
    return fitness


def lowest_weights(fitness: Values, share: float, masks: Masks, *, scope: str = "all") -> Masks:
    """Masks after a share of all weights is gone.

    Weights that are gone stay so.

    With scope "all" the weights of all layers are ranked together, with "each" every layer loses the share. Ties go to
    the earlier weight.
    """
    ranked = {
        name: torch.where(masks[name], values, -1.0).flatten() if name in masks else values.flatten()
        for name, values in fitness.items()
    }
    if scope == "each":
        return {
            name: _without(values, part_of(share, len(values))).reshape(fitness[name].shape)
            for name, values in ranked.items()
        }
    joined = torch.cat(list(ranked.values()))
    parts = _without(joined, part_of(share, len(joined))).split([len(values) for values in ranked.values()])
    return {name: part.reshape(fitness[name].shape) for name, part in zip(ranked, parts, strict=True)}


def apply(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the weights that are gone to zero."""
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).mul_(mask)


@contextmanager
def held(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """Context in which weights that are gone stay at zero after each step of an optimiser."""
    handle = optimizer.register_step_post_hook(lambda *_: apply(model, masks))
    try:
        yield
    finally:
        handle.remove()


def _without(values: Float64[Tensor, " weight"], count: int) -> Bool[Tensor, " weight"]:
    stays = torch.ones(len(values), dtype=torch.bool, device=values.device)
    stays[torch.argsort(values, stable=True)[:count]] = False
    return stays
