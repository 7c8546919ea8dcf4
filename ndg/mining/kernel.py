"""And-popcount kernel for tiles of pairs of packed rows.

Three rows by three columns stay in vector registers while their words stream past (`_common`). A carry-save adder adds
two vectors of common bits to the one bit held in each place, and only the carries are popcounted: three logical
instructions and half a popcount per vector. The outer loops keep a strip of rows and a panel of columns in the caches
of a core. Without AVX-512 the compiler splits the vectors, with the same counts.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ndg.compiled import njit

BLOCK = 3  # rows and columns in registers
LANES = 8  # 64-bit words in a vector
STEP = 2 * LANES  # words added at once
STRIP = 63  # rows of a task
PANEL = 126  # columns of a task
DEPTH = 1024  # words of a row read before the next rows; a panel of that depth is one megabyte

_ROWS = types.UniTuple(types.uintp, BLOCK)
_WORD, _INDEX, _FLAG = ir.IntType(64), ir.IntType(32), ir.IntType(1)
_VECTOR, _MASK = ir.VectorType(_WORD, LANES), ir.VectorType(_FLAG, LANES)
_ZERO, _ONES = ir.Constant(_VECTOR, [0] * LANES), ir.Constant(_VECTOR, [-1] * LANES)


@intrinsic
def _common(typingctx, rows, columns, words, out):
    """Write the common bits of three rows by three columns, by address."""

    def generate(context, builder, signature, arguments):
        rows, columns, words, out = arguments
        sides = [builder.extract_value(side, k) for side in (rows, columns) for k in range(BLOCK)]
        sides = [builder.inttoptr(address, _WORD.as_pointer()) for address in sides]
        out = builder.inttoptr(out, _WORD.as_pointer())
        vector = _VECTOR.as_pointer()

        def function(name, result, *parameters):
            kind = ir.FunctionType(result, parameters)
            return cgutils.get_or_insert_function(builder.module, kind, name)

        popcount = function(f"llvm.ctpop.v{LANES}i64", _VECTOR, _VECTOR)
        total = function(f"llvm.vector.reduce.add.v{LANES}i64", _WORD, _VECTOR)
        partial = function(f"llvm.masked.load.v{LANES}i64.p0", _VECTOR, vector, _INDEX, _MASK, _VECTOR)
        logic = _ternary if "+avx512f" in context.codegen().magic_tuple()[2].split(",") else _plain
        add_common, carry = logic(builder, function)

        def step(sums, load):
            """Counts of carries and held bits after two more vectors of each row."""
            first, second = ([load(side, half) for side in sides] for half in (0, 1))
            counts, held = [], []
            for i in range(BLOCK):
                for j in range(BLOCK):
                    count, before = sums[BLOCK * i + j], sums[BLOCK * (BLOCK + i) + j]
                    between = add_common(before, first[i], first[BLOCK + j])
                    after = add_common(between, second[i], second[BLOCK + j])
                    carries = builder.call(popcount, [carry(between, after, before)])
                    counts.append(builder.add(count, carries))
                    held.append(after)
            return counts + held

        def phis(kind, count, *incoming):
            made = [builder.phi(kind) for _ in range(count)]
            for values, block in incoming:
                for phi, value in zip(made, values, strict=True):
                    phi.add_incoming(value, block)
            return made

        def constant(value):
            return ir.Constant(_WORD, value)

        def place(side, start, half):
            word = builder.add(start, constant(half * LANES))
            return builder.bitcast(builder.gep(side, [word]), vector)

        # whole steps, then one masked step for the remaining words
        entry = builder.basic_block
        loop, ended, tail, done = (builder.append_basic_block(name) for name in ("loop", "ended", "tail", "done"))
        whole = builder.and_(words, constant(-STEP))
        zeros = [_ZERO] * (2 * BLOCK * BLOCK)
        builder.cbranch(builder.icmp_signed(">", whole, constant(0)), loop, ended)

        builder.position_at_end(loop)
        (word,) = phis(_WORD, 1, ([constant(0)], entry))
        sums = phis(_VECTOR, len(zeros), (zeros, entry))
        more = step(sums, lambda side, half: builder.load(place(side, word, half), align=8))
        following = builder.add(word, constant(STEP))
        word.add_incoming(following, loop)
        for phi, value in zip(sums, more, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, whole), loop, ended)

        builder.position_at_end(ended)
        sums = phis(_VECTOR, len(zeros), (zeros, entry), (more, loop))
        rest = builder.sub(words, whole)
        builder.cbranch(builder.icmp_signed(">", rest, constant(0)), tail, done)

        builder.position_at_end(tail)
        spread = builder.insert_element(_ZERO, rest, ir.Constant(_INDEX, 0))
        spread = builder.shuffle_vector(spread, _ZERO, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))
        lanes = [ir.Constant(_VECTOR, list(range(half * LANES, (half + 1) * LANES))) for half in (0, 1)]
        masks = [builder.icmp_signed("<", lane, spread) for lane in lanes]

        def load_tail(side, half):
            return builder.call(partial, [place(side, whole, half), ir.Constant(_INDEX, 8), masks[half], _ZERO])

        last = step(sums, load_tail)
        builder.branch(done)

        builder.position_at_end(done)
        sums = phis(_VECTOR, len(zeros), (sums, ended), (last, tail))
        for k, (carried, held) in enumerate(zip(sums[: BLOCK * BLOCK], sums[BLOCK * BLOCK :], strict=True)):
            counts = builder.add(builder.add(carried, carried), builder.call(popcount, [held]))
            builder.store(builder.call(total, [counts]), builder.gep(out, [constant(k)]))
        return context.get_dummy_value()

    return types.void(_ROWS, _ROWS, types.int64, types.uintp), generate


def _plain(builder, function):
    """Plain logic for held bits and the carry of a full adder."""

    def carry(between, after, before):
        kept = builder.and_(builder.xor(between, _ONES), before)
        return builder.or_(builder.and_(between, builder.xor(after, _ONES)), kept)

    return lambda held, a, b: builder.xor(held, builder.and_(a, b)), carry


def _ternary(builder, function):
    """The same by one AVX-512 instruction each, with a truth table."""
    instruction = function("llvm.x86.avx512.pternlog.q.512", _VECTOR, _VECTOR, _VECTOR, _VECTOR, _INDEX)

    def logic(rule):
        table = sum(rule(n >> 2 & 1, n >> 1 & 1, n & 1) << n for n in range(8))
        return lambda *inputs: builder.call(instruction, [*inputs, ir.Constant(_INDEX, table)])

    return logic(lambda held, a, b: held ^ (a & b)), logic(lambda between, after, before: [before, 1 - after][between])


common: Any = _common  # numba passes the typing context itself
PACKED = types.Array(types.uint64, 2, "A", readonly=True)
TILE = types.Array(types.int64, 2, "C")


@njit(types.void(PACKED, PACKED, types.int64, TILE), parallel=True, boundscheck=False)
def count_tile(rows, columns, shift, both):
    """Add common bits of rows and columns to `both`, for i < j + `shift`."""
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
                for j in range(left, right, BLOCK):
                    if i >= min(j + BLOCK, right) - 1 + shift:
                        continue
                    b0 = column_start + j * column_step + 8 * word
                    b1 = column_start + min(j + 1, right - 1) * column_step + 8 * word
                    b2 = column_start + min(j + 2, right - 1) * column_step + 8 * word
                    common((a0, a1, a2), (b0, b1, b2), depth, out.ctypes.data)
                    for k in range(min(BLOCK, bottom - i)):
                        for m in range(min(BLOCK, right - j)):
                            both[i + k, j + m] += out[BLOCK * k + m]
