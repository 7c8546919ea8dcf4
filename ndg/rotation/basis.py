"""A basis of a layer, and the network in which the coordinates along it are an ordinary layer."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.hooks import find_layer, per_unit
from ndg.errors import LayerError, ShapeError

LOCALIST, RANDOM, PCA, DAS = "localist", "random", "pca", "das"
EXACT = 1e-5
"""How far the product of a basis with its transpose may be from the identity, entry by entry."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """The coordinates of a layer with output h: `(h - mean) @ matrix`.

    The columns of `matrix` are orthonormal directions of the layer. `how` says where they are from: `localist` (the
    units themselves), `random`, `pca` or `das`.
    """

    layer: str
    matrix: Float64[np.ndarray, "row column"]
    mean: Float64[np.ndarray, " unit"]
    how: str

    def __post_init__(self) -> None:
        units = len(self.mean)
        if self.matrix.shape != (units, units):
            raise ShapeError(
                f"a rotation of {units} units has a square matrix of that size; got one of shape {self.matrix.shape}"
            )
        away = float(np.abs(self.matrix.T @ self.matrix - np.eye(units)).max())
        if not away <= EXACT:
            raise ShapeError(
                f"a rotation has orthonormal columns; the product of the matrix with its transpose is {away:.2g} from "
                "the identity; orthogonalise it first, as numpy.linalg.qr does"
            )

    @classmethod
    def about_zero(cls, layer: str, matrix: Float64[np.ndarray, "row column"], how: str) -> Rotation:
        """A rotation whose coordinates are those of the output itself, from which no mean is taken."""
        return cls(layer, matrix, np.zeros(len(matrix)), how)

    @property
    def units(self) -> int:
        """Number of units of the layer, and of coordinates."""
        return len(self.mean)

    @property
    def path(self) -> str:
        """The layer of the rotated network whose output is the coordinates."""
        return f"{self.layer}.rotated"

    def apply(self, model: nn.Module) -> nn.Module:
        """A copy of the network whose coordinates `path` can be extracted and overwritten like any layer.

        It computes the same function: to the bit while the coordinates are as they were. Raises LayerError for an
        unknown layer, and when run for an output that is not `[example, unit]` with so many units.
        """
        rotated = copy.deepcopy(model)
        inner = find_layer(rotated, self.layer)
        parent, _, name = self.layer.rpartition(".")
        rotated.get_submodule(parent).add_module(name, Rotated(inner, self))
        return rotated


class Rotated(nn.Module):
    """A layer `inner`, its coordinates `rotated`, and the way back, which adds what was changed of the coordinates."""

    def __init__(self, inner: nn.Module, rotation: Rotation) -> None:
        super().__init__()
        first = next(inner.parameters(), None)
        place = torch.device("cpu") if first is None else first.device
        self.inner = inner
        self.rotated = nn.Identity()
        self.layer = rotation.layer
        self.train(inner.training)
        for name, values in (("matrix", rotation.matrix), ("shift", rotation.mean @ rotation.matrix)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32, device=place))

    def forward(self, *arguments: object, **named: object) -> object:
        output = self.inner(*arguments, **named)
        first = output[0] if isinstance(output, tuple) else output
        changed = self._changed(per_unit(first, self.layer))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    def _changed(self, values: Float[Tensor, "example unit"]) -> Float[Tensor, "example unit"]:
        matrix, shift = (self.get_buffer(name).to(values.dtype) for name in ("matrix", "shift"))
        if values.shape[1] != len(matrix):
            raise LayerError(
                f"a rotation is applied to the layer that it was made for: it has {len(matrix)} units, {self.layer!r} "
                f"gives {values.shape[1]}; fit it on this network"
            )
        coordinates = values @ matrix - shift
        return values + (self.rotated(coordinates) - coordinates) @ matrix.T


def localist(layer: str, units: int) -> Rotation:
    """The units themselves."""
    return Rotation.about_zero(layer, np.eye(units), LOCALIST)


def random_rotation(layer: str, units: int, seed: int = 0) -> Rotation:
    """Directions drawn uniformly (Haar): the orthogonal factor of a Gaussian matrix, with its signs made unique."""
    q, r = np.linalg.qr(seeds.generator(seed, "random rotation").standard_normal((units, units)))
    return Rotation.about_zero(layer, q * np.sign(np.diag(r)), RANDOM)
