"""And-popcount of packed rows: how often two nodes are on together, for a tile of pairs.

Four rows by four columns stay in sixteen vector registers while their words stream past (`_together`). The loops around
it keep a strip of rows and a panel of columns in the caches of a core, so that the speed is that of the popcounts and
not of the memory. The vectors are those of LLVM: on a machine with AVX-512 each step is three instructions, on others
the compiler splits it, and the counts are the same. One explicit signature, so that the next process finds the compiled
code on disk.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BLOCK = 4  # rows and columns in registers
LANES = 8  # 64-bit words in a vector
STRIP = 64  # rows of a task
PANEL = 256  # columns of a task
DEPTH = 512  # words of a row that are read before the next rows; a panel of that depth is one megabyte

_ROWS = types.UniTuple(types.uintp, BLOCK)
_WORD, _INDEX, _FLAG = ir.IntType(64), ir.IntType(32), ir.IntType(1)
_VECTOR, _MASK = ir.VectorType(_WORD, LANES), ir.VectorType(_FLAG, LANES)


@intrinsic
def _common(typingctx, rows, columns, words, out):
    """Write the common set bits of four rows (addresses) with four columns, over `words` words, to `out` (address)."""

    def generate(context, builder, signature, arguments):
        rows, columns, words, out = arguments
        zero, undefined = ir.Constant(_VECTOR, [0] * LANES), ir.Constant(_VECTOR, ir.Undefined)
        sides = [builder.extract_value(side, k) for side in (rows, columns) for k in range(BLOCK)]
        sides = [builder.inttoptr(address, _WORD.as_pointer()) for address in sides]
        out = builder.inttoptr(out, _WORD.as_pointer())

        def function(name, result, *parameters):
            kind = ir.FunctionType(result, parameters)
            return cgutils.get_or_insert_function(builder.module, kind, name)

        popcount = function(f"llvm.ctpop.v{LANES}i64", _VECTOR, _VECTOR)
        total = function(f"llvm.vector.reduce.add.v{LANES}i64", _WORD, _VECTOR)
        address = _VECTOR.as_pointer()
        partial = function(f"llvm.masked.load.v{LANES}i64.p0", _VECTOR, address, _INDEX, _MASK, _VECTOR)

        def step(sums, load):
            values = [load(side) for side in sides]
            pairs = [(a, b) for a in values[:BLOCK] for b in values[BLOCK:]]
            both = [builder.call(popcount, [builder.and_(a, b)]) for a, b in pairs]
            return [builder.add(s, more) for s, more in zip(sums, both, strict=True)]

        def phis(kind, count, *incoming):
            made = [builder.phi(kind) for _ in range(count)]
            for values, block in incoming:
                for phi, value in zip(made, values, strict=True):
                    phi.add_incoming(value, block)
            return made

        def constant(value):
            return ir.Constant(_WORD, value)

        # whole vectors, then one masked vector for the words that are left
        entry = builder.basic_block
        loop, ended, tail, done = (builder.append_basic_block(name) for name in ("loop", "ended", "tail", "done"))
        whole = builder.and_(words, constant(-LANES))
        zeros = [zero] * BLOCK * BLOCK
        builder.cbranch(builder.icmp_signed(">", whole, constant(0)), loop, ended)

        builder.position_at_end(loop)
        (word,) = phis(_WORD, 1, ([constant(0)], entry))
        sums = phis(_VECTOR, len(zeros), (zeros, entry))
        more = step(sums, lambda side: builder.load(builder.bitcast(builder.gep(side, [word]), address), align=8))
        following = builder.add(word, constant(LANES))
        word.add_incoming(following, loop)
        for phi, value in zip(sums, more, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, whole), loop, ended)

        builder.position_at_end(ended)
        sums = phis(_VECTOR, len(zeros), (zeros, entry), (more, loop))
        rest = builder.sub(words, whole)
        builder.cbranch(builder.icmp_signed(">", rest, constant(0)), tail, done)

        builder.position_at_end(tail)
        spread = builder.insert_element(undefined, rest, ir.Constant(_INDEX, 0))
        spread = builder.shuffle_vector(spread, undefined, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))
        mask = builder.icmp_signed("<", ir.Constant(_VECTOR, list(range(LANES))), spread)

        def load_tail(side):
            place = builder.bitcast(builder.gep(side, [whole]), address)
            return builder.call(partial, [place, ir.Constant(_INDEX, 8), mask, zero])

        last = step(sums, load_tail)
        builder.branch(done)

        builder.position_at_end(done)
        for k, value in enumerate(phis(_VECTOR, len(zeros), (sums, ended), (last, tail))):
            builder.store(builder.call(total, [value]), builder.gep(out, [constant(k)]))
        return context.get_dummy_value()

    return types.void(_ROWS, _ROWS, types.int64, types.uintp), generate


common: Any = _common  # numba passes the typing context itself
PACKED = types.Array(types.uint64, 2, "A", readonly=True)
TILE = types.Array(types.int64, 2, "C")


@numba.njit(types.void(PACKED, PACKED, types.int64, TILE), parallel=True, cache=True, boundscheck=False)
def count_tile(rows, columns, shift, both):
    """Add to `both` the number of common set bits of row i with row j of `columns`, where i < j + `shift`.

    Other pairs may be counted or not. The words of one row must lie side by side.
    """
    height, width, words = rows.shape[0], columns.shape[0], rows.shape[1]
    strips, panels = -(-height // STRIP), -(-width // PANEL)
    row_start, row_step = rows.ctypes.data, rows.strides[0]
    column_start, column_step = columns.ctypes.data, columns.strides[0]
    for task in numba.prange(strips * panels):
        turn, panel = task // panels, task % panels
        strip = turn // 2 if turn % 2 == 0 else strips - 1 - turn // 2  # work near a diagonal is uneven: mix it
        top, left = strip * STRIP, panel * PANEL
        bottom, right = min(top + STRIP, height), min(left + PANEL, width)
        if top >= right - 1 + shift:
            continue
        out = np.empty(BLOCK * BLOCK, np.int64)
        for word in range(0, words, DEPTH):
            depth = min(DEPTH, words - word)
            for i in range(top, bottom, BLOCK):
                a0, a1 = row_start + i * row_step + 8 * word, row_start + min(i + 1, bottom - 1) * row_step + 8 * word
                a2 = row_start + min(i + 2, bottom - 1) * row_step + 8 * word
                a3 = row_start + min(i + 3, bottom - 1) * row_step + 8 * word
                for j in range(left, right, BLOCK):
                    if i >= min(j + BLOCK, right) - 1 + shift:
                        continue
                    b0 = column_start + j * column_step + 8 * word
                    b1 = column_start + min(j + 1, right - 1) * column_step + 8 * word
                    b2 = column_start + min(j + 2, right - 1) * column_step + 8 * word
                    b3 = column_start + min(j + 3, right - 1) * column_step + 8 * word
                    common((a0, a1, a2, a3), (b0, b1, b2, b3), depth, out.ctypes.data)
                    for k in range(min(BLOCK, bottom - i)):
                        for m in range(min(BLOCK, right - j)):
                            both[i + k, j + m] += out[BLOCK * k + m]
