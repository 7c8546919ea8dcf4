"""Sifting: find the pairs of a tile that can satisfy a criterion.

Nearly all pairs fail. This compiled code judges a criterion's sieve (`criteria.sieve`), a necessary condition, on every
pair; the criterion itself judges the rest. The kind of a pair is `2 p + q`, with the truth values p and q of the row's
and the column's literal in the implication row -> column.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types

from ndg.compiled import njit
from ndg.mining.criteria.sieve import SLACK

OPTIONS: Any = {"boundscheck": False}
_SIDE = types.Array(types.float64, 2, "C", readonly=True)
_PASSED = types.Array(types.uint8, 2, "C")
_PASSED_IN = types.Array(types.uint8, 2, "C", readonly=True)
_TILE_IN = types.Array(types.int64, 2, "C", readonly=True)
_COUNTS = types.Array(types.int64, 1, "C")
_COUNTS_IN = types.Array(types.int64, 1, "C", readonly=True)
_CODES = types.Array(types.int32, 1, "C")


@njit(
    types.void(_TILE_IN, _SIDE, _SIDE, types.int64, types.UniTuple(types.float64, 4), _PASSED, _COUNTS),
    parallel=True,
    **OPTIONS,
)
def sift(both, rows, columns, shift, sieve, passed, row_counts):
    """Set bit `kind` of `passed[i, j]` if it passes the sieve.

    `row_counts[i]` counts the bits of a row. `rows[v, i]` and `columns[v, j]` are the examples on which the node has
    the value v, NaN for a constant node. `sieve` is (product / n, floor, margin, support). Pairs with i >= j + `shift`
    are left out.
    """
    product, floor, margin, support = sieve
    product, margin = product * (1 + SLACK), margin * (1 + SLACK)
    width = both.shape[1]
    for i in numba.prange(both.shape[0]):
        off, on = rows[0, i], rows[1, i]
        slope_off, slope_on = product * off, product * on
        limit_off, limit_on = margin * off + SLACK, margin * on + SLACK
        # smallest n(~q) that meets floor and support, given n(p)
        least_off = max(support, floor / slope_off * (1 - SLACK)) if off >= support and slope_off > 0 else np.inf
        least_on = max(support, floor / slope_on * (1 - SLACK)) if on >= support and slope_on > 0 else np.inf
        first = max(0, i - shift + 1)
        passed[i, :first] = 0
        count = 0
        for j in range(first, width):
            common, column_off, column_on = np.float64(both[i, j]), columns[0, j], columns[1, j]
            margin_off, margin_on = margin * column_off + SLACK, margin * column_on + SLACK
            on_on = (on - common <= min(slope_on * column_off, min(limit_on, margin_off))) & (column_off >= least_on)
            on_off = (common <= min(slope_on * column_on, min(limit_on, margin_on))) & (column_on >= least_on)
            off_on = (off - column_on + common <= min(slope_off * column_off, min(limit_off, margin_off))) & (
                column_off >= least_off
            )
            off_off = (column_on - common <= min(slope_off * column_on, min(limit_off, margin_on))) & (
                column_on >= least_off
            )
            bits = (8 if on_on else 0) | (4 if on_off else 0) | (2 if off_on else 0) | (1 if off_off else 0)
            passed[i, j] = bits
            count |= bits
        if count:
            count = 0
            for j in range(first, width):
                count += (passed[i, j] >> 3) + (passed[i, j] >> 2 & 1) + (passed[i, j] >> 1 & 1) + (passed[i, j] & 1)
        row_counts[i] = count


@njit(types.void(_TILE_IN, _PASSED_IN, _COUNTS_IN, _CODES, _CODES, _COUNTS), parallel=True, **OPTIONS)
def collect(both, passed, starts, pairs, kinds, common):
    """Write the passing pairs `row * width + column`, their kinds and counts."""
    width = passed.shape[1]
    for i in numba.prange(passed.shape[0]):
        place = starts[i]
        if place == starts[i + 1]:
            continue
        for j in range(width):
            if passed[i, j]:
                for kind in range(4):
                    if passed[i, j] >> kind & 1:
                        pairs[place] = i * width + j
                        kinds[place] = kind
                        common[place] = both[i, j]
                        place += 1


_ANY = types.Array(types.int32, 1, "C", readonly=True)


@njit(_COUNTS(_ANY, _ANY, types.int64), **OPTIONS)
def _starts(codes, negated, literals):
    """Start of each literal in a sort by `codes` and the negations of `negated`."""
    starts = np.zeros(literals + 1, np.int64)
    for edge in range(len(codes)):
        starts[codes[edge] + 1] += 1
        starts[(negated[edge] ^ 1) + 1] += 1
    for code in range(literals):
        starts[code + 1] += starts[code]
    return starts


@njit(types.void(_ANY, _ANY, _COUNTS_IN, types.int64, _CODES, _CODES, _COUNTS), **OPTIONS)
def arrange(antecedents, consequents, exceptions, literals, tails, heads, counts):
    """Write all implications and contrapositives, sorted by two counting sorts."""
    size = len(antecedents)
    ends = _starts(consequents, antecedents, literals)
    order = np.empty(2 * size, np.int64)  # by consequent: edge, or size + edge for a contrapositive
    for edge in range(size):
        order[ends[consequents[edge]]] = edge
        ends[consequents[edge]] += 1
        order[ends[antecedents[edge] ^ 1]] = size + edge
        ends[antecedents[edge] ^ 1] += 1
    ends = _starts(antecedents, consequents, literals)
    for place in range(2 * size):
        edge = order[place]
        if edge < size:
            tail, head = antecedents[edge], consequents[edge]
        else:
            edge -= size
            tail, head = consequents[edge] ^ 1, antecedents[edge] ^ 1
        tails[ends[tail]], heads[ends[tail]], counts[ends[tail]] = tail, head, exceptions[edge]
        ends[tail] += 1
