"""Dense network with sigmoid latents, and dense layers, noise and heads for other networks."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ndg.config import MLP, Bert, ViT
from ndg.data.inputs import Form


class DenseNet(nn.Module):
    """Encoder, latents (sigmoid), decoder, on flattened inputs."""

    latent_layer = "latent"

    def __init__(self, config: MLP, form: Form, classes: int) -> None:
        super().__init__()
        self.title = f"dense network of widths {joined(config.widths)} with {config.latent} sigmoid latents"
        inputs = math.prod(form.shape)
        encoder = [("flatten", nn.Flatten()), *dense([inputs, *config.widths], config.dropout)]
        encoder += latent_input([inputs, *config.widths][-1], config.latent, config.latent_noise)
        self.encoder = nn.Sequential(OrderedDict(encoder))
        self.latent = nn.Sigmoid()
        widths = [config.latent, *reversed(config.widths)]
        self.decoder = nn.Sequential(OrderedDict([*dense(widths), ("out", nn.Linear(widths[-1], classes))]))
        self.second_layer = f"decoder.relu{len(widths) - 1}"

    def forward(self, inputs: Float[Tensor, "example ..."]) -> Float[Tensor, "example label"]:
        return self.decoder(self.latent(self.encoder(inputs)))


def joined(widths: Sequence[int]) -> str:
    """Widths as reports write them."""
    return "-".join(map(str, widths)) or "none"


class Noise(nn.Module):
    """Gaussian noise of standard deviation `std`, in training only (Salakhutdinov & Hinton 2009)."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, inputs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return inputs + self.std * torch.randn_like(inputs) if self.training else inputs

    def extra_repr(self) -> str:
        return f"std={self.std}"


def noise(std: float) -> list[tuple[str, nn.Module]]:
    """Module `noise`, if any."""
    return [("noise", Noise(std))] if std else []


def latent_input(width: int, latent: int, std: float) -> list[tuple[str, nn.Module]]:
    """Dense layer before the latents, named `pre`, and its noise if any."""
    return [("pre", nn.Linear(width, latent)), *noise(std)]


def dense(widths: Sequence[int], dropout: float = 0.0) -> list[tuple[str, nn.Module]]:
    """Named modules `fc1 relu1 fc2 relu2 ...` through these widths."""
    modules: list[tuple[str, nn.Module]] = []
    for number, (narrow, wide) in enumerate(pairwise(widths), start=1):
        modules += [(f"fc{number}", nn.Linear(narrow, wide)), (f"relu{number}", nn.ReLU())]
        if dropout:
            modules.append((f"dropout{number}", nn.Dropout(dropout)))
    return modules


ACTIVATIONS: dict[str, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


def head(settings: ViT | Bert, width: int, classes: int, dropout: float = 0.0) -> tuple[nn.Sequential, str]:
    """Modules from `[example, width]` to logits, and the name of the latents.

    `sigmoid` and `relu`: dropout, `pre` (dense), noise, `latent`, `decoder` (linear). `linear`: noise, the state itself
    as `pooled`, dropout, `decoder`.
    """
    drop: list[tuple[str, nn.Module]] = [("dropout", nn.Dropout(dropout))] if dropout else []
    if settings.head == "linear":
        latents, units = "pooled", width
        modules = [*noise(settings.latent_noise), ("pooled", nn.Identity()), *drop]
    else:
        latents, units = "latent", settings.latent
        before = latent_input(width, units, settings.latent_noise)
        modules = [*drop, *before, ("latent", ACTIVATIONS[settings.head]())]
    return nn.Sequential(OrderedDict([*modules, ("decoder", nn.Linear(units, classes))])), latents


def last_dense(model: nn.Module, prefix: str) -> str:
    """Path of a transformer's last dense layer."""
    return f"{prefix}.{[name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]}"


def ending(settings: ViT | Bert) -> str:
    """Description of the head, for reports."""
    return "linear head" if settings.head == "linear" else f"head of {settings.latent} {settings.head} latents"


def origin(folder: str | None) -> str:
    """Origin of the weights, for reports: a pretrained folder, or none."""
    return "from scratch" if folder is None else f"from {Path(folder).name}"
