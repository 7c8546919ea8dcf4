"""A random subset of a loader's examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ndg.activations.sampling import Numbers, chosen, count, only


@dataclass(frozen=True, eq=False)
class Subset:
    """The examples of these numbers, at each reading of the loader. Examples keep their numbers."""

    loader: Iterable[Any]
    numbers: Numbers

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return only(self.loader, self.numbers)


def subset(loader: Iterable[Any], most: int | None, seed: int) -> Iterable[Any]:
    """At most `most` examples of a loader, each choice equally likely; the loader itself where that is all."""
    numbers = None if most is None else chosen(seed, count(loader), most)
    return loader if numbers is None else Subset(loader, numbers)
