"""Orthonormal bases of a layer, and networks that expose their coordinates."""

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
"""Largest allowed entry of |matrix.T @ matrix - identity|."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """Coordinates of a layer with output h: `(h - mean) @ matrix`.

    The columns of `matrix` are orthonormal. `how` names their origin: `localist` (the units themselves), `random`,
    `pca` or `das`.
    """

    layer: str
    matrix: Float64[np.ndarray, "row column"]
    mean: Float64[np.ndarray, " unit"]
    how: str

    def __post_init__(self) -> None:
        units = len(self.mean)
        if self.matrix.shape != (units, units):
            raise ShapeError(
                f"the matrix of a rotation of {units} units must be {units} by {units}; got shape {self.matrix.shape}"
            )
        error = float(np.abs(self.matrix.T @ self.matrix - np.eye(units)).max())
        if not error <= EXACT:
            raise ShapeError(
                f"the columns of a rotation must be orthonormal; matrix.T @ matrix differs from the identity by "
                f"{error:.2g}; orthogonalise the matrix first, for example by numpy.linalg.qr"
            )

    @classmethod
    def about_zero(cls, layer: str, matrix: Float64[np.ndarray, "row column"], how: str) -> Rotation:
        """A rotation with mean zero."""
        return cls(layer, matrix, np.zeros(len(matrix)), how)

    @property
    def units(self) -> int:
        """Number of units, which is the number of coordinates."""
        return len(self.mean)

    @property
    def path(self) -> str:
        """Name of the layer of coordinates in the rotated network."""
        return f"{self.layer}.rotated"

    def apply(self, model: nn.Module) -> nn.Module:
        """A copy of the network in which the coordinates are the layer `path`.

        The copy gives the same outputs. Raises LayerError for an unknown layer, or in a pass for one that is not
        `[example, unit]` with as many units.
        """
        rotated = copy.deepcopy(model)
        inner = find_layer(rotated, self.layer)
        parent, _, name = self.layer.rpartition(".")
        rotated.get_submodule(parent).add_module(name, Rotated(inner, self))
        return rotated


class Rotated(nn.Module):
    """The layer `inner` plus the changes made to its coordinates `rotated`."""

    def __init__(self, inner: nn.Module, rotation: Rotation) -> None:
        super().__init__()
        parameter = next(inner.parameters(), None)
        device = torch.device("cpu") if parameter is None else parameter.device
        self.inner = inner
        self.rotated = nn.Identity()
        self.layer = rotation.layer
        self.train(inner.training)
        for name, values in (("matrix", rotation.matrix), ("shift", rotation.mean @ rotation.matrix)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32, device=device))

    def forward(self, *arguments: object, **named: object) -> object:
        output = self.inner(*arguments, **named)
        first = output[0] if isinstance(output, tuple) else output
        changed = self._changed(per_unit(first, self.layer))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    def _changed(self, values: Float[Tensor, "example unit"]) -> Float[Tensor, "example unit"]:
        matrix, shift = (self.get_buffer(name).to(values.dtype) for name in ("matrix", "shift"))
        if values.shape[1] != len(matrix):
            raise LayerError(
                f"a rotation must fit its layer: it has {len(matrix)} units, {self.layer!r} gives {values.shape[1]}; "
                "fit it on this network"
            )
        coordinates = values @ matrix - shift
        return values + (self.rotated(coordinates) - coordinates) @ matrix.T


def localist(layer: str, units: int) -> Rotation:
    """The identity: every unit is a coordinate."""
    return Rotation.about_zero(layer, np.eye(units), LOCALIST)


def random_rotation(layer: str, units: int, seed: int = 0) -> Rotation:
    """A rotation drawn uniformly (Haar), by QR of a Gaussian matrix."""
    q, r = np.linalg.qr(seeds.generator(seed, "random rotation").standard_normal((units, units)))
    return Rotation.about_zero(layer, q * np.sign(np.diag(r)), RANDOM)
