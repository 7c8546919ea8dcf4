"""Relevance absorbed by biases, other constants and the stabiliser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Ledger:
    """Relevance that entries absorbed in a backward pass, in forward order."""

    biases: list[float] = field(default_factory=list)
    stabiliser: list[float] = field(default_factory=list)

    def entry(self) -> int:
        """Number of a new entry."""
        self.biases.append(0.0)
        self.stabiliser.append(0.0)
        return len(self.biases) - 1

    def clear(self) -> None:
        """Remove all entries before another pass."""
        self.biases.clear()
        self.stabiliser.clear()

    def after(self, entry: int) -> tuple[float, float]:
        """Relevance absorbed by biases and the stabiliser from an entry on."""
        return sum(self.biases[entry:], 0.0), sum(self.stabiliser[entry:], 0.0)


class Redirected(torch.autograd.Function):
    """`value` with the gradient of `share`, times `factor` if given.

    Of the relevance, a bias in `share` absorbs the part `constant`, and the stabiliser the part `rest`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        share: Tensor,
        factor: Tensor | None,
        constant: Tensor | None,
        rest: Tensor | None,
        ledger: Ledger,
    ) -> Tensor:
        ctx.save_for_backward(factor, constant, rest)
        ctx.ledger = ledger
        ctx.entry = ledger.entry()
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        factor, constant, rest = ctx.saved_tensors
        onward = gradients[0] if factor is None else gradients[0] * factor
        if constant is not None:
            ctx.ledger.biases[ctx.entry] = _kept(onward, constant)
        if rest is not None:
            ctx.ledger.stabiliser[ctx.entry] = _kept(onward, rest)
        return None, onward, None, None, None, None


def _kept(gradient: Tensor, values: Tensor) -> float:
    """Sum of products, where values without gradient may be infinite."""
    products = torch.where(gradient == 0, torch.zeros_like(gradient), gradient * values)
    return float(products.sum(dtype=torch.float64))
