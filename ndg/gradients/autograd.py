"""Gradients of PyTorch, with an error for networks that overwrite what they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ndg.errors import LayerError

OVERWRITTEN = "modified by an inplace operation"
"""What PyTorch says of a value that a backward pass needs and a forward pass has changed."""


def gradients_of(value: Tensor, at: Tensor | Sequence[Tensor], *more: Any, **options: Any) -> tuple[Tensor, ...]:
    """Gradients as of `torch.autograd.grad`; LayerError if the network has overwritten a value that they need."""
    try:
        return torch.autograd.grad(value, at, *more, **options)
    except RuntimeError as error:
        if OVERWRITTEN not in str(error):
            raise
        raise LayerError(
            "gradients need the values that a network has computed; this one has overwritten some in place, so that "
            "it cannot be trained either; remove that, or take method='ablation'"
        ) from error
