"""Order in which units can be removed: structured optimal brain surgeon (Hassibi & Stork 1993).

A layer's next pre-activations are `outgoing.T @ x` for activations x with a covariance. Each step removes the unit
whose removal adds the least squared error once the other units have taken over what they can, by least squares:

    P = (cov + ridge trace(cov) / p I)^-1      B = outgoing
    unit = argmin trace(B_u^T P_uu^-1 B_u);    B -= P_:u P_uu^-1 B_u;    P -= P_:u P_uu^-1 P_u:

The errors of the removals add up to the least-squares error of all removed units together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from ndg.errors import ShapeError

RIDGE = 1e-4
"""Share of the mean variance that is added to each variance."""

FEW_RIDGE = 1e-2
"""The same for fewer rows than `FEW` per activation."""

FEW = 5

PENDING = 64
"""Columns of pending updates of an inverse."""

CONSTANT = 1e-12
"""Variance over the mean variance, below which a unit counts as constant."""


@dataclass(frozen=True, eq=False)
class Reader:
    """One layer that reads the units: covariance of what it reads, and its weights.

    The activations of unit u are rows `u * block` to `(u + 1) * block - 1`: 1 for a dense layer, k * k for a
    convolution, the width of a head for attention. `mean` holds the mean activations, by position of a pooled reader.
    """

    cov: Float[np.ndarray, "activation activation"]
    outgoing: Float[np.ndarray, "row output"]
    block: int = 1
    mean: Float[np.ndarray, "position activation"] | None = None

    def __post_init__(self) -> None:
        size = len(self.cov)
        if self.cov.shape != (size, size) or self.outgoing.shape[:1] != (size,) or size % self.block:
            raise ShapeError(
                "a reader has a square covariance, one row of outgoing weights per activation and whole blocks; got "
                f"cov {self.cov.shape}, outgoing {self.outgoing.shape}, block {self.block}"
            )

    @property
    def units(self) -> int:
        return len(self.cov) // self.block

    def mean_squares(self) -> Float[np.ndarray, " activation"]:
        """Squares of the mean activations, the mean over positions.

        0 without means.
        """
        return np.zeros(len(self.cov)) if self.mean is None else np.mean(self.mean**2, axis=0)

    @property
    def variance(self) -> float:
        """Variance of the next pre-activations, summed over outputs."""
        outgoing = self.outgoing.astype(np.float64)
        return float(np.einsum("po,pq,qo->", outgoing, self.cov.astype(np.float64), outgoing, optimize=True))


@dataclass(frozen=True, eq=False)
class Removals:
    """Units in the order of removal, with the squared error of each.

    Beside them stands the variance of the next pre-activations.
    """

    order: Int64[np.ndarray, " unit"]
    errors: Float64[np.ndarray, " unit"]
    variance: float

    @property
    def cumulative(self) -> Float64[np.ndarray, " unit"]:
        """Squared error after each removal."""
        return np.cumsum(self.errors)

    @property
    def relative(self) -> Float64[np.ndarray, " unit"]:
        """`cumulative` over the variance; 0 where nothing varies."""
        return self.cumulative / self.variance if self.variance > 0 else np.zeros(len(self.order))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_dict`."""
        return {"order": self.order.tolist(), "errors": self.errors.tolist(), "variance": self.variance}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Removals:
        order, errors = np.array(document["order"], dtype=np.int64), np.array(document["errors"], dtype=np.float64)
        return cls(order, errors, document["variance"])

    def removable(self, tolerance: float = 0.01) -> float:
        """Share of the units that can go before the relative error passes a tolerance."""
        return float(np.mean(self.relative < tolerance)) if len(self.order) else 0.0


def removals(
    cov: Float[np.ndarray, "activation activation"],
    outgoing: Float[np.ndarray, "row output"],
    ridge: float | int = RIDGE,
    block: int = 1,
) -> Removals:
    """Order and errors of removing the units that one layer reads.

    Raises ShapeError for sizes that do not fit.
    """
    return removals_of_readers([Reader(cov, outgoing, block)], ridge)


def removals_of_readers(readers: Sequence[Reader], ridge: float | int = RIDGE) -> Removals:
    """The same for units that several layers read.

    The errors of several layers are relative to the variance of each, so that none outweighs the others.
    """
    variances = [reader.variance for reader in readers]
    alone = len(readers) == 1
    scales = [1.0 if alone else (1 / variance if variance > 0 else 0.0) for variance in variances]
    sizes = {reader.units for reader in readers}
    if len(sizes) != 1:
        raise ShapeError(f"all readers read the same units; got {sorted(sizes)} units")
    active = np.any([_varies(reader) for reader in readers], axis=0)
    surgeons = [_Surgeon(reader, active, scale, ridge) for reader, scale in zip(readers, scales, strict=True)]
    order, errors = np.flatnonzero(~active).tolist(), [0.0] * int((~active).sum())
    left = np.flatnonzero(active)
    gone = np.zeros(len(left), dtype=bool)
    while not gone.all():
        scores = np.where(gone, np.inf, sum(surgeon.scores() for surgeon in surgeons))
        place = int(np.argmin(scores))
        order.append(int(left[place]))
        errors.append(float(scores[place]))
        gone[place] = True
        full = False
        for surgeon in surgeons:
            surgeon.remove(place)
            full |= surgeon.full
        if full:
            for surgeon in surgeons:
                surgeon.compact(~gone)
            left, gone = left[~gone], np.zeros(int((~gone).sum()), dtype=bool)
    total = variances[0] if alone else float(sum(variance > 0 for variance in variances))
    return Removals(np.array(order, dtype=np.int64), np.array(errors, dtype=np.float64), total)


def _varies(reader: Reader) -> np.ndarray:
    """Which units have an activation that varies."""
    variances = np.diag(reader.cov).astype(np.float64)
    least = CONSTANT * variances.mean() if variances.size else 0.0
    varies: np.ndarray = np.any((variances > least).reshape(reader.units, reader.block), axis=1)
    return varies


class _Surgeon:
    """State of one reader: the inverse and the weights of the units that are left.

    The inverse is `_inverse - _pending @ _pending.T`; a product of matrices brings it up to date now and then.
    """

    def __init__(self, reader: Reader, active: np.ndarray, scale: float, ridge: float | int) -> None:
        self._block = reader.block
        rows = np.repeat(active, reader.block)
        cov = reader.cov[np.ix_(rows, rows)].astype(np.float64)
        if len(cov):
            total = float(np.trace(cov))  # 0 where nothing that this reader reads varies
            cov[np.diag_indices(len(cov))] += ridge * total / len(cov) if total > 0 else 1.0
        self._inverse = np.linalg.inv(cov)
        self._weights = _narrow(reader.outgoing[rows].astype(np.float64) * scale**0.5)
        self._pending = np.zeros((len(cov), 0))
        units = len(cov) // self._block
        blocks = self._inverse.reshape(units, self._block, units, self._block)
        self._diagonal = blocks[np.arange(units), :, np.arange(units)].copy()

    @property
    def full(self) -> bool:
        """Whether the inverse has to be brought up to date."""
        return self._pending.shape[1] >= PENDING

    def scores(self) -> np.ndarray:
        """Squared error that the removal of each unit adds."""
        if self._block == 1:
            return np.einsum("po,po->p", self._weights, self._weights) / self._diagonal[:, 0, 0]
        weights = self._weights.reshape(len(self._diagonal), self._block, -1)
        return np.einsum("ubo,ubo->u", weights, np.linalg.solve(self._diagonal, weights))

    def remove(self, place: int) -> None:
        """Remove a unit; the others take over what they can."""
        rows = slice(place * self._block, (place + 1) * self._block)
        columns = self._inverse[:, rows] - self._pending @ self._pending[rows].T
        root = np.linalg.cholesky(self._diagonal[place])
        taken = np.linalg.solve(root, columns.T).T
        self._weights -= taken @ np.linalg.solve(root, self._weights[rows])
        units = taken.reshape(len(self._diagonal), self._block, self._block)
        self._diagonal -= units @ units.transpose(0, 2, 1)
        self._diagonal[place] = np.eye(self._block)
        self._pending = np.hstack([self._pending, taken])

    def compact(self, keep: np.ndarray) -> None:
        """Bring the inverse up to date, without the removed units."""
        rows = np.repeat(keep, self._block)
        pending = self._pending[rows]
        self._inverse = self._inverse[np.ix_(rows, rows)] - pending @ pending.T
        self._weights, self._diagonal = self._weights[rows], self._diagonal[keep]
        self._pending = np.zeros((len(pending), 0))


def _narrow(outgoing: np.ndarray) -> np.ndarray:
    """Weights with the same products of rows and at most as many columns as rows."""
    rows, outputs = outgoing.shape
    if outputs <= rows:
        return outgoing
    values, vectors = np.linalg.eigh(outgoing @ outgoing.T)
    narrow: np.ndarray = vectors * np.sqrt(np.maximum(values, 0))
    return narrow
