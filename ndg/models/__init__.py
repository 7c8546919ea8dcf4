"""Networks by name.

A new one is a file, a dataclass in `ndg.config.networks` and a line in `MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ndg import seeds
from ndg.data.inputs import IMAGE, TABLE, TEXT, Form
from ndg.errors import ConfigError, nearest
from ndg.models import text, transfg, vit
from ndg.models.cnn import ConvNet
from ndg.models.mlp import DenseNet
from ndg.models.recurrent import RecurrentNet
from ndg.models.resnet import ResidualNet


@dataclass(frozen=True)
class Network:
    """Builder of a network, with the `kinds` of inputs that it takes."""

    make: Callable[..., nn.Module]
    kinds: tuple[str, ...]


MODELS: dict[str, Network] = {
    "mlp": Network(DenseNet, (IMAGE, TABLE)),
    "cnn": Network(ConvNet, (IMAGE,)),
    "resnet": Network(ResidualNet, (IMAGE,)),
    "vit": Network(vit.build, (IMAGE,)),
    "transfg": Network(transfg.build, (IMAGE,)),
    "bert": Network(text.build, (TEXT,)),
    "roberta": Network(text.build, (TEXT,)),
    "distilbert": Network(text.build, (TEXT,)),
    "lstm": Network(RecurrentNet, (TEXT,)),
    "gru": Network(RecurrentNet, (TEXT,)),
}


def build(
    config: Any, form: Form | Sequence[int], classes: int, seed: int, architecture: dict[str, Any] | None = None
) -> nn.Module:
    """Network in evaluation mode, with fresh weights drawn from `seed` alone.

    Weights of `config.pretrained` are kept. `form` is that of the data, or (channels, height, width) of an image. The
    network's `latent_layer` is the module path of the units of its graph, with output [example, unit]; `second_layer`
    is another layer, for graphs between layers. `forward` takes a tensor (or the named tensors of a text) and returns
    logits, or a tuple that starts with them. `title` describes the network in one line.

    A network from a pretrained folder has `pretrained_parts`, the module paths from there, and `architecture`, which
    replaces the folder if passed here. `extra_loss(output, labels)`, if any, is added to the cross entropy. Raises
    ConfigError for an unknown network, and for one that does not take inputs of this kind.
    """
    if config.name not in MODELS:
        raise ConfigError(f"model.name must be a known model; got {config.name!r}; {nearest(config.name, MODELS)}")
    network, form = MODELS[config.name], Form.of(form)
    if form.kind not in network.kinds:
        fitting = ", ".join(name for name, model in MODELS.items() if form.kind in model.kinds)
        raise ConfigError(
            f"model.name={config.name} takes {' or '.join(network.kinds)} inputs; the data give {form.kind} inputs of "
            f"shape {form.shape}; use one of {fitting}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.integer(seed, "init"))
        options = {} if architecture is None else {"architecture": architecture}
        return network.make(config, form, classes, **options).eval()
