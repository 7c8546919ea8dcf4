"""Counters of node pairs, tile by tile: packed words on the CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt64

from ndg.bits.matrix import BitMatrix
from ndg.mining.counts import Contingency
from ndg.mining.criteria.sieve import Sieve

EDGE = 1024
"""Nodes per side of a tile: eight megabytes of counts, and tasks for many cores."""

SMALL = 1 << 20
"""Words of pairs below which one thread is faster than several."""

Margins = Float64[np.ndarray, "value _"]
Words = UInt64[np.ndarray, "node _"]  # shards have different numbers of words


@dataclass(frozen=True, eq=False)
class Survivors:
    """Node pairs that passed a sieve, with their common counts.

    `first < second`, and `kind` is `2 p + q` for the implication from `first` having the value p to `second` having the
    value q; `both` counts the examples on which both are on.
    """

    first: Int32[np.ndarray, " pair"]
    second: Int32[np.ndarray, " pair"]
    kind: Int32[np.ndarray, " pair"]
    both: Int64[np.ndarray, " pair"]


@dataclass(frozen=True, eq=False)
class Counter(ABC):
    """Counter of node pairs over all `shards`.

    `edge` is its best tile side.
    """

    shards: tuple[Words, ...]
    on: Int64[np.ndarray, " node"]
    examples: int
    edge: int

    @abstractmethod
    def count(self, rows: slice, columns: slice) -> Contingency:
        """Counts of all pairs of the tile."""

    @abstractmethod
    def survivors(self, rows: slice, columns: slice, varies: Bool[np.ndarray, " node"], sieve: Sieve) -> Survivors:
        """Pairs of varying nodes, row before column, that pass the sieve."""


@dataclass(frozen=True, eq=False)
class Packed(Counter):
    """Counter by and-popcount of packed words."""

    @classmethod
    def of(cls, shards: Sequence[BitMatrix]) -> Packed:
        on = sum((shard.on() for shard in shards), np.zeros(len(shards[0].nodes), np.int64))
        return cls(tuple(shard.words for shard in shards), on, sum(shard.examples for shard in shards), EDGE)

    def count(self, rows: slice, columns: slice) -> Contingency:
        on_rows, on_columns = self.on[rows], self.on[columns]
        with self._threads(len(on_rows) * len(on_columns)):
            both = self._both(rows, columns, len(on_rows))
        return Contingency(both, on_rows, on_columns, self.examples)

    def survivors(self, rows: slice, columns: slice, varies: Bool[np.ndarray, " node"], sieve: Sieve) -> Survivors:
        from ndg.mining.sifting import collect, sift

        first, second = (margins(self.on[part], varies[part], self.examples) for part in (rows, columns))
        height, width, shift = first.shape[1], second.shape[1], columns.start - rows.start
        passed, row_counts = np.empty((height, width), np.uint8), np.empty(height, np.int64)
        bounds = (sieve.product / self.examples, float(sieve.floor), float(sieve.margin), float(sieve.support))
        with self._threads(height * width):
            both = self._both(rows, columns, shift)
            sift(both, first, second, shift, bounds, passed, row_counts)
            starts = np.concatenate([[0], np.cumsum(row_counts)])
            pairs, kinds = np.empty((2, starts[-1]), np.int32)
            common = np.empty(starts[-1], np.int64)
            if len(pairs):
                collect(both, passed, starts, pairs, kinds, common)
        return Survivors(rows.start + pairs // width, columns.start + pairs % width, kinds, common)

    def _both(self, rows: slice, columns: slice, shift: int) -> Int64[np.ndarray, "row column"]:
        from ndg.mining.kernel import count_tile

        both = np.zeros((len(self.on[rows]), len(self.on[columns])), np.int64)
        for words in self.shards:
            count_tile(words[rows], words[columns], shift, both)
        return both

    def _threads(self, pairs: int) -> AbstractContextManager[None]:
        """Use one thread for little work, otherwise all."""
        small = pairs * (1 + sum(words.shape[1] for words in self.shards)) < SMALL
        return one_thread() if small else nullcontext()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run compiled code of the block on one thread."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def margins(on: Int64[np.ndarray, " node"], varies: Bool[np.ndarray, " node"], examples: int) -> Margins:
    """Examples with each node off and on; NaN for constant nodes."""
    return np.where(varies, np.stack([examples - on, on]), np.nan)


def count(bits: BitMatrix, rows: slice = slice(None), columns: slice = slice(None)) -> Contingency:
    """Counts of all pairs of nodes in `rows` and `columns`."""
    return Packed.of([bits]).count(rows, columns)
