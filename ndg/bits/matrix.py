"""Packed booleans of nodes over examples: eight million in one megabyte."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg.bits import concepts
from ndg.bits.builder import Builder
from ndg.bits.packing import Words, pack, place, tail_mask, unpack, zeros
from ndg.errors import BitsError, ShapeError
from ndg.nodes import NodeSpace

ROWS_AT_ONCE = 256
NETWORK_DIGITS = 16


@dataclass(frozen=True)
class Sample:
    """Choice of examples by `seed`, out of `of` examples."""

    seed: int
    of: int


@dataclass(frozen=True, eq=False)
class BitMatrix:
    """Packed booleans of nodes over examples, one row per node.

    Bit j of 64-bit word w of a row belongs to example `64 * w + j`; bits past the last example are zero. `words` may be
    a view of a larger array or of a file, if the words of a row are contiguous. A neuron is on above its value in
    `thresholds`; pass this matrix (or its graph) as `like` to binarise other examples the same way. `correct` counts
    correct predictions of examples of the loader, which are fewer than those of the matrix where tokens are examples.
    `network` is the digest of the weights that produced the bits, "" if unknown or mixed. Equality and `digest` cover
    the bits alone.

    >>> bits.to_bool("1").shape
    (300, 8)
    >>> int(bits.on()[:3].sum())  # one label is predicted of each example
    300
    """

    nodes: NodeSpace
    words: Words
    examples: int
    thresholds: Float64[np.ndarray, " neuron"]
    binarizer: str = "given"
    correct: int | None = None
    sample: Sample | None = None
    network: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.nodes), -(-self.examples // 64))
        if self.words.shape != expected:
            raise BitsError(
                f"packed words must have shape (nodes, examples / 64): expected {expected}, got {self.words.shape}"
            )
        if self.words.shape[1] > 1 and self.words.strides[1] != 8:
            raise BitsError(
                f"the words of a row must be contiguous, 8 bytes apart; got {self.words.strides[1]}; pass "
                "np.ascontiguousarray(words)"
            )
        if self.thresholds.shape != (self.nodes.neurons,):
            raise BitsError(f"one threshold per neuron: expected {self.nodes.neurons}, got {self.thresholds.shape}")
        if self.examples % 64 and (self.words[:, -1] & ~tail_mask(self.examples)).any():
            raise BitsError(f"bits past example {self.examples} must be zero; pack with BitMatrix.from_bool")
        if self.network and not re.fullmatch(f"[0-9a-f]{{{NETWORK_DIGITS}}}", self.network):
            raise BitsError(
                f"the network of bits must be {NETWORK_DIGITS} hexadecimal digits, the digest of its weights; got "
                f"{self.network!r}; pass ndg.activations.digest.weights_digest(model), or leave it out"
            )
        self.words.flags.writeable = False

    @classmethod
    def from_bool(
        cls,
        values: Bool[np.ndarray, "example node"],
        nodes: NodeSpace,
        thresholds: Float64[np.ndarray, " neuron"] | None = None,
        **facts: Any,
    ) -> BitMatrix:
        """Packed booleans, one row per example, one column per node."""
        builder = BitMatrixBuilder(nodes, len(values))
        builder.append(values)
        return builder.finish(np.full(nodes.neurons, np.nan) if thresholds is None else thresholds, **facts)

    def to_bool(self, layer: str | None = None) -> Bool[np.ndarray, "example node"]:
        """Plain booleans of all nodes or one layer (`label` and `concept` too)."""
        rows = slice(None) if layer is None else self.nodes.slice(layer)
        return np.ascontiguousarray(unpack(self.words[rows], self.examples).T)

    def on(self) -> Int64[np.ndarray, " node"]:
        """Number of examples on which each node is on."""
        return self._on

    @cached_property
    def _on(self) -> Int64[np.ndarray, " node"]:
        on = np.empty(len(self.nodes), np.int64)
        for start in range(0, len(on), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            on[rows] = np.bitwise_count(self.words[rows]).sum(axis=1, dtype=np.int64)
        on.flags.writeable = False
        return on

    def with_concepts(self, frame: Any) -> BitMatrix:
        """Matrix with further nodes from the boolean columns of `frame`.

        `frame` is a DataFrame or a mapping from names to arrays, in the order of the examples. A concept is any boolean
        known of each example (its true label, an attribute); it is mined like a label. Raises BitsError, with the name
        of the column, for values that are not boolean, another number of rows, or a duplicate name.
        """
        added = concepts.columns(frame, self.examples, self.nodes.concepts)
        nodes = replace(self.nodes, concepts=(*self.nodes.concepts, *added))
        words = zeros(len(nodes), self.words.shape[1])
        words[: len(self.nodes)] = self.words
        for node, column in enumerate(added.values(), start=len(self.nodes)):
            pack(column[:, None], words[node : node + 1], 0)
        return replace(self, nodes=nodes, words=words)

    def save(self, path: str | os.PathLike[str], source: str = "") -> Path:
        """Path of the file written (format: `ndg.bits.file_format`), completely or not at all.

        `source` is any digest of the network and data. Raises OutputError if the file cannot be written.
        """
        from ndg.bits.file import save

        return save(self, path, source)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool | None = None) -> BitMatrix:
        """Bits of a file of `save` or `BitFile`, as a memory map.

        They are read once to compare them with their checksum; `verify=False` leaves that out. An unfinished file gives
        its committed examples, with a warning, and is refused by `verify=True`. Raises BitsError for a file that is
        damaged, truncated, or of another kind or version.
        """
        from ndg.bits.file import read

        return read(path, verify, partial=False)

    def __add__(self, other: BitMatrix) -> BitMatrix:
        """Examples of `self` followed by those of `other`."""
        if self.nodes != other.nodes:
            raise ShapeError(
                f"added examples must have the same nodes: expected {self.nodes}, got {other.nodes}; "
                "extract both with the same layers"
            )
        if not np.array_equal(self.thresholds, other.thresholds, equal_nan=True):
            raise ShapeError("added examples must have the same thresholds; extract the second with like=the first")
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

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify nodes and booleans."""
        state = hashlib.sha256(json.dumps([self.nodes.to_dict(), self.examples]).encode())
        for row in self.words:
            state.update(row.astype("<u8", copy=False).data)
        return state.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"BitMatrix({self.nodes.labels} labels, {self.nodes.neurons} neurons, {self.examples} examples)"


class BitMatrixBuilder(Builder):
    """Builder in memory, with room for `examples`; it grows by half."""

    def __init__(self, nodes: NodeSpace, examples: int = 0) -> None:
        super().__init__(nodes)
        self._words: Words | None = zeros(len(nodes), -(-examples // 64))

    def _room(self, examples: int) -> Words:
        if self._words is None:
            raise BitsError("a finished matrix cannot grow; start another builder and add the matrices")
        needed, before = -(-examples // 64), self._words.shape[1]
        if needed > before:
            grown = zeros(len(self.nodes), max(needed, before * 3 // 2))
            grown[:, :before] = self._words
            self._words = grown
        return self._words

    def finish(self, thresholds: Float64[np.ndarray, " neuron"], **facts: Any) -> BitMatrix:
        """Matrix of all appended batches; the builder accepts no more."""
        words = self._room(self.examples)[:, : -(-self.examples // 64)]
        self._words = None
        return BitMatrix(self.nodes, words, self.examples, np.asarray(thresholds, dtype=np.float64), **facts)


def concatenate(parts: Iterable[BitMatrix]) -> BitMatrix:
    """All examples of `parts`, with nodes and thresholds of the first."""
    parts = list(parts)
    first, examples = parts[0], 0
    words = zeros(len(first.nodes), -(-sum(part.examples for part in parts) // 64))
    for part in parts:
        place(part.words, words, examples)
        examples += part.examples
    correct = [part.correct for part in parts]
    return replace(
        first,
        words=words,
        examples=examples,
        correct=None if None in correct else sum(c or 0 for c in correct),
        sample=None if len(parts) > 1 else first.sample,
        network=network_of(parts),
    )


def network_of(parts: Iterable[BitMatrix]) -> str:
    """Common network of all `parts`; "" if none."""
    networks = {part.network for part in parts}
    return networks.pop() if len(networks) == 1 else ""
