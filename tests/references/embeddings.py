"""Path methods of one text without padding, by their definitions: one step and one unit at a time.

A network is given as two functions: `encoder` from the text's embeddings `[token, width]` to units, `head` from units
to logits. `start` and `end` are embeddings.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.autograd.functional import jacobian

Function = Callable[[torch.Tensor], torch.Tensor]


def conductance_by_token(
    encoder: Function, head: Function, start: torch.Tensor, end: torch.Tensor, target: int, steps: int
) -> np.ndarray:
    """Conductance `[unit, token]`: the sum over a token's embedding of (x_i - x'_i) times the integral of
    dF/dy * dy/dx_i, by midpoints. Dhamdhere et al. 2018, Definition 1."""
    total = np.zeros((len(encoder(end)), len(end)))
    for step in range(steps):
        point = start + (step + 0.5) / steps * (end - start)
        slope = jacobian(lambda units: head(units)[target], encoder(point).detach())
        spread = jacobian(encoder, point)
        for unit in range(len(total)):
            for token, change in enumerate(end - start):
                total[unit, token] += float(slope[unit] * (spread[unit, token] @ change)) / steps
    return total


def influence(
    encoder: Function, head: Function, start: torch.Tensor, end: torch.Tensor, target: int, steps: int
) -> np.ndarray:
    """The mean of dF/dy `[unit]` at midpoints."""
    total = np.zeros(len(encoder(end)))
    for step in range(steps):
        point = start + (step + 0.5) / steps * (end - start)
        total += jacobian(lambda units: head(units)[target], encoder(point).detach()).numpy() / steps
    return total
