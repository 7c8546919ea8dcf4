"""Packed booleans of nodes over examples, eight million to a megabyte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64

from ndg.bits.packing import pack, tail_mask, unpack
from ndg.errors import BitsError, ShapeError
from ndg.nodes import NodeSpace

Words = UInt64[np.ndarray, "node word"]


@dataclass(frozen=True, eq=False)
class BitMatrix:
    """One row of 64-bit words per node; bit j of word w of a row belongs to example `64 * w + j`.

    Bits past the last example are zero. `thresholds` holds, for each neuron, the activation above which it is on; a
    second set of examples is binarised alike by passing this matrix (or its graph) as `like`. `correct` counts the
    examples whose predicted label was the true one, where true labels were given.
    """

    nodes: NodeSpace
    words: Words
    examples: int
    thresholds: Float64[np.ndarray, " neuron"]
    binarizer: str = "given"
    correct: int | None = None

    def __post_init__(self) -> None:
        expected = (len(self.nodes), -(-self.examples // 64))
        if self.words.shape != expected:
            raise BitsError(
                f"packed words have the shape (nodes, examples / 64): expected {expected}, got {self.words.shape}"
            )
        if self.thresholds.shape != (self.nodes.neurons,):
            raise BitsError(f"one threshold per neuron: expected {self.nodes.neurons}, got {self.thresholds.shape}")
        if self.examples % 64 and (self.words[:, -1] & ~tail_mask(self.examples)).any():
            raise BitsError(f"bits past example {self.examples} must be zero; pack with BitMatrix.from_bool")
        self.words.flags.writeable = False

    @classmethod
    def from_bool(
        cls,
        values: Bool[np.ndarray, "example node"],
        nodes: NodeSpace,
        thresholds: Float64[np.ndarray, " neuron"] | None = None,
        **facts: Any,
    ) -> BitMatrix:
        """The packed form of booleans, one row per example and one column per node."""
        builder = BitMatrixBuilder(nodes)
        builder.append(values)
        return builder.finish(np.full(nodes.neurons, np.nan) if thresholds is None else thresholds, **facts)

    def to_bool(self, layer: str | None = None) -> Bool[np.ndarray, "example node"]:
        """Plain booleans of all nodes, or of one layer (`label` for the labels)."""
        rows = slice(None) if layer is None else self.nodes.slice(layer)
        return np.ascontiguousarray(unpack(self.words[rows], self.examples).T)

    def on(self) -> Int64[np.ndarray, " node"]:
        """Examples on which each node is on."""
        return np.bitwise_count(self.words).sum(axis=1, dtype=np.int64)

    def __add__(self, other: BitMatrix) -> BitMatrix:
        """The examples of `self` followed by those of `other`."""
        if self.nodes != other.nodes:
            raise ShapeError(
                f"examples are added over the same nodes: expected {self.nodes}, got {other.nodes}; "
                "extract both with the same layers"
            )
        if not np.array_equal(self.thresholds, other.thresholds, equal_nan=True):
            raise ShapeError("examples are added only when binarised alike; extract the second with like=the first")
        return concatenate([self, other])

    def __len__(self) -> int:
        return self.examples

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BitMatrix)
            and self.nodes == other.nodes
            and self.examples == other.examples
            and np.array_equal(self.words, other.words)
            and np.array_equal(self.thresholds, other.thresholds, equal_nan=True)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of the nodes and the booleans."""
        state = hashlib.sha256(repr((self.nodes, self.examples)).encode())
        state.update(np.ascontiguousarray(self.words).data)
        return state.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"BitMatrix({self.nodes.labels} labels, {self.nodes.neurons} neurons, {self.examples} examples)"


class BitMatrixBuilder:
    """Takes booleans batch by batch; memory is the packed words (grown by half as needed) and one batch."""

    def __init__(self, nodes: NodeSpace, examples: int = 0) -> None:
        self.nodes = nodes
        self.examples = 0
        self._words = np.zeros((len(nodes), -(-examples // 64)), np.uint64)

    def append(self, values: Bool[np.ndarray, "example node"]) -> None:
        """Add a batch of examples, one row each."""
        if values.dtype != np.bool_:
            raise BitsError(f"a batch holds booleans; got {values.dtype}; binarise first, as in values > threshold")
        if values.ndim != 2 or values.shape[1] != len(self.nodes):
            raise BitsError(f"a batch has one column per node: expected {len(self.nodes)}, got shape {values.shape}")
        total = self.examples + len(values)
        needed = -(-total // 64)
        if needed > self._words.shape[1]:
            grown = np.zeros((len(self.nodes), max(needed, self._words.shape[1] * 3 // 2)), np.uint64)
            grown[:, : self._words.shape[1]] = self._words
            self._words = grown
        pack(values, self._words, self.examples)
        self.examples = total

    def finish(self, thresholds: Float64[np.ndarray, " neuron"], **facts: Any) -> BitMatrix:
        """The matrix of all batches appended so far."""
        words = self._words[:, : -(-self.examples // 64)]
        return BitMatrix(
            self.nodes, np.ascontiguousarray(words), self.examples, np.asarray(thresholds, dtype=np.float64), **facts
        )


def concatenate(parts: Iterable[BitMatrix]) -> BitMatrix:
    """All examples of `parts`, in order; nodes and thresholds are those of the first."""
    parts = list(parts)
    first = parts[0]
    builder = BitMatrixBuilder(first.nodes, sum(part.examples for part in parts))
    for part in parts:
        for start in range(0, part.examples, 64 * 64):
            stop = min(start + 64 * 64, part.examples)
            words = part.words[:, start // 64 : -(-stop // 64)]
            builder.append(np.ascontiguousarray(unpack(words, stop - start).T))
    correct = [part.correct for part in parts]
    return builder.finish(
        first.thresholds, binarizer=first.binarizer, correct=None if None in correct else sum(c or 0 for c in correct)
    )
