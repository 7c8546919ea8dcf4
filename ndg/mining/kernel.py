"""And-popcount of packed rows: how often two nodes are on together, for a tile of pairs.

Blocks of four rows by four columns stay in registers while the words stream past; the compiler turns the inner loop
into vector and-popcounts where the machine has them. One explicit signature, so that the compiled code is found on disk
by the next process.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK = 4


@intrinsic
def _popcount(typingctx, word):
    """Number of set bits of a 64-bit word."""

    def generate(context, builder, signature, arguments):
        kind = ir.IntType(64)
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [kind]), arguments)

    return types.int64(types.uint64), generate


popcount: Any = _popcount  # numba passes the typing context itself
PACKED = types.Array(types.uint64, 2, "C", readonly=True)
TILE = types.Array(types.int64, 2, "C")


@numba.njit(types.void(PACKED, PACKED, TILE), parallel=True, cache=True, boundscheck=False)
def count_tile(rows, columns, both):
    """Write the number of common set bits of every row of `rows` with every row of `columns` to `both`."""
    height, width, words = rows.shape[0], columns.shape[0], rows.shape[1]
    whole_height, whole_width = height // BLOCK * BLOCK, width // BLOCK * BLOCK
    for block in numba.prange(-(-height // BLOCK)):
        i = block * BLOCK
        if i < whole_height:
            for j in range(0, whole_width, BLOCK):
                s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = np.int64(0)
                s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = np.int64(0)
                for w in range(words):
                    a0, a1, a2, a3 = rows[i, w], rows[i + 1, w], rows[i + 2, w], rows[i + 3, w]
                    b0, b1, b2, b3 = columns[j, w], columns[j + 1, w], columns[j + 2, w], columns[j + 3, w]
                    s00 += popcount(a0 & b0)
                    s01 += popcount(a0 & b1)
                    s02 += popcount(a0 & b2)
                    s03 += popcount(a0 & b3)
                    s10 += popcount(a1 & b0)
                    s11 += popcount(a1 & b1)
                    s12 += popcount(a1 & b2)
                    s13 += popcount(a1 & b3)
                    s20 += popcount(a2 & b0)
                    s21 += popcount(a2 & b1)
                    s22 += popcount(a2 & b2)
                    s23 += popcount(a2 & b3)
                    s30 += popcount(a3 & b0)
                    s31 += popcount(a3 & b1)
                    s32 += popcount(a3 & b2)
                    s33 += popcount(a3 & b3)
                both[i, j], both[i, j + 1], both[i, j + 2], both[i, j + 3] = s00, s01, s02, s03
                both[i + 1, j], both[i + 1, j + 1], both[i + 1, j + 2], both[i + 1, j + 3] = s10, s11, s12, s13
                both[i + 2, j], both[i + 2, j + 1], both[i + 2, j + 2], both[i + 2, j + 3] = s20, s21, s22, s23
                both[i + 3, j], both[i + 3, j + 1], both[i + 3, j + 2], both[i + 3, j + 3] = s30, s31, s32, s33
        for k in range(i, min(i + BLOCK, height)):
            for j in range(whole_width if i < whole_height else 0, width):
                s = np.int64(0)
                for w in range(words):
                    s += popcount(rows[k, w] & columns[j, w])
                both[k, j] = s
