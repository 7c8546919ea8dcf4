"""Choice of a loader's examples: all, or a seeded sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from ndg import seeds
from ndg.activations.batches import NUMBER, check_loader, columns
from ndg.errors import ConfigError, DataError

Numbers = Int64[np.ndarray, " chosen"]


def examples_of(loader: Iterable[Any]) -> int | None:
    """Number of a loader's examples, if known without reading."""
    if isinstance(loader, (list, tuple)):
        return sum(map(_rows, loader))
    if isinstance(loader, DataLoader):
        batches = loader.batch_sampler
        if type(batches) is not BatchSampler or not isinstance(batches.sampler, Sized):
            return None
        size = len(batches.sampler)
        return size - size % batches.batch_size if batches.drop_last else size
    examples = getattr(loader, "dataset", getattr(loader, "examples", None))
    return len(examples) if isinstance(examples, Sized) else None


def shuffled(loader: Iterable[Any]) -> bool:
    """Whether a loader is known to shuffle its examples."""
    sampler = getattr(loader, "sampler", None) if isinstance(loader, DataLoader) else None
    return isinstance(sampler, (RandomSampler, SubsetRandomSampler, WeightedRandomSampler))


def count(loader: Iterable[Any]) -> int:
    """Number of a loader's examples, read through if needed."""
    check_loader(loader)
    known = examples_of(loader)
    return sum(map(_rows, loader)) if known is None else known


def draw(seed: int, purpose: str, examples: int, size: int) -> Numbers:
    """`size` of the numbers below `examples`, uniform and sorted."""
    keys = seeds.words(seed, purpose, examples=np.arange(examples, dtype=np.int64), draws=1)[:, 0]
    return np.sort(np.argpartition(keys, size)[:size]) if size < examples else np.arange(examples, dtype=np.int64)


def chosen(seed: int, examples: int, most: int) -> Numbers | None:
    """At most `most` drawn examples; None when that is all."""
    if most < 1:
        raise ConfigError(f"max_examples is at least 1; got {most}")
    return draw(seed, "max_examples", examples, most) if most < examples else None


def only(loader: Iterable[Any], numbers: Numbers) -> Iterator[dict[str, Tensor]]:
    """Batches of the examples of these numbers, which they carry."""
    start = taken = 0
    for batch in loader:
        tensors = columns(batch)
        rows = len(next(iter(tensors.values())))
        stop = start + rows
        until = int(np.searchsorted(numbers, stop))
        if until > taken:
            wanted = torch.from_numpy(numbers[taken:until])
            yield {key: column[wanted - start] for key, column in tensors.items()} | {NUMBER: wanted}
        start, taken = stop, until
        if taken == len(numbers):
            return
    raise DataError(
        f"examples are chosen by their numbers; the loader gave {start}, and said or showed before that it has more "
        f"than {numbers[-1]}; give a loader that gives the same examples each time"
    )


@dataclass(frozen=True, eq=False)
class Subset:
    """Examples of these numbers, which they keep."""

    loader: Iterable[Any]
    numbers: Numbers

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return only(self.loader, self.numbers)


def subset(loader: Iterable[Any], most: int | None, seed: int) -> Iterable[Any]:
    """At most `most` drawn examples, or the loader itself."""
    numbers = None if most is None else chosen(seed, count(loader), most)
    return loader if numbers is None else Subset(loader, numbers)


def _rows(batch: Any) -> int:
    return len(next(iter(columns(batch).values())))
