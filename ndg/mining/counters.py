"""What counts the pairs of a tile of nodes and sifts them: packed words on the CPU, other ways beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt64

from ndg.bits.matrix import BitMatrix
from ndg.mining.counts import Contingency
from ndg.mining.criteria.sieve import Sieve

EDGE = 1024
"""Nodes on a side of a tile: eight megabytes of counts, and tasks enough for many cores."""

SMALL = 1 << 20
"""Words of pairs that one thread counts sooner than several that wait for each other."""

Margins = Float64[np.ndarray, "value _"]
Words = UInt64[np.ndarray, "node _"]  # shards differ in their words


@dataclass(frozen=True, eq=False)
class Survivors:
    """Pairs of nodes, first < second, that passed a sieve, with the examples on which both are on.

    `kind` is `2 p + q` for the implication from `first` having the value p to `second` having the value q.
    """

    first: Int32[np.ndarray, " pair"]
    second: Int32[np.ndarray, " pair"]
    kind: Int32[np.ndarray, " pair"]
    both: Int64[np.ndarray, " pair"]


@runtime_checkable
class Counter(Protocol):
    """Counts the pairs of a tile of nodes, and sifts them. `edge` is the side of the tiles that suits it."""

    @property
    def edge(self) -> int: ...
    @property
    def on(self) -> Int64[np.ndarray, " node"]: ...
    @property
    def examples(self) -> int: ...

    def count(self, rows: slice, columns: slice) -> Contingency:
        """All pairs of the tile."""

    def survivors(self, rows: slice, columns: slice, varies: Bool[np.ndarray, " node"], sieve: Sieve) -> Survivors:
        """The pairs with the row's node before the column's, both of nodes that vary, that pass the sieve."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Counts by and-popcount of packed words, over the examples of all `shards`, whose counts add."""

    shards: tuple[Words, ...]
    on: Int64[np.ndarray, " node"]
    examples: int
    edge: int

    @classmethod
    def of(cls, shards: Sequence[BitMatrix]) -> Packed:
        on = sum((shard.on() for shard in shards), np.zeros(len(shards[0].nodes), np.int64))
        return cls(tuple(shard.words for shard in shards), on, sum(shard.examples for shard in shards), EDGE)

    def count(self, rows: slice, columns: slice) -> Contingency:
        on_rows, on_columns = self.on[rows], self.on[columns]
        with self._threads(len(on_rows) * len(on_columns)):
            both = self._both(rows, columns, len(on_rows), len(on_columns), len(on_rows))
        return Contingency(both, on_rows, on_columns, self.examples)

    def survivors(self, rows: slice, columns: slice, varies: Bool[np.ndarray, " node"], sieve: Sieve) -> Survivors:
        first, second = (margins(self.on[part], varies[part], self.examples) for part in (rows, columns))
        height, width, shift = first.shape[1], second.shape[1], columns.start - rows.start
        with self._threads(height * width):
            return self._sifted(rows, columns, first, second, shift, sieve)

    def _sifted(
        self, rows: slice, columns: slice, first: Margins, second: Margins, shift: int, sieve: Sieve
    ) -> Survivors:
        from ndg.mining.sifting import collect, sift

        height, width = first.shape[1], second.shape[1]
        both = self._both(rows, columns, height, width, shift)
        held, hits = np.empty((height, width), np.uint8), np.empty(height, np.int64)
        bounds = (sieve.product / self.examples, float(sieve.floor), float(sieve.margin), float(sieve.support))
        sift(both, first, second, shift, bounds, held, hits)
        starts = np.concatenate([[0], np.cumsum(hits)])
        pairs, kinds = np.empty((2, starts[-1]), np.int32)
        together = np.empty(starts[-1], np.int64)
        if len(pairs):
            collect(both, held, starts, pairs, kinds, together)
        return Survivors(rows.start + pairs // width, columns.start + pairs % width, kinds, together)

    def _both(
        self, rows: slice, columns: slice, height: int, width: int, shift: int
    ) -> Int64[np.ndarray, "row column"]:
        from ndg.mining.kernel import count_tile

        both = np.zeros((height, width), np.int64)
        for words in self.shards:
            count_tile(words[rows], words[columns], shift, both)
        return both

    @contextmanager
    def _threads(self, pairs: int) -> Iterator[None]:
        """One thread for little work, else as many as there are."""
        import numba

        before = numba.get_num_threads()
        small = pairs * (1 + sum(words.shape[1] for words in self.shards)) < SMALL
        numba.set_num_threads(1 if small else before)
        try:
            yield
        finally:
            numba.set_num_threads(before)


def margins(
    on: Int64[np.ndarray, " node"], varies: Bool[np.ndarray, " node"], examples: int
) -> Float64[np.ndarray, "value node"]:
    """Examples on which each node is off and on; NaN, which no comparison passes, for one that does not vary."""
    return np.where(varies, np.stack([examples - on, on]), np.nan)


def count(bits: BitMatrix, rows: slice = slice(None), columns: slice = slice(None)) -> Contingency:
    """Counts of the pairs of the nodes `rows` with the nodes `columns`, by default of all with all."""
    return Packed.of([bits]).count(rows, columns)
