"""Setting units of a layer to given values, example by example, while the rest of the network runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ndg.activations.compute import Inputs, forward
from ndg.activations.trace import Overwrite
from ndg.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Intervention:
    """Where `mask` is set, the layer's output is replaced by `values`; an empty mask changes no bit."""

    layer: str
    mask: Bool[Tensor, "example unit"]
    values: Float[Tensor, "example unit"]

    def __call__(self, output: Tensor) -> Tensor:
        """The layer's output with the set units in place."""
        if output.shape != self.mask.shape:
            raise ShapeError(
                f"an intervention has one value per example and unit of {self.layer!r}: expected "
                f"{tuple(output.shape)}, got {tuple(self.mask.shape)}; use the graph of this network"
            )
        mask, values = self.mask.to(output.device), self.values.to(output.device, output.dtype)
        return torch.where(mask, values, output)

    def logits(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Logits `[example, class]` of the network under this intervention, which lasts for this pass only."""
        with Overwrite(model, self.layer, self):
            return forward(model, inputs)
