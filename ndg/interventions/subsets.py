"""Random subsets of units and random booleans, drawn for each example by a seed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from ndg import seeds

Indices = Int64[np.ndarray, " example"]
Bits = Bool[np.ndarray, "example unit"]


def subsets(seed: int, purpose: str, examples: Indices, sizes: Indices, units: int) -> Bits:
    """A uniform subset of the units for each example."""
    return Subsets(seed, purpose, examples, units).of(sizes)


class Subsets:
    """Random keys of units; a subset has the smallest keys."""

    def __init__(self, seed: int, purpose: str, examples: Indices, units: int) -> None:
        self._keys = seeds.words(seed, purpose, examples=examples, draws=units)
        self._sorted = np.sort(self._keys, axis=1)

    def of(self, sizes: Indices) -> Bits:
        last = np.take_along_axis(self._sorted, np.maximum(sizes - 1, 0)[:, None], axis=1)
        chosen = (self._keys <= last) & (sizes > 0)[:, None]
        if (chosen.sum(axis=1) == sizes).all():
            return chosen
        return places(self._keys) < sizes[:, None]  # equal keys: the first of them


def booleans(seed: int, purpose: str, examples: Indices, units: int) -> Bits:
    """A fair boolean for each example and unit."""
    return (seeds.words(seed, purpose, examples=examples, draws=units) >> np.uint64(63)).astype(np.bool_)


def places(keys: np.ndarray) -> Int64[np.ndarray, "row unit"]:
    """Rank of each entry in its row, ties by position."""
    order = np.argsort(keys, axis=1, kind="stable")
    ranks = np.empty(keys.shape, np.int64)
    np.put_along_axis(ranks, order, np.arange(keys.shape[1])[None, :], axis=1)
    return ranks
