"""From activations to booleans: a neuron is on when its activation is above its threshold.

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
    """Either one threshold for all units, or a function of a sample of activations and the asked quantile."""

    threshold: float | None = None
    fit: Callable[[Sample, float], Float64[np.ndarray, " unit"]] | None = None


BINARIZERS: dict[str, Binarizer] = {
    "positive": Binarizer(threshold=0.0),  # before a ReLU or a sigmoid
    "half": Binarizer(threshold=0.5),  # after a sigmoid
    "median": Binarizer(fit=lambda sample, _: np.quantile(sample.astype(np.float64), 0.5, axis=0)),
    "quantile": Binarizer(fit=lambda sample, q: np.quantile(sample.astype(np.float64), q, axis=0)),
}
AUTO = "auto"


def choose(name: str, module: nn.Module) -> str:
    """The name of a binarizer; `auto` is `half` for a sigmoid and `positive` for anything else."""
    if name == AUTO:
        return "half" if isinstance(module, nn.Sigmoid) else "positive"
    if name not in BINARIZERS:
        raise ConfigError(
            f"extract.binarizer must be a known binarizer; got {name!r}; {nearest(name, [AUTO, *BINARIZERS])}"
        )
    return name


def binarize(
    values: Float[Tensor, "example unit"], thresholds: Float64[Tensor, " unit"]
) -> Bool[Tensor, "example unit"]:
    """Whether each activation is above its unit's threshold, compared in float64."""
    return values.double() > thresholds


class Reservoir:
    """A uniform sample of at most `size` rows of a stream, by random keys, so that batches do not matter."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._keys = np.zeros(0, np.uint64)
        self._rows: np.ndarray | None = None

    def add(self, rows: Float[np.ndarray, "example unit"], start: int) -> None:
        """Offer the rows of examples `start`, `start + 1`, ..."""
        index = np.arange(start, start + len(rows), dtype=np.int64)
        keys = np.concatenate([self._keys, seeds.words(self._seed, "reservoir", examples=index, draws=1)[:, 0]])
        rows = rows if self._rows is None else np.concatenate([self._rows, rows])
        if len(keys) > self._size:
            kept = np.sort(np.argpartition(keys, self._size)[: self._size])
            keys, rows = keys[kept], rows[kept]
        self._keys, self._rows = keys, rows

    @property
    def rows(self) -> np.ndarray:
        """The sampled rows."""
        return np.zeros((0, 0)) if self._rows is None else self._rows


def as_tensor(thresholds: Float64[np.ndarray, " unit"], device: torch.device) -> Float64[Tensor, " unit"]:
    """Thresholds where the activations are."""
    return torch.tensor(thresholds, dtype=torch.float64, device=device)
