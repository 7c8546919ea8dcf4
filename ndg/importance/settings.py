"""Settings of methods, and compute batches of examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from ndg.activations.batches import Batch, examples_in_batches
from ndg.errors import ConfigError
from ndg.gradients.neutral import Baselines
from ndg.options import RunOptions, plain_number, plain_numbers

Layers = tuple[str, ...]
Loader = Iterable[Any]
"""Batches of examples, in the forms that `ndg.activations.batches.compute_batches` reads."""


@dataclass(frozen=True)
class ScoreSettings:
    """Neutral state and resolution of a score.

    baselines      the neutral state: "zero", "mean" over the examples, a number, a tensor, or a tensor for each layer
                   (by name of the input for methods that follow a path of inputs)
    n_steps        gradients along a path, for methods that follow one; None: as many as the path needs
    each_position  whether every pixel, token or time step of a unit is scored by itself, unit by unit

    Raises ConfigError for values that mean nothing.

    >>> settings = ndg.ScoreSettings(n_steps=20)
    >>> ndg.score(net, data, ["1"], "conductance", settings=settings)["1"].shape
    (8,)
    """

    baselines: Baselines = "zero"
    n_steps: int | None = None
    each_position: bool = False

    def __post_init__(self) -> None:
        plain_numbers(self)
        object.__setattr__(self, "baselines", _tensors(self.baselines))
        steps = self.n_steps
        if steps is not None and (not isinstance(steps, int) or steps < 1):
            raise ConfigError(f"n_steps must be a whole number of at least 1; got {steps!r}")
        baselines = self.baselines
        for value in baselines.values() if isinstance(baselines, Mapping) else [baselines]:
            if not _neutral(value):
                came = "one with NaN or infinity" if isinstance(value, Tensor) else repr(value)
                raise ConfigError(f"baselines are a known neutral state, a number, or tensors, all finite; got {came}")


@dataclass(frozen=True)
class Settings(ScoreSettings):
    """Settings of one method, with target, options and `own` options."""

    target: SupportsIndex | None = None
    options: RunOptions = RunOptions()
    own: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target is not None and not _whole(self.target):
            raise ConfigError(f"target must be a class of the network, a whole number; got {self.target!r}")

    @property
    def identity(self) -> dict[str, Any]:
        """Settings that scores depend on, for digests."""
        fields = ("target", "baselines", "n_steps", "each_position", "own")
        run = {name: getattr(self.options, name) for name in ("batch", "threads", "seed")}
        return {name: getattr(self, name) for name in fields} | run

    def classes(self, logits: int) -> range:
        """Requested classes of a network with that many logits."""
        if self.target is None:
            return range(logits)
        target = index(self.target)
        if not 0 <= target < logits:
            raise ConfigError(f"target must be a class of the network, 0 to {logits - 1}; got {target}")
        return range(target, target + 1)

    def describe(self, default: str) -> int | str:
        """Text of the target."""
        return default if self.target is None else index(self.target)


def _tensors(value: Any) -> Any:
    """Numpy arrays as tensors, also within a mapping."""
    if isinstance(value, Mapping):
        return {key: _tensors(part) for key, part in value.items()}
    numbers = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    return torch.as_tensor(value) if numbers else plain_number(value)


def _whole(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        return False
    try:
        index(value)
    except TypeError:  # a tensor of several classes
        return False
    return True


def _neutral(value: object) -> bool:
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    return isinstance(value, str) or (isinstance(value, (int, float)) and isfinite(value))


def passes(loader: Iterable[Any], settings: Settings, label: str) -> Iterator[Batch]:
    """Compute batches with a progress bar. Raises DataError without examples."""
    return examples_in_batches(loader, settings.options.batch, label)


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Joined sums of two parts of the tasks, by layer."""
    joined = dict(first)
    for layer, more in second.items():
        joined[layer] = joined[layer] + more if layer in joined else more
    return joined
