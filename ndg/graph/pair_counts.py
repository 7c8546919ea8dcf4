"""Compiled and-popcounts of pairs of packed rows in the cache."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

PACKED = types.Array(types.uint64, 2, "C", readonly=True)
NUMBERS = types.Array(types.int64, 1, "C", readonly=True)
COUNTS = types.Array(types.int64, 1, "C")
TILE = types.Array(types.int64, 2, "C")
OPTIONS: Any = {"cache": True, "nogil": True, "boundscheck": False}


@intrinsic
def _popcount(typingctx, word):
    """Number of set bits of a 64-bit word."""

    def generate(context, builder, signature, arguments):
        kind = ir.IntType(64)
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [kind]), arguments)

    return types.int64(types.uint64), generate


popcount: Any = _popcount  # numba passes the typing context itself


@numba.njit(types.void(PACKED, NUMBERS, NUMBERS, COUNTS), **OPTIONS)
def add_common(words, first, second, counts):
    """Add the common set bits of each pair of rows to `counts`."""
    for pair in range(len(first)):
        i, j = first[pair], second[pair]
        common = np.int64(0)
        for word in range(words.shape[1]):
            common += popcount(words[i, word] & words[j, word])
        counts[pair] += common


@numba.njit(types.void(PACKED, PACKED, TILE), **OPTIONS)
def add_unlike(rows, columns, counts):
    """Add the number of bits that differ, rows by columns, to `counts`."""
    for i in range(rows.shape[0]):
        for j in range(columns.shape[0]):
            unlike = np.int64(0)
            for word in range(rows.shape[1]):
                unlike += popcount(rows[i, word] ^ columns[j, word])
            counts[i, j] += unlike
