"""Sums over the outputs of a layer, for the fitness of its neurons."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from ndg.gradients.tape import add
from ndg.units.layout import View

BINS = 20

Values = Float64[np.ndarray, " unit"]
Right = Bool[Tensor, " counted"]
Kept = Bool[Tensor, "example unit position"] | None


@dataclass(eq=False)
class LayerSums:
    """Sums over the neurons of a layer in float64, batch by batch."""

    units: int
    threshold: float
    sums: dict[str, Tensor] = field(default_factory=dict)
    ends: dict[str, Tensor] = field(default_factory=dict)
    examples: int = 0

    def add(self, view: View, gradient: View | None, kept: Kept, right: Right) -> None:
        """Add a batch to the sums of the first pass.

        Padding is zero.
        """
        low, high = (view if kept is None else view.masked_fill(~kept, end) for end in (torch.inf, -torch.inf))
        count = torch.full((len(view), self.units), view.shape[2], device=view.device)
        count = count if kept is None else kept.sum(dim=2)
        more = {
            "n": count.sum(dim=0),
            "n right": count[right].sum(dim=0),
            "sum right": view[right].sum(dim=(0, 2), dtype=torch.float64),
            "activation": view.abs().sum(dim=(0, 2), dtype=torch.float64),
            "sum": view.sum(dim=(0, 2), dtype=torch.float64),
            "on": (view > self.threshold).any(dim=2).sum(dim=0),
        }
        if gradient is not None:
            more["taylor"] = (view.double() * gradient).sum(dim=2).abs().sum(dim=0)
            more["gradient"] = gradient.abs().sum(dim=(0, 2), dtype=torch.float64)
        for name, values in more.items():
            add(self.sums, name, values)
        lowest, highest = low.amin(dim=(0, 2)).double(), high.amax(dim=(0, 2)).double()
        self.ends["low"] = torch.minimum(self.ends.get("low", lowest), lowest)
        self.ends["high"] = torch.maximum(self.ends.get("high", highest), highest)
        self.examples += len(view)

    def spread(self, view: View, kept: Kept) -> None:
        """Add a batch in the second pass, with known means and extremes."""
        low, width = self.ends["low"][:, None], (self.ends["high"] - self.ends["low"])[:, None]
        values = view.double()
        place = ((values - low) / torch.where(width > 0, width, 1) * BINS).long().clamp(0, BINS - 1)
        place += BINS * torch.arange(self.units, device=view.device)[:, None]
        counted = torch.bincount((place if kept is None else place[kept]).flatten(), minlength=self.units * BINS)
        apart = (values - (self.sums["sum"] / self.sums["n"].clamp(min=1))[:, None]).square()
        add(self.sums, "bins", counted.reshape(self.units, BINS))
        add(self.sums, "square", (apart if kept is None else apart.masked_fill(~kept, 0)).sum(dim=(0, 2)))

    def values(self) -> dict[str, Values]:
        """Measures of the passes that were made."""
        n = self.sums["n"].clamp(min=1)
        measures = {"activation": self.sums["activation"] / n, "on": self.sums["on"] / self.examples}
        if "gradient" in self.sums:
            measures["gradient"] = self.sums["gradient"] / n
            measures["taylor"] = self.sums["taylor"] / self.examples
        if "bins" in self.sums:
            share = self.sums["bins"] / n[:, None]
            measures["variance"] = self.sums["square"] / n
            measures["entropy"] = -torch.special.xlogy(share, share).sum(dim=1)
        right, wrong = self.sums["n right"], self.sums["n"] - self.sums["n right"]
        if right.all() and wrong.all():
            total = self.sums["sum"] - self.sums["sum right"]
            measures["correlation"] = self.sums["sum right"] / right - total / wrong
        return {name: values.double().cpu().numpy() for name, values in measures.items()}
