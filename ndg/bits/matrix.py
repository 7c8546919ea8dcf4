"""Packed booleans of nodes over examples, eight million to a megabyte."""

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
from jaxtyping import Bool, Float64, Int64, UInt64

from ndg.bits import concepts
from ndg.bits.builder import Builder
from ndg.bits.packing import pack, place, tail_mask, unpack, zeros
from ndg.errors import BitsError, ShapeError
from ndg.nodes import NodeSpace

Words = UInt64[np.ndarray, "node word"]
ROWS_AT_ONCE = 256
NETWORK_DIGITS = 16


@dataclass(frozen=True)
class Sample:
    """Examples that were chosen by `seed` out of `of`."""

    seed: int
    of: int


@dataclass(frozen=True, eq=False)
class BitMatrix:
    """One row of 64-bit words per node; bit j of word w of a row belongs to example `64 * w + j`.

    Bits past the last example are zero. `words` may be part of a larger array, also of one that lies in a file, as long
    as the words of a row follow each other. `thresholds` holds, for each neuron, the activation above which it is on; a
    second set of examples is binarised alike by passing this matrix (or its graph) as `like`. `correct` counts the
    examples of the loader whose predicted label was the true one, where true labels were given; where tokens are
    examples here, the loader's are fewer. `sample` says how the examples were chosen where they are not all. `network`
    is the digest of the weights that gave the bits, "" where no one network is known to have given them all; equality
    and `digest` are of the bits alone.
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
                f"packed words have the shape (nodes, examples / 64): expected {expected}, got {self.words.shape}"
            )
        if self.words.shape[1] > 1 and self.words.strides[1] != 8:
            raise BitsError(
                f"the words of a row follow each other, 8 bytes apart; got {self.words.strides[1]}; pass "
                "np.ascontiguousarray(words)"
            )
        if self.thresholds.shape != (self.nodes.neurons,):
            raise BitsError(f"one threshold per neuron: expected {self.nodes.neurons}, got {self.thresholds.shape}")
        if self.examples % 64 and (self.words[:, -1] & ~tail_mask(self.examples)).any():
            raise BitsError(f"bits past example {self.examples} must be zero; pack with BitMatrix.from_bool")
        if self.network and not re.fullmatch(f"[0-9a-f]{{{NETWORK_DIGITS}}}", self.network):
            raise BitsError(
                f"the network of bits is told by {NETWORK_DIGITS} hexadecimal digits of its weights; got "
                f"{self.network!r}; take ndg.activations.digest.weights_digest(model), or leave it out"
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
        """The packed form of booleans, one row per example and one column per node."""
        builder = BitMatrixBuilder(nodes, len(values))
        builder.append(values)
        return builder.finish(np.full(nodes.neurons, np.nan) if thresholds is None else thresholds, **facts)

    def to_bool(self, layer: str | None = None) -> Bool[np.ndarray, "example node"]:
        """Plain booleans of all nodes, or of one layer (`label` for the labels, `concept` for the concepts)."""
        rows = slice(None) if layer is None else self.nodes.slice(layer)
        return np.ascontiguousarray(unpack(self.words[rows], self.examples).T)

    def on(self) -> Int64[np.ndarray, " node"]:
        """Examples on which each node is on."""
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
        """These bits and, as nodes after them, the boolean columns of a DataFrame, or of a mapping of names to arrays.

        A concept is any boolean that is known of each example (its true label, an attribute, a token present), in the
        order of the examples. It is mined as a label is. The packed words are copied.

        Raises BitsError, naming the column, for values that are not boolean, another number of rows, or a name twice.
        """
        added = concepts.columns(frame, self.examples, self.nodes.concepts)
        nodes = replace(self.nodes, concepts=(*self.nodes.concepts, *added))
        words = zeros(len(nodes), self.words.shape[1])
        words[: len(self.nodes)] = self.words
        for node, column in enumerate(added.values(), start=len(self.nodes)):
            pack(column[:, None], words[node : node + 1], 0)
        return replace(self, nodes=nodes, words=words)

    def save(self, path: str | os.PathLike[str], source: str = "") -> Path:
        """The path of the file written (`ndg.bits.file_format` has its form); it is there whole or not at all.

        `source` is any digest of the network and data. Raises OutputError where it cannot be written.
        """
        from ndg.bits.file import save

        return save(self, path, source)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = False) -> BitMatrix:
        """The bits in a file of `save` or of a `BitFile`, read from there as they are used.

        Of a file that is not finished, these are the examples that were committed, with a warning. With `verify`, all
        bits are read once and compared with the digest in the file. Raises BitsError for a file that is damaged, cut
        short, of another kind or of another version.
        """
        from ndg.bits.file import read

        return read(path, verify, partial=False)

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

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of the nodes and the booleans."""
        state = hashlib.sha256(json.dumps([self.nodes.to_dict(), self.examples]).encode())
        for row in self.words:
            state.update(row.astype("<u8", copy=False).data)
        return state.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"BitMatrix({self.nodes.labels} labels, {self.nodes.neurons} neurons, {self.examples} examples)"


class BitMatrixBuilder(Builder):
    """Packs batches in memory, which holds `examples` examples at the start and grows by half as needed."""

    def __init__(self, nodes: NodeSpace, examples: int = 0) -> None:
        super().__init__(nodes)
        self._words: Words | None = zeros(len(nodes), -(-examples // 64))

    def _room(self, examples: int) -> Words:
        if self._words is None:
            raise BitsError("a finished matrix does not grow; start another builder and add the matrices")
        needed, before = -(-examples // 64), self._words.shape[1]
        if needed > before:
            grown = zeros(len(self.nodes), max(needed, before * 3 // 2))
            grown[:, :before] = self._words
            self._words = grown
        return self._words

    def finish(self, thresholds: Float64[np.ndarray, " neuron"], **facts: Any) -> BitMatrix:
        """The matrix of all batches appended so far; the builder takes no more."""
        words = self._room(self.examples)[:, : -(-self.examples // 64)]
        self._words = None
        return BitMatrix(self.nodes, words, self.examples, np.asarray(thresholds, dtype=np.float64), **facts)


def concatenate(parts: Iterable[BitMatrix]) -> BitMatrix:
    """All examples of `parts`, in order; nodes and thresholds are those of the first, the network that of them all."""
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
    """The network that gave all of `parts`; "" where they are of several, or one of them does not say."""
    networks = {part.network for part in parts}
    return networks.pop() if len(networks) == 1 else ""
