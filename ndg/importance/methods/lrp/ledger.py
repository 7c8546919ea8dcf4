"""What does not reach the units: the relevance that biases, other constants and the stabiliser keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Ledger:
    """Entries in the order in which the network ran; a backward pass writes what each has kept."""

    biases: list[float] = field(default_factory=list)
    stabiliser: list[float] = field(default_factory=list)

    def entry(self) -> int:
        """A new entry, by its number."""
        self.biases.append(0.0)
        self.stabiliser.append(0.0)
        return len(self.biases) - 1

    def clear(self) -> None:
        """Forget all entries, before another pass."""
        self.biases.clear()
        self.stabiliser.clear()

    def after(self, entry: int) -> tuple[float, float]:
        """What biases and the stabiliser kept from an entry on."""
        return sum(self.biases[entry:], 0.0), sum(self.stabiliser[entry:], 0.0)


class Redirected(torch.autograd.Function):
    """`value`, whose gradient is that of `share`, times `factor` where there is one.

    Of the relevance gradient times value, `constant` is what a bias gave to `share`, and `rest` what the stabiliser
    gave to the value.
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
    """Sum of the products; what no gradient comes to may be infinite, as masked scores are."""
    products = torch.where(gradient == 0, torch.zeros_like(gradient), gradient * values)
    return float(products.sum(dtype=torch.float64))
