"""Move written values so that they read back as their booleans.

A mean map has a lower maximum than the maps of the examples; an example has other tokens than those that were fitted.
Such values are shifted by a constant for each unit, or scaled where units are read by their norm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ndg.activations.binarize import as_tensor
from ndg.units.neurons import Chosen, Neurons
from ndg.units.readings import Mask, Output

STEPS = 40
"""How often a shift that rounding undoes is enlarged, twofold each time."""


def calibrated(neurons: Neurons, values: Output, booleans: Chosen, mask: Mask | None = None) -> Output:
    """The values, moved just past the threshold where they read wrong."""
    thresholds = as_tensor(neurons.thresholds, values.device)
    read = neurons.read(values, mask)
    wrong = (read > thresholds) != booleans
    if not wrong.any():
        return values
    precision = torch.finfo(values.dtype)
    sizes = neurons.layout.view(values.abs()).amax(dim=2).double()
    past = torch.maximum(thresholds.abs(), sizes).clamp(min=precision.tiny) * precision.eps
    past = torch.where(booleans, past, -past)
    gap, shift, moved = thresholds - read.double(), torch.zeros_like(past), values
    for step in range(STEPS):
        shift = torch.where(wrong, gap + past * 2**step, shift)
        if neurons.reading == "norm":
            changed = _scaled(neurons, values, read.double(), shift)
        else:
            changed = values + neurons.shaped(shift, values)
        moved = torch.where(neurons.shaped(shift != 0, values), changed.to(values.dtype), values)
        wrong = (neurons.read(moved, mask) > thresholds) != booleans
        if not wrong.any():
            break
    return moved


def _scaled(neurons: Neurons, values: Output, norms: Tensor, shift: Tensor) -> Tensor:
    """Values with norms larger by the shift; equal numbers for zeros."""
    goal = (norms + shift).clamp(min=0)
    factor = torch.where(norms > 0, goal / norms.clamp(min=torch.finfo(norms.dtype).tiny), 1.0)
    return values * neurons.shaped(factor, values) + neurons.shaped(torch.where(norms > 0, 0.0, goal), values)
