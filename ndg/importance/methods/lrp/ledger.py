"""Relevance absorbed by biases, other constants and the stabiliser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Maybe = Tensor | None
Ledger = list[list[float]]
"""Relevance that biases and the stabiliser absorbed, one pair an entry, in forward order."""


def absorbed(ledger: Ledger, entry: int) -> tuple[float, float]:
    """Relevance absorbed by biases and the stabiliser from an entry on."""
    biases, stabiliser = (sum((pair[place] for pair in ledger[entry:]), 0.0) for place in (0, 1))
    return biases, stabiliser


class Redirected(torch.autograd.Function):
    """`value` with the gradient of `share`, times `factor` if given.

    Of the relevance, a bias in `share` absorbs the part `constant`, and the stabiliser the part `rest`.
    """

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, share: Tensor, factor: Maybe, constant: Maybe, rest: Maybe, ledger: Ledger
    ) -> Tensor:
        ctx.save_for_backward(factor, constant, rest)
        ctx.absorbed = [0.0, 0.0]
        ledger.append(ctx.absorbed)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        factor, constant, rest = ctx.saved_tensors
        onward = gradients[0] if factor is None else gradients[0] * factor
        if constant is not None:
            ctx.absorbed[0] = _kept(onward, constant)
        if rest is not None:
            ctx.absorbed[1] = _kept(onward, rest)
        return None, onward, None, None, None, None


def _kept(gradient: Tensor, values: Tensor) -> float:
    """Sum of products, where values without gradient may be infinite."""
    products = torch.where(gradient == 0, torch.zeros_like(gradient), gradient * values)
    return float(products.sum(dtype=torch.float64))
