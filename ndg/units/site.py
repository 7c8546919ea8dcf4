"""A layer as something that is intervened on: where its units lie in its output, and when they are on.

`[example, unit]` has one value per unit. Of `[example, channel, position...]` a unit is a channel with all its
positions; of `[example, token, unit]` it is the first token's value where the layer is read at the first token (that is
no padding), and the values of all tokens where it is read as their mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Shaped
from torch import Tensor

from ndg.activations.binarize import as_tensor, binarize
from ndg.errors import GraphError, LayerError
from ndg.graph.ndg import NDG
from ndg.nodes import NodeSpace
from ndg.units.readings import EVERY, READINGS, Mask

Output = Shaped[Tensor, "example ..."]
Chosen = Bool[Tensor, "example unit"]


@dataclass(frozen=True, eq=False)
class Site:
    """`kind` is units, channels or tokens; `reading` how the output becomes one value per unit; `thresholds` those
    above which the units are on."""

    layer: str
    kind: str
    reading: str
    thresholds: Float64[np.ndarray, " unit"]

    @property
    def units(self) -> int:
        return len(self.thresholds)

    def read(self, output: Output, mask: Mask | None = None) -> Shaped[Tensor, "example unit"]:
        """The value of each unit, which is compared with its threshold."""
        return READINGS[self.kind][self.reading].rows(output, mask)

    def bits(self, output: Output, mask: Mask | None = None) -> Bool[np.ndarray, "example unit"]:
        """Which units are on."""
        values = self.read(output, mask)
        return binarize(values, as_tensor(self.thresholds, values.device)).cpu().numpy()

    def places(self, chosen: Chosen, output: Output, mask: Mask | None = None) -> Bool[Tensor, "example ..."]:
        """Where the chosen units lie in an output; it broadcasts to the output's shape."""
        chosen = chosen.to(output.device)
        if self.kind == "units":
            return chosen
        if self.kind == "channels":
            return chosen.reshape(*chosen.shape, *[1] * (output.ndim - 2))
        if self.reading != "first":
            return chosen[:, None, :]
        tokens = torch.zeros(output.shape[:2], dtype=torch.bool, device=output.device)
        first = torch.zeros(len(output), dtype=torch.long, device=output.device)
        where = first if mask is None else mask.int().argmax(dim=1)
        tokens[torch.arange(len(output), device=output.device), where] = True
        return tokens[:, :, None] & chosen[:, None, :]

    def write(self, output: Output, chosen: Chosen, values: Output, mask: Mask | None = None) -> Output:
        """The output with the values of the chosen units in place; without any chosen unit not a bit changes."""
        return torch.where(self.places(chosen, output, mask), values.to(output.device, output.dtype), output)


def shaped(site: Site, values: Shaped[Tensor, "row unit"], output: Output) -> Shaped[Tensor, "row ..."]:
    """Values `[row, unit]` with the axes of an output."""
    if site.kind == "tokens":
        return values[:, None, :]
    return values.reshape(*values.shape, *[1] * (output.ndim - 2))


def thresholds_of(graph: NDG, layer: str) -> Float64[np.ndarray, " unit"]:
    """The thresholds of a layer's units. Raises GraphError when the graph has none, or no such layer."""
    where = graph.nodes.slice(layer)
    found = np.array(graph.thresholds[where.start - graph.nodes.labels : where.stop - graph.nodes.labels])
    if np.isnan(found).any():
        raise GraphError(
            f"a trial sets neurons by the thresholds that the graph was mined with; those of {layer!r} are NaN; mine "
            "the graph from extracted bits, or pass them as bits= to NDG.from_networkx"
        )
    return found


def check_reading(nodes: NodeSpace, layer: str) -> None:
    """Raise LayerError for a layer in which every token is an example: a neuron has no one place there."""
    reading = next((one.reading for one in nodes.layers if one.name == layer), None)
    if reading == EVERY:
        raise LayerError(
            f"a trial intervenes on one value per unit of each example; in {layer!r} every token is an example; mine "
            "a graph with tokens='first' or 'mean', and put that on trial"
        )
