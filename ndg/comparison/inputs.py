"""Loaders made of another one: random inputs of the same form, a control of Hu & Tian 2022; inputs without labels."""

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
from ndg.activations.batches import columns
from ndg.activations.sampling import examples_of, shuffled
from ndg.errors import ConfigError, DataError

KEPT = ("labels", "attention_mask", "token_type_ids", "position_ids")
MASK = "attention_mask"
WORDS_AT_ONCE = 1 << 22

Range = tuple[float | int, float | int]


@dataclass(frozen=True, eq=False)
class Around(ABC):
    """A loader made of another one, with as many batches of as many examples; it can be walked any number of times."""

    loader: Iterable[Any]

    def __post_init__(self) -> None:
        if iter(self.loader) is self.loader:
            raise DataError(
                "the loader is read more than once, and an iterator can be read once; pass a list, a DataLoader, or "
                "any object whose iteration starts anew"
            )

    @abstractmethod
    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int:
        if not isinstance(self.loader, Sized):
            raise TypeError(f"the loader, a {type(self.loader).__name__}, does not tell how many batches it has")
        return len(self.loader)

    @property
    def examples(self) -> Sized | None:
        """Something as long as the loader has examples, where it tells."""
        known = examples_of(self.loader)
        return None if known is None else range(known)


@dataclass(frozen=True, eq=False)
class Unlabelled(Around):
    """The inputs of a loader in their order, for networks whose classes are others than its labels.

    Examples of several networks are paired by their place in it, so one that shuffles is refused.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if shuffled(self.loader):
            raise DataError(
                "examples are paired by their place in the loader, and this DataLoader shuffles them anew each time; "
                "make it with shuffle=False"
            )

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            given = columns(batch)
            given.pop("labels", None)
            yield given[""] if set(given) == {""} else given


@dataclass(frozen=True, eq=False)
class RandomInputs(Around):
    """The batches of a loader with random inputs in them.

    Numbers with a fraction are uniform between the least and the largest of their column in the loader. Whole numbers
    are token ids, uniform from 0 to the largest id there or below `vocabulary`; where an attention mask leaves a token
    out it stays. Masks, segments, positions, booleans and true labels stay as they are: a label says nothing here. The
    draws of an example depend on `seed` and on its place in the loader alone.
    """

    seed: int
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocabulary is not None and self.vocabulary < 1:
            raise ConfigError(f"a vocabulary has at least 1 token; got {self.vocabulary}")

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """The least and the largest value of each column that is drawn, over the whole loader."""
        found: dict[str, Range] = {}
        for batch in self.loader:
            for name, column in columns(batch).items():
                if not _drawn(name, column) or not column.numel():
                    continue
                low, high = column.min().item(), column.max().item()
                if not np.isfinite([low, high]).all():
                    raise DataError(
                        f"random inputs lie in the range of the loader's; column {name or 'inputs'!r} holds {low} to "
                        f"{high}; check the data"
                    )
                before = found.get(name, (low, high))
                found[name] = min(low, before[0]), max(high, before[1])
        return found

    def __iter__(self) -> Iterator[Any]:
        start = 0
        for batch in self.loader:
            given = columns(batch)
            rows = len(next(iter(given.values())))
            mask = given.get(MASK)
            fresh = {
                name: self._column(name, column, start, mask) if name in self.ranges else column
                for name, column in given.items()
            }
            yield _as_given(batch, fresh)
            start += rows

    def _column(self, name: str, column: Tensor, start: int, mask: Tensor | None) -> Tensor:
        """Fresh values for one column of the examples from `start` on."""
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
    """A loader of random inputs, as many and of the same form as those of `loader`; see `RandomInputs`.

    Raises DataError for an iterator, and when walked for inputs that are not finite; ConfigError for a vocabulary
    without tokens.
    """
    return RandomInputs(loader, seed, vocabulary)


def _drawn(name: str, column: Tensor) -> bool:
    return name not in KEPT and column.dtype != torch.bool and not column.is_complex()


def _as_given(batch: Any, fresh: dict[str, Tensor]) -> Any:
    """The columns in the form that the loader gave them in."""
    if isinstance(batch, Mapping):
        return fresh
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        labels = fresh.pop("labels")
        return (fresh if isinstance(batch[0], Mapping) else fresh[""]), labels
    return (fresh[""],) if isinstance(batch, (tuple, list)) else fresh[""]
