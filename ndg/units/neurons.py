"""Units of a layer as neurons: read, compared, written.

A unit is written where it is read: a channel at all its positions, a unit of a token model at the first token (that is
no padding) or, read as a mean, at all tokens, a head at all its numbers, a gate at all time steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from ndg.activations.binarize import as_tensor, binarize
from ndg.errors import LayerError
from ndg.nodes import NodeSpace
from ndg.units.layout import Layout
from ndg.units.readings import EACH, EVERY, Mask, Output

Chosen = Bool[Tensor, "example unit"]


@dataclass(frozen=True, eq=False)
class Neurons:
    """Layout, reading and thresholds of a layer's units."""

    layout: Layout
    reading: str
    thresholds: Float64[np.ndarray, " unit"]

    @classmethod
    def of(cls, layout: Layout, reading: str, thresholds: Float64[np.ndarray, " unit"]) -> Neurons:
        """Neurons of a layer; the reading `each` makes positions units."""
        return cls(replace(layout, each=reading == EACH), reading, thresholds)

    @property
    def layer(self) -> str:
        return self.layout.layer

    @property
    def units(self) -> int:
        return len(self.thresholds)

    def count(self, output: Output) -> int:
        """The number of units that an output has."""
        return self.layout.view(output).shape[1]

    @property
    def at_first_token(self) -> bool:
        """Whether the units are those of the first token alone."""
        return (self.layout.kind, self.reading) == ("tokens", "first")

    def read(self, output: Output, mask: Mask | None = None) -> Shaped[Tensor, "example unit"]:
        """The value of each unit that is compared with its threshold."""
        return self.layout.read(self.reading, output, mask)

    def bits(self, output: Output, mask: Mask | None = None) -> Bool[np.ndarray, "example unit"]:
        """Which units are on."""
        values = self.read(output, mask)
        return binarize(values, as_tensor(self.thresholds, values.device)).cpu().numpy()

    def shaped(self, values: Shaped[Tensor, "row unit"], output: Output) -> Shaped[Tensor, "row ..."]:
        """One value per unit, in a shape that broadcasts to an output."""
        return self.layout.of_units(values, output)

    def places(self, chosen: Chosen, output: Output, mask: Mask | None = None) -> Bool[Tensor, "example ..."]:
        """Places of the chosen units; they broadcast to the output."""
        places = self.shaped(chosen.to(output.device), output)
        if self.at_first_token:
            return places & first_token(output, mask)[:, :, None]
        if self.layout.kind == "tokens" and self.reading == "mean":
            return places
        return self.layout.unpadded_places(places, output, mask)

    def write(self, output: Output, chosen: Chosen, values: Output, mask: Mask | None = None) -> Output:
        """The output with the chosen units' values; no other bit changes."""
        return torch.where(self.places(chosen, output, mask), values.to(output.device, output.dtype), output)


def first_token(output: Output, mask: Mask | None) -> Bool[Tensor, "example token"]:
    """The first token of each example that is no padding."""
    tokens = torch.zeros(output.shape[:2], dtype=torch.bool, device=output.device)
    first = torch.zeros(len(output), dtype=torch.long, device=output.device)
    at = first if mask is None else mask.int().argmax(dim=1)
    tokens[torch.arange(len(output), device=output.device), at] = True
    return tokens


def check_reading(nodes: NodeSpace, layer: str) -> None:
    """Raise LayerError for a layer whose tokens are examples."""
    reading = next((known.reading for known in nodes.layers if known.name == layer), None)
    if reading == EVERY:
        raise LayerError(
            f"a trial intervenes on one value per unit of each example; in {layer!r} every token is an example; mine "
            "a graph with tokens='first' or 'mean', and put that on trial"
        )
