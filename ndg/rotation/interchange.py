"""Interchange interventions on directions of a layer (Geiger et al. 2023).

The forward pass of a base runs with some coordinates taken from sources. Each variable of the high-level model has its
own directions and its own source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from ndg.activations.batches import COMPUTE_BATCH, fixed, forward
from ndg.activations.hooks import find_layer
from ndg.errors import ConfigError, DataError, ShapeError
from ndg.intervals import rate
from ndg.interventions.engine import changing
from ndg.rotation.basis import Rotation
from ndg.rotation.principal import layer_outputs

Units = Int64[np.ndarray, " coordinate"]
"""Coordinates of one variable."""


@dataclass(frozen=True, eq=False)
class Interchanges:
    """Bases, one source per variable, and the high-level model's labels.

    Variables with `swapped` take their value from their source; `labels` are the predictions after that.
    """

    base: Float[Tensor, "pair ..."]
    sources: Float[Tensor, "source pair ..."]
    swapped: Bool[Tensor, "pair variable"]
    labels: Int64[Tensor, " pair"]
    base_labels: Int64[Tensor, " pair"]

    def __post_init__(self) -> None:
        pairs, variables = self.swapped.shape
        shape, expected = tuple(self.sources.shape), (variables, *self.base.shape)
        if shape != expected or {len(self.base), len(self.labels), len(self.base_labels)} != {pairs}:
            raise ShapeError(
                f"each variable needs a source of the base's shape, and each pair its labels: expected sources of "
                f"shape {expected} and {pairs} pairs; got {shape}, {len(self.base)} bases, {len(self.labels)} labels"
            )
        if not pairs or not variables:
            raise DataError(f"interchanges need at least one pair and one variable; got {pairs} and {variables}")

    def __len__(self) -> int:
        return len(self.base)

    @property
    def variables(self) -> int:
        return self.swapped.shape[1]

    def __getitem__(self, rows: Int64[Tensor, " row"]) -> Interchanges:
        return Interchanges(
            self.base[rows], self.sources[:, rows], self.swapped[rows], self.labels[rows], self.base_labels[rows]
        )


@dataclass(frozen=True, eq=False)
class Located:
    """Interchanges with the layer's outputs for bases and sources, computed once."""

    model: nn.Module
    layer: str
    data: Interchanges
    base: Float[Tensor, "pair unit"]
    sources: Float[Tensor, "variable pair unit"]

    def __getitem__(self, rows: Int64[Tensor, " row"]) -> Located:
        return replace(self, data=self.data[rows], base=self.base[rows], sources=self.sources[:, rows])

    def logits(self, directions: Sequence[Float[Tensor, "unit coordinate"]]) -> Float[Tensor, "pair label"]:
        """Logits after each variable is interchanged along its orthonormal directions."""
        if len(directions) != self.data.variables:
            raise ConfigError(f"each of {self.data.variables} variables needs its directions; got {len(directions)}")
        changed = self.base
        for variable, along in enumerate(directions):
            change = ((self.sources[variable] - self.base) @ along) @ along.T
            changed = changed + change * self.data.swapped[:, variable : variable + 1]
        with changing(self.model, {self.layer: lambda output: changed}):
            return forward(self.model, self.data.base)

    def right(self, directions: Sequence[Float[Tensor, "unit coordinate"]], batch: int) -> Bool[Tensor, " pair"]:
        """Whether network and high-level model agree after the interchange."""
        parts = [self[rows] for rows in torch.arange(len(self.data)).split(batch)]
        with torch.no_grad():
            return torch.cat([part.logits(directions).argmax(dim=1) == part.data.labels for part in parts])


def locate(model: nn.Module, layer: str, data: Interchanges, *, batch: int = COMPUTE_BATCH) -> Located:
    """Interchanges at a layer; LayerError unless its output is `[example, unit]`."""
    find_layer(model, layer)
    base, *sources = (
        torch.cat([values.clone() for _, values in layer_outputs(model, [inputs], layer, batch)])
        for inputs in (data.base, *data.sources)
    )
    return Located(model, layer, data, base, torch.stack(sources))


@dataclass(frozen=True)
class Interchanged:
    """Counts of pairs on which network and high-level model agree.

    `moved` counts the pairs whose label changes under the interchange, `most_common` those with the most common label.
    """

    basis: str
    layer: str
    sizes: tuple[int, ...]
    pairs: int
    correct: int
    moved: int
    moved_correct: int
    most_common: int

    def row(self) -> dict[str, Any]:
        """Interchange intervention accuracy (IIA) beside constant predictors."""
        return {
            "basis": self.basis,
            "layer": self.layer,
            "sizes": " + ".join(map(str, self.sizes)),
            **rate("iia", self.correct, self.pairs),
            "n": self.pairs,
            **rate("moved_iia", self.moved_correct, self.moved),
            "n_moved": self.moved,
            "base_label": (self.pairs - self.moved) / self.pairs if self.pairs else None,
            "most_common_label": self.most_common / self.pairs if self.pairs else None,
        }


def interchanged(
    located: Located, rotation: Rotation, places: Sequence[Units], *, batch: int = 4096, threads: int = 1
) -> Interchanged:
    """IIA of interchanging some coordinates of a rotation for each variable.

    Raises ShapeError for a rotation of another layer, ConfigError for coordinates that overlap or do not exist.
    """
    with fixed(located.model, threads):
        right = located.right(directions(located, rotation, places), batch)
    moved = located.data.labels != located.data.base_labels
    return Interchanged(
        basis=rotation.how,
        layer=rotation.layer,
        sizes=tuple(map(len, places)),
        pairs=len(right),
        correct=int(right.sum()),
        moved=int(moved.sum()),
        moved_correct=int((right & moved).sum()),
        most_common=int(torch.bincount(located.data.labels).max()),
    )


def directions(located: Located, rotation: Rotation, places: Sequence[Units]) -> list[Float[Tensor, "unit coordinate"]]:
    """The directions of each variable as columns."""
    units = located.base.shape[1]
    if (rotation.layer, rotation.units) != (located.layer, units):
        raise ShapeError(
            f"a rotation must be used where it was fitted: expected {units} units of {located.layer!r}, got "
            f"{rotation.units} of {rotation.layer!r}; fit it on this layer"
        )
    used = np.concatenate(list(places))
    if len(set(used.tolist())) < len(used) or (used < 0).any() or (used >= units).any():
        raise ConfigError(f"each variable needs coordinates of its own, from 0 to {units - 1}; got {used.tolist()}")
    matrix = torch.tensor(rotation.matrix, dtype=located.base.dtype, device=located.base.device)
    return [matrix[:, torch.from_numpy(place)] for place in places]


def leading(sizes: Sequence[int]) -> list[Units]:
    """Consecutive coordinates for each variable, from 0."""
    ends = np.cumsum([0, *sizes])
    return [np.arange(start, stop, dtype=np.int64) for start, stop in pairwise(ends.tolist())]


def check_sizes(sizes: Sequence[int], located: Located) -> None:
    """Raise ConfigError unless each variable has a size and all fit the layer."""
    units = located.base.shape[1]
    if len(sizes) != located.data.variables or min(sizes, default=0) < 1 or sum(sizes) > units:
        raise ConfigError(
            f"each of {located.data.variables} variables needs at least 1 coordinate, and all together at most the "
            f"{units} of {located.layer!r}; got {list(sizes)}"
        )
