"""A layer of units that are off or on, with straight-through gradients."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ndg.errors import ShapeError


class _Straight(torch.autograd.Function):
    """Rounded values forwards, the gradient as it is backwards (Bengio, Leonard & Courville 2013)."""

    @staticmethod
    def forward(context: Any, output: Tensor, rounded: Tensor) -> Tensor:
        return rounded

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class Binary(nn.Module):
    """Layer that gives `on` where `inner` is above `thresholds`, else `off`."""

    thresholds: Tensor
    off: Tensor
    on: Tensor

    def __init__(
        self,
        inner: nn.Module,
        thresholds: Float[Tensor, " unit"],
        off: Float[Tensor, " unit"],
        on: Float[Tensor, " unit"],
    ) -> None:
        super().__init__()
        self.inner = inner
        for name, values in (("thresholds", thresholds), ("off", off), ("on", on)):
            self.register_buffer(name, values.detach().clone())

    def forward(self, *arguments: Any, **named: Any) -> Float[Tensor, "example unit"]:
        output = self.inner(*arguments, **named)
        if output.ndim != 2 or output.shape[1] != len(self.on):
            raise ShapeError(
                f"a binary layer gives (example, {len(self.on)}); got {tuple(output.shape)}; choose a dense layer"
            )
        result: Tensor = _Straight.apply(output, torch.where(self.booleans(output), self.on, self.off))
        return result

    def booleans(self, output: Float[Tensor, "row unit"]) -> Bool[Tensor, "row unit"]:
        """Units that are on, of outputs of `inner` or of this layer."""
        return output > self.thresholds


def make_binary(
    network: nn.Module,
    layer: str,
    thresholds: Float[Tensor, " unit"],
    off: Float[Tensor, " unit"],
    on: Float[Tensor, " unit"],
) -> Binary:
    """The layer at a module path, made binary in place."""
    home, _, name = layer.rpartition(".")
    parent = network.get_submodule(home)
    binary = Binary(getattr(parent, name), thresholds, off, on)
    binary.train(binary.inner.training)
    setattr(parent, name, binary)
    return binary
