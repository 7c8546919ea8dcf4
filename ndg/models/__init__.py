"""Networks by name. A new one is a file, a dataclass in `ndg.config` and a line in `MODELS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ndg import seeds
from ndg.errors import ConfigError, nearest
from ndg.models import vit
from ndg.models.cnn import ConvNet
from ndg.models.mlp import DenseNet

MODELS: dict[str, Callable[..., nn.Module]] = {"mlp": DenseNet, "cnn": ConvNet, "vit": vit.build}


def build(config: Any, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """A network with fresh weights, in evaluation mode, drawn from `seed` alone.

    `latent_layer` is the module path of its sigmoid latents, whose output is [example, unit] in (0, 1). `forward` takes
    [example, channel, height, width] and returns logits or an output with `logits`. The global generators stay as they
    were.
    """
    if config.name not in MODELS:
        raise ConfigError(f"model.name must be a known model; got {config.name!r}; {nearest(config.name, MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.integer(seed, "init"))
        return MODELS[config.name](config, shape, classes).eval()
