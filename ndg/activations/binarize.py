"""Binarizers: a neuron is on above its threshold.

A binarizer gives each unit its threshold: a constant, or a quantile of the unit's activations on the fitting examples.
A new one is one line in `BINARIZERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from ndg import seeds
from ndg.errors import ConfigError, nearest

Sample = Float[np.ndarray, "example unit"]


@dataclass(frozen=True)
class Binarizer:
    """One threshold, or a function of a sample and a quantile."""

    threshold: float | None = None
    fit: Callable[[Sample, float], Float64[np.ndarray, " unit"]] | None = None


BINARIZERS: dict[str, Binarizer] = {
    "positive": Binarizer(threshold=0.0),  # before a ReLU or a sigmoid
    "half": Binarizer(threshold=0.5),  # after a sigmoid
    "median": Binarizer(fit=lambda sample, _: _quantile(sample, 0.5)),
    "quantile": Binarizer(fit=lambda sample, q: _quantile(sample, q)),
}
AUTO = "auto"


def _quantile(sample: Sample, q: float) -> Float64[np.ndarray, " unit"]:
    """Quantiles in float64, a few units at a time."""
    parts = [
        np.quantile(sample[:, first : first + 64].astype(np.float64), q, axis=0)
        for first in range(0, sample.shape[1], 64)
    ]
    return np.concatenate(parts)


def choose(name: str, module: nn.Module) -> str:
    """The name of a binarizer; `auto` tells sigmoids by their module."""
    if name == AUTO:
        return "half" if isinstance(module, nn.Sigmoid) else "positive"
    if name not in BINARIZERS:
        raise ConfigError(
            f"extract.binarizer must be a known binarizer; got {name!r}; {nearest(name, [AUTO, *BINARIZERS])}"
        )
    return name


def of_sigmoids(spelled: str, layer: str) -> bool:
    """Whether a layer was binarised as sigmoids, by the named binarizer.

    It is one name, or `layer: name` for each layer where they differ.
    """
    return spelled == "half" or f", {layer}: half, " in f", {spelled}, "


def binarize(
    values: Float[Tensor, "example unit"], thresholds: Float64[Tensor, " unit"]
) -> Bool[Tensor, "example unit"]:
    """Whether each activation is above its threshold, in float64."""
    return values > thresholds  # torch compares in the wider type


class Reservoir:
    """A uniform sample of at most `size` rows, whatever the batches."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed, self._held = size, seed, 0
        self._keys = np.zeros(size, np.uint64)
        self._rows: np.ndarray | None = None

    def add(self, rows: Float[np.ndarray, "example unit"], start: int) -> None:
        """Offer the rows of examples `start`, `start + 1`, ..."""
        if self._rows is None:
            self._rows = np.empty((self._size, rows.shape[1]), rows.dtype)  # takes memory as it fills
        index = np.arange(start, start + len(rows), dtype=np.int64)
        keys = seeds.words(self._seed, "reservoir", examples=index, draws=1)[:, 0]
        free = slice(self._held, min(self._held + len(rows), self._size))
        taken = free.stop - free.start
        self._rows[free], self._keys[free], self._held = rows[:taken], keys[:taken], free.stop
        if taken < len(rows):
            offered = np.concatenate([self._keys, keys[taken:]])
            stays = np.zeros(len(offered), np.bool_)
            stays[np.argpartition(offered, self._size - 1)[: self._size]] = True
            places, coming = np.flatnonzero(~stays[: self._size]), taken + np.flatnonzero(stays[self._size :])
            self._rows[places], self._keys[places] = rows[coming], keys[coming]

    @property
    def rows(self) -> np.ndarray:
        """The sampled rows; their order means nothing."""
        return np.zeros((0, 0)) if self._rows is None else self._rows[: self._held]


def as_tensor(thresholds: Float64[np.ndarray, " unit"], device: torch.device) -> Float64[Tensor, " unit"]:
    """Thresholds where the activations are."""
    return torch.tensor(thresholds, dtype=torch.float64, device=device)
