"""Optimisers and learning rates of the parts of a network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ndg.config import Train

FACTOR = "factor"
"""Key of the learning rate factor of a parameter group."""


def schedule(settings: Train, step: int, steps: int) -> float:
    """Learning rate at a step (from 0) as a fraction of `learning_rate`.

    A linear warm-up over a fraction of the steps leads to 1. Then the rate is constant, falls linearly to 0, or follows
    a half cosine. `triangular` (Smith 2017) rises over the first half of the steps and falls over the second.
    """
    warm = round((0.5 if settings.schedule == "triangular" else settings.warmup) * steps)
    if step < warm:
        return (step + 1) / warm
    if settings.schedule == "constant":
        return 1.0
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
    return (steps - step) / (steps - warm)


def optimizer_of(network: nn.Module, settings: Train) -> torch.optim.Optimizer:
    """Optimiser of a network, with a learning rate factor per group.

    Factor 0 means no gradients.
    """
    groups = _groups(network, settings)
    for group in groups:
        if not group[FACTOR]:
            for parameter in group["params"]:
                parameter.requires_grad_(False)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of each group to `rate` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[FACTOR]


def _groups(network: nn.Module, settings: Train) -> list[dict[str, Any]]:
    """Groups of new and of pretrained parameters with their factors, none empty."""
    prefixes = tuple(f"{part}." for part in getattr(network, "pretrained_parts", ()))
    parts: dict[str, dict[str, Any]] = {
        "new": {"params": [], FACTOR: settings.new_rate},
        "pretrained": {"params": [], FACTOR: settings.pretrained_rate},
    }
    for name, parameter in network.named_parameters():
        kind = "pretrained" if f"{name}.".startswith(prefixes) else "new"
        parts[kind]["params"].append(parameter)
    return [group for group in parts.values() if group["params"]]
