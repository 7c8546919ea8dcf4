"""Resampled, re-paired and permuted examples of bit matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from ndg import seeds
from ndg.bits.matrix import BitMatrix
from ndg.bits.packing import unpack, zeros
from ndg.errors import BitsError
from ndg.nodes import LABEL

ROWS_AT_ONCE = 64

Order = Int64[np.ndarray, " chosen"]


def take(bits: BitMatrix, numbers: Order) -> BitMatrix:
    """Examples by number, with repetition; BitsError for unknown numbers."""
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < bits.examples):
        raise BitsError(
            f"examples are numbered 0 to {bits.examples - 1}; got {numbers.min()} to {numbers.max()}; take numbers "
            "below len(bits)"
        )
    words = zeros(len(bits.nodes), -(-len(numbers) // 64))
    for rows in _blocks(len(bits.nodes)):
        words[rows] = _packed(unpack(bits.words[rows], bits.examples)[:, numbers])
    return replace(bits, words=words, examples=len(numbers), correct=None, sample=None)


def paired_anew(bits: BitMatrix, seed: int) -> BitMatrix:
    """Examples permuted by one drawn cycle, so that none stays."""
    if bits.examples < 2:
        raise BitsError(f"pairing each example with another one needs at least 2; got {bits.examples}; extract more")
    order = _order(seed, "paired anew", bits.examples)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, -1)
    return take(bits, partner)


def shuffled_labels(bits: BitMatrix, seed: int) -> BitMatrix:
    """Bits whose label rows are permuted together over the examples."""
    labels, words = bits.nodes.slice(LABEL), zeros(*bits.words.shape)
    words[:] = bits.words
    if bits.nodes.labels:
        order = _order(seed, "shuffled labels", bits.examples)
        words[labels] = _packed(unpack(bits.words[labels], bits.examples)[:, order])
    return replace(bits, words=words, correct=None)


def independent(bits: BitMatrix, seed: int) -> BitMatrix:
    """Independent nodes with the same frequencies: a control for chance.

    The examples are permuted, then each node is rotated by its own offset, all labels by one, so an example has one.
    """
    order = _order(seed, "independent", bits.examples)
    starts = seeds.generator(seed, "independent").integers(0, max(bits.examples, 1), len(bits.nodes))
    starts[bits.nodes.slice(LABEL)] = 0
    words = zeros(*bits.words.shape)
    for rows in _blocks(len(bits.nodes)):
        values = unpack(bits.words[rows], bits.examples)[:, order]
        for row, start in zip(values, starts[rows], strict=True):
            row[:] = np.roll(row, start)
        words[rows] = _packed(values)
    return replace(bits, words=words, correct=None)


def bootstrapped(seed: int, number: int, examples: int) -> Order:
    """Numbers of examples drawn with replacement, for one resample."""
    places = np.arange(examples, dtype=np.int64)
    draws = seeds.words(seed, "bootstrap", number, examples=places, draws=1)[:, 0]
    return (draws % np.uint64(max(examples, 1))).astype(np.int64)


def _order(seed: int, purpose: str, examples: int) -> Order:
    draws = seeds.words(seed, purpose, examples=np.arange(examples, dtype=np.int64), draws=1)[:, 0]
    return np.argsort(draws, kind="stable").astype(np.int64)


def _blocks(nodes: int) -> list[slice]:
    return [slice(start, min(start + ROWS_AT_ONCE, nodes)) for start in range(0, nodes, ROWS_AT_ONCE)]


def _packed(values: Bool[np.ndarray, "node example"]) -> UInt64[np.ndarray, "node word"]:
    raw = np.packbits(values, axis=1, bitorder="little")
    whole = np.zeros((len(values), 8 * -(-values.shape[1] // 64)), np.uint8)
    whole[:, : raw.shape[1]] = raw
    return whole.view("<u8").astype(np.uint64, copy=False)
