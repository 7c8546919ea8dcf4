"""Loaders of random inputs (Hu & Tian 2022) and of unlabelled inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ndg import seeds
from ndg.activations.batches import bare, columns
from ndg.activations.sampling import examples_of, shuffled
from ndg.errors import ConfigError, DataError
from ndg.extraction import check_repeatable

KEPT = ("labels", "attention_mask", "token_type_ids", "position_ids")
MASK = "attention_mask"
WORDS_AT_ONCE = 1 << 22

Range = tuple[float | int, float | int]


@dataclass(frozen=True, eq=False)
class Around(ABC):
    """A loader with the batches of another one, readable many times."""

    loader: Iterable[Any]

    def __post_init__(self) -> None:
        check_repeatable(self.loader)

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int:
        if not isinstance(self.loader, Sized):
            raise TypeError(f"the loader, a {type(self.loader).__name__}, does not tell how many batches it has")
        return len(self.loader)

    @property
    def examples(self) -> Sized | None:
        """A range over the loader's examples.

        None if their number is unknown.
        """
        count = examples_of(self.loader)
        return None if count is None else range(count)


@dataclass(frozen=True, eq=False)
class Unlabelled(Around):
    """Inputs of a loader in a fixed order, without labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if shuffled(self.loader):
            raise DataError(
                "examples are paired by position in the loader, but this DataLoader shuffles them; make it with "
                "shuffle=False"
            )

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            inputs = columns(batch)
            inputs.pop("labels", None)
            yield bare(inputs)


@dataclass(frozen=True, eq=False)
class RandomInputs(Around):
    """Batches of a loader with random inputs.

    Floats are uniform between the smallest and largest value of their column. Token ids are uniform from 0 to the
    largest id of the loader, or below `vocabulary`; masked tokens, positions, booleans and labels stay. The draws of an
    example depend on `seed` and its position in the loader alone.
    """

    seed: int
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocabulary is not None and self.vocabulary < 1:
            raise ConfigError(f"a vocabulary needs at least 1 token; got {self.vocabulary}")

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """Smallest and largest value of each drawn column of the loader."""
        ranges: dict[str, Range] = {}
        for batch in self.loader:
            for name, column in columns(batch).items():
                if not _drawn(name, column) or not column.numel():
                    continue
                low, high = column.min().item(), column.max().item()
                if not np.isfinite([low, high]).all():
                    raise DataError(
                        f"random inputs need a finite range; column {name or 'inputs'!r} holds {low} to {high}; check "
                        "the data"
                    )
                before = ranges.get(name, (low, high))
                ranges[name] = min(low, before[0]), max(high, before[1])
        return ranges

    def __iter__(self) -> Iterator[Any]:
        start = 0
        for batch in self.loader:
            inputs = columns(batch)
            rows = len(next(iter(inputs.values())))
            mask = inputs.get(MASK)
            fresh = {
                name: self._column(name, column, start, mask) if name in self.ranges else column
                for name, column in inputs.items()
            }
            yield _like(batch, fresh)
            start += rows

    def _column(self, name: str, column: Tensor, start: int, mask: Tensor | None) -> Tensor:
        """Random values of a column for the examples from `start` on."""
        rows, size = len(column), column[0].numel() if len(column) else 0
        values = np.empty((rows, size), np.float64 if column.is_floating_point() else np.int64)
        step = max(WORDS_AT_ONCE // max(size, 1), 1)
        for first in range(0, rows, step):
            last = min(first + step, rows)
            places = np.arange(start + first, start + last, dtype=np.int64)
            words = seeds.words(self.seed, "random inputs", name, examples=places, draws=size)
            values[first:last] = self._values(name, words, column.is_floating_point())
        drawn = torch.from_numpy(values).reshape(column.shape).to(column)
        if column.is_floating_point() or mask is None or mask.shape != column.shape:
            return drawn
        return torch.where(mask != 0, drawn, column)

    def _values(self, name: str, words: np.ndarray, fractional: bool) -> np.ndarray:
        low, high = self.ranges[name]
        uniform = (words >> np.uint64(11)) * 2.0**-53
        if fractional:
            return low + (high - low) * uniform
        least = 0 if self.vocabulary else min(int(low), 0)
        size = self.vocabulary or int(high) + 1 - least
        return least + np.minimum(uniform * size, size - 1).astype(np.int64)


def random_inputs(loader: Iterable[Any], seed: int, vocabulary: int | None = None) -> RandomInputs:
    """A loader of random inputs in the form of `loader`.

    Raises DataError for an iterator or inputs that are not finite, ConfigError for a vocabulary without tokens.
    """
    return RandomInputs(loader, seed, vocabulary)


def _drawn(name: str, column: Tensor) -> bool:
    return name not in KEPT and column.dtype != torch.bool and not column.is_complex()


def _like(batch: Any, fresh: dict[str, Tensor]) -> Any:
    """The columns in the form of the loader's batch."""
    if isinstance(batch, Mapping):
        return fresh
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        labels = fresh.pop("labels")
        return (fresh if isinstance(batch[0], Mapping) else fresh[""]), labels
    return (fresh[""],) if isinstance(batch, (tuple, list)) else fresh[""]
