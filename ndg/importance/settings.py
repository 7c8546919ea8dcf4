"""What every method of importance is asked, and the examples it is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

from torch import Tensor

from ndg.activations.batches import COMPUTE_BATCH, Batch, compute_batches
from ndg.errors import ConfigError, DataError
from ndg.executors import Executor
from ndg.progress import bar

Baselines = str | float | int | Tensor | Mapping[str, Tensor]
"""A neutral state by name, a number, a tensor, or a tensor per layer."""


@dataclass(frozen=True)
class Settings:
    """What is scored, against which neutral state, and how finely.

    `target` is a class, or None for what the method takes by itself. `baselines` is zero, the mean over the examples, a
    number, or tensors. `n_steps` counts the gradients along a path, where a method follows one; None is as many as the
    path needs. A pass of the network holds `internal_batch_size` examples, whatever the loader's batches and whatever
    `n_steps`, and runs on `threads` threads. With `each` every position of a unit is scored by itself. `options` are
    those that a method has for itself, all of them. Draws follow from `seed`. Ablation and Shapley values, which have
    many tasks of their own, give them to the `executor`, and keep what is finished in the `journal`.
    """

    target: SupportsIndex | None = None
    baselines: Baselines = "zero"
    n_steps: int | None = None
    internal_batch_size: int = COMPUTE_BATCH
    threads: int = 1
    each: bool = False
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    executor: str | Executor = "serial"
    ray_address: str | None = None
    journal: Path | None = None

    def __post_init__(self) -> None:
        for name in ("n_steps", "internal_batch_size", "threads"):
            value = getattr(self, name)
            if name == "n_steps" and value is None:
                continue
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1; got {value!r}")
        if self.target is not None and not _whole(self.target):
            raise ConfigError(f"target must be a class of the network, a whole number; got {self.target!r}")
        given = self.baselines
        for one in given.values() if isinstance(given, Mapping) else [given]:
            if not _neutral(one):
                came = "one with NaN or infinity" if isinstance(one, Tensor) else repr(one)
                raise ConfigError(f"baselines are a known neutral state, a number, or tensors, all finite; got {came}")

    def classes(self, logits: int) -> range:
        """The classes asked for, of a network with that many logits."""
        if self.target is None:
            return range(logits)
        target = index(self.target)
        if not 0 <= target < logits:
            raise ConfigError(f"target must be a class of the network, 0 to {logits - 1}; got {target}")
        return range(target, target + 1)

    def describe(self, default: str) -> int | str:
        """The target as scores record it."""
        return default if self.target is None else index(self.target)


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
    """The examples in compute batches, with a progress bar; DataError when there are none."""
    none = True
    for batch in bar(compute_batches(loader, settings.internal_batch_size, short=True), label):
        none = False
        yield batch
    if none:
        raise DataError("at least one example is needed; the loader gave none; check the split")
