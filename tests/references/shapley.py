"""Shapley values by their definition: every coalition of units, one example and one unit at a time."""

from itertools import combinations
from math import comb

import numpy as np
import torch
from torch import nn


def exact(encoder: nn.Module, head: nn.Module, inputs: torch.Tensor, classes: list[int]) -> np.ndarray:
    """phi_u of each example, [example, unit], where v is the logit of the example's class and zero is neutral."""
    hidden = encoder(inputs).detach()
    units = hidden.shape[1]
    found = np.zeros(hidden.shape[:2])
    for row, (h, label) in enumerate(zip(hidden, classes, strict=True)):
        worth = {}
        for size in range(units + 1):
            for members in combinations(range(units), size):
                only = torch.zeros_like(h)
                only[list(members)] = h[list(members)]
                worth[frozenset(members)] = head(only[None])[0, label].item()
        for unit in range(units):
            for members, value in worth.items():
                if unit not in members:
                    weight = 1 / (units * comb(units - 1, len(members)))
                    found[row, unit] += weight * (worth[members | {unit}] - value)
    return found
