"""Networks by name. A new one is a file, a dataclass in `ndg.config.networks` and a line in `MODELS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ndg import seeds
from ndg.data.inputs import IMAGE, TABLE, Form
from ndg.errors import ConfigError, nearest
from ndg.models import vit
from ndg.models.cnn import ConvNet
from ndg.models.mlp import DenseNet


@dataclass(frozen=True)
class Network:
    """`make` builds a network from its settings, the form of an input and the number of classes; `kinds` of inputs."""

    make: Callable[[Any, Form, int], nn.Module]
    kinds: tuple[str, ...]


MODELS: dict[str, Network] = {
    "mlp": Network(DenseNet, (IMAGE, TABLE)),
    "cnn": Network(ConvNet, (IMAGE,)),
    "vit": Network(vit.build, (IMAGE,)),
}


def build(config: Any, form: Form | Sequence[int], classes: int, seed: int) -> nn.Module:
    """A network with fresh weights, in evaluation mode, drawn from `seed` alone.

    `form` is that of the data, or the lengths (channels, height, width) of an image. `latent_layer` is the module path
    of the units that its graph is about, whose output is [example, unit]; `second_layer` is that of a later layer for
    graphs between layers. `forward` takes a tensor (or, by name, the tensors of a text) and returns logits or an output
    with `logits`. The global generators stay as they were.

    Raises ConfigError for an unknown network, and for one that does not take inputs of this kind.
    """
    if config.name not in MODELS:
        raise ConfigError(f"model.name must be a known model; got {config.name!r}; {nearest(config.name, MODELS)}")
    network, form = MODELS[config.name], Form.of(form)
    if form.kind not in network.kinds:
        fitting = ", ".join(name for name, each in MODELS.items() if form.kind in each.kinds)
        raise ConfigError(
            f"model.name={config.name} takes {' or '.join(network.kinds)} inputs; the data give {form.kind} inputs of "
            f"shape {form.shape}; use one of {fitting}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.integer(seed, "init"))
        return network.make(config, form, classes).eval()
