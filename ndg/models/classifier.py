"""Classifier from the state of an input to latents and logits."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from torch import nn

from ndg.config import Bert, TransFG, ViT
from ndg.models.mlp import latent_input, noise

ACTIVATIONS: dict[str, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}


def head(settings: ViT | TransFG | Bert, width: int, classes: int, dropout: float = 0.0) -> tuple[nn.Sequential, str]:
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


def ending(settings: ViT | TransFG | Bert) -> str:
    """Description of the head, for reports."""
    return "linear head" if settings.head == "linear" else f"head of {settings.latent} {settings.head} latents"


def origin(folder: str | None) -> str:
    """Origin of the weights, for reports: a pretrained folder, or none."""
    return "from scratch" if folder is None else f"from {Path(folder).name}"
