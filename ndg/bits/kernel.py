"""Kernels that pack booleans and activations into 64-bit words, in one pass.

A task is a stripe of nodes over up to eight words, that is 512 examples. It builds its words in the first-level cache,
a byte from eight examples at a time, and stores one cache line per node. Tasks write disjoint words, so ranges of tasks
run on threads. Explicit signatures let the next process find the compiled code on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ndg.compiled import njit

STRIPE = 512  # nodes
GROUP = 8  # words

BOOLEANS = types.Array(types.uint8, 2, "C", readonly=True)
ACTIVATIONS = types.Array(types.float32, 2, "C", readonly=True)
ZEROS = types.Array(types.uint8, 1, "C", readonly=True)
CUTS = types.Array(types.float32, 1, "C", readonly=True)
WORDS = types.Array(types.uint64, 2, "A")
READ = types.Array(types.uint64, 2, "A", readonly=True)
BYTES = types.Array(types.uint8, 2, "C")
TILE = types.Array(types.uint64, 2, "C")
OPTIONS: Any = {"nogil": True, "boundscheck": False}


@njit(types.void(BYTES, TILE, types.int64, types.int64), **OPTIONS)
def _join(octets, tile, word, wide):
    """Join eight bytes of each node, the first lowest, to its word."""
    into = tile[word, :wide]
    b0, b1, b2, b3 = octets[0, :wide], octets[1, :wide], octets[2, :wide], octets[3, :wide]
    b4, b5, b6, b7 = octets[4, :wide], octets[5, :wide], octets[6, :wide], octets[7, :wide]
    for u in range(wide):
        low = np.uint32(b0[u]) | np.uint32(b1[u]) << 8 | np.uint32(b2[u]) << 16 | np.uint32(b3[u]) << 24
        high = np.uint32(b4[u]) | np.uint32(b5[u]) << 8 | np.uint32(b6[u]) << 16 | np.uint32(b7[u]) << 24
        into[u] = np.uint64(low) | np.uint64(high) << 32


@njit(types.void(TILE, WORDS, *[types.int64] * 5), **OPTIONS)
def _store(tile, words, node, wide, word, count, low_bits):
    """Store the words of a task, after the first `low_bits` bits."""
    mask = (np.uint64(1) << np.uint64(low_bits)) - np.uint64(1)
    for u in range(wide):
        words[node + u, word] = words[node + u, word] & mask | tile[0, u]
        for w in range(1, count):
            words[node + u, word + w] = tile[w, u]


def _pack(values, cuts, words, start, first, last):
    """Pack `values > cuts` from example `start` on, tasks `first` to `last`."""
    count, nodes = values.shape
    shift, origin = start % 64, start // 64
    blocks, stripes = (shift + count + 63) // 64, (nodes + STRIPE - 1) // STRIPE
    octets, tile = np.empty((8, STRIPE), np.uint8), np.empty((GROUP, STRIPE), np.uint64)
    for task in range(first, last):
        left, top = task % stripes * STRIPE, task // stripes * GROUP
        wide, high = min(STRIPE, nodes - left), min(GROUP, blocks - top)
        cut = cuts[left : left + wide]
        for block in range(high):
            for eighth in range(8):
                row = (top + block) * 64 + eighth * 8 - shift
                into = octets[eighth, :wide]
                if row >= 0 and row + 8 <= count:
                    x0, x1 = values[row, left : left + wide], values[row + 1, left : left + wide]
                    x2, x3 = values[row + 2, left : left + wide], values[row + 3, left : left + wide]
                    x4, x5 = values[row + 4, left : left + wide], values[row + 5, left : left + wide]
                    x6, x7 = values[row + 6, left : left + wide], values[row + 7, left : left + wide]
                    for u in range(wide):
                        into[u] = (
                            np.uint8(x0[u] > cut[u])
                            | np.uint8(x1[u] > cut[u]) << 1
                            | np.uint8(x2[u] > cut[u]) << 2
                            | np.uint8(x3[u] > cut[u]) << 3
                            | np.uint8(x4[u] > cut[u]) << 4
                            | np.uint8(x5[u] > cut[u]) << 5
                            | np.uint8(x6[u] > cut[u]) << 6
                            | np.uint8(x7[u] > cut[u]) << 7
                        )
                else:
                    into[:] = 0
                    for bit in range(max(0, -row), min(8, count - row)):
                        x = values[row + bit, left : left + wide]
                        for u in range(wide):
                            into[u] |= np.uint8(x[u] > cut[u]) << bit
            _join(octets, tile, block, wide)
        _store(tile, words, left, wide, origin + top, high, shift if top == 0 else 0)


def _compiled(values: Any, cuts: Any) -> Any:
    return njit(types.void(values, cuts, WORDS, types.int64, types.int64, types.int64), **OPTIONS)(_pack)


pack = _compiled(BOOLEANS, ZEROS)  # booleans are bytes above zero
above = _compiled(ACTIVATIONS, CUTS)


@njit(types.void(READ, WORDS, types.int64), **OPTIONS)
def place(source, words, start):
    """Copy the rows of `source` to `words` from bit `start` on."""
    rows, count = source.shape
    shift, origin, end = np.uint64(start % 64), start // 64, words.shape[1]
    mask, rest = (np.uint64(1) << shift) - np.uint64(1), np.uint64(64) - shift
    for i in range(rows):
        if shift == 0:
            for w in range(count):
                words[i, origin + w] = source[i, w]
        elif count:
            words[i, origin] = words[i, origin] & mask | source[i, 0] << shift
            for w in range(1, count):
                words[i, origin + w] = source[i, w - 1] >> rest | source[i, w] << shift
            if origin + count < end:
                words[i, origin + count] = source[i, count - 1] >> rest
