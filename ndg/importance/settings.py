"""What every method of importance is asked, and the examples it is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import index
from typing import Any, SupportsIndex

from ndg.activations.compute import COMPUTE_BATCH, Batch, compute_batches
from ndg.errors import ConfigError, DataError, nearest
from ndg.progress import bar

BASELINES = ("zero", "mean")


@dataclass(frozen=True)
class Settings:
    """What is scored, against which neutral state, and how finely.

    `target` is a class, or None for what the method takes by itself. `baseline` is zero, or the mean over the examples.
    `steps` counts the gradients along a path, where a method follows one. A pass of the network holds exactly `batch`
    examples, whatever the loader's batches and whatever `steps`, and runs on `threads` threads.
    """

    target: SupportsIndex | None = None
    baseline: str = "zero"
    steps: int = 50
    batch: int = COMPUTE_BATCH
    threads: int = 1

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise ConfigError(
                f"a baseline is a known neutral state; got {self.baseline!r}; {nearest(str(self.baseline), BASELINES)}"
            )
        for name in ("steps", "batch", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; got {getattr(self, name)}")

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


def passes(loader: Iterable[Any], settings: Settings, label: str) -> Iterator[Batch]:
    """The examples in compute batches, with a progress bar; DataError when there are none."""
    none = True
    for batch in bar(compute_batches(loader, settings.batch), label):
        none = False
        yield batch
    if none:
        raise DataError("at least one example is needed; the loader gave none; check the split")


def check_rereadable(loader: Iterable[Any]) -> None:
    """Raise DataError when a loader cannot be read twice, as a mean baseline needs."""
    if iter(loader) is loader:
        raise DataError(
            "baseline='mean' reads the loader twice, and an iterator can be read once; pass a list, a DataLoader, or "
            "any object whose iteration starts anew"
        )
