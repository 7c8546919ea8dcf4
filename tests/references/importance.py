"""Importance by its definitions, one example, one unit and one input at a time. Exists only to be obviously right.

A network is given as its two halves: `encoder` from an input to the layer's activations, `head` from there to logits.
"""

import numpy as np
import torch
from torch import nn
from torch.autograd.functional import jacobian


def gndi(
    encoder: nn.Module, head: nn.Module, inputs: torch.Tensor, baseline: torch.Tensor | None = None
) -> tuple[np.ndarray, float]:
    """G-NDI of every unit and of the layer: mean norm of the explicit Jacobian times the restricted change."""
    hidden = encoder(inputs).detach()
    baseline = torch.zeros_like(hidden[0]) if baseline is None else baseline
    units, whole = np.zeros(hidden.shape[1]), 0.0
    for h in hidden:
        rows = jacobian(lambda value: head(value[None])[0], h).double()
        change = (h - baseline).double()
        for unit in range(len(units)):
            restricted = torch.zeros_like(change)
            restricted[unit] = change[unit]
            units[unit] += float(torch.linalg.vector_norm(_product(rows, restricted)))
        whole += float(torch.linalg.vector_norm(_product(rows, change)))
    return units / len(inputs), whole / len(inputs)


def conductance(
    encoder: nn.Module, head: nn.Module, inputs: torch.Tensor, targets: list[int], steps: int
) -> np.ndarray:
    """Total conductance of every unit, flat inputs, zero baseline: the sum over inputs i of

    (x_i - x'_i) times the integral of dF/dy * dy/dx_i, by `steps` midpoints. Dhamdhere et al. 2018, Definition 1.
    """
    total = np.zeros(encoder(inputs[:1]).shape[1])
    for x, target in zip(inputs, targets, strict=True):
        for step in range(steps):
            point = (step + 0.5) / steps * x
            hidden = encoder(point[None])[0].detach()
            slope = jacobian(lambda value, c=target: head(value[None])[0, c], hidden)
            spread = jacobian(lambda value: encoder(value[None])[0], point)
            for unit in range(len(total)):
                for i in range(len(x)):
                    total[unit] += float(x[i] * slope[unit] * spread[unit, i]) / steps
    return total / len(inputs)


def ablation(encoder: nn.Module, head: nn.Module, inputs: torch.Tensor, unit: int) -> torch.Tensor:
    """Logits lost when a unit is set to zero."""
    hidden = encoder(inputs).detach()
    without = hidden.clone()
    without[:, unit] = 0
    return (head(hidden) - head(without)).detach()


def _product(rows: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    return rows.flatten(1) @ change.flatten()
