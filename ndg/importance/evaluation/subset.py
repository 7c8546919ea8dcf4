"""A loader of some of the examples of another, drawn by a seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ndg.activations.sampling import Numbers, chosen, count, only


@dataclass(frozen=True, eq=False)
class Drawn:
    """The examples of these numbers, again at each reading; they keep their numbers."""

    loader: Iterable[Any]
    numbers: Numbers

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return only(self.loader, self.numbers)


def drawn(loader: Iterable[Any], most: int | None, seed: int) -> Iterable[Any]:
    """At most so many examples of a loader, each choice as likely as any other; the loader itself where that is all."""
    numbers = None if most is None else chosen(seed, count(loader), most)
    return loader if numbers is None else Drawn(loader, numbers)
