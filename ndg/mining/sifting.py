"""From counts to candidates: which pairs of a tile can satisfy a criterion, and the order of what was found.

Nearly all pairs fail. A criterion's sieve (`criteria.sieve`), a necessary condition, is judged here in compiled code on
every pair; the criterion itself judges what passes. A kind of pair is coded `2 p + q`: p and q are the truth values of
the row's and of the column's literal in the implication row -> column.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from ndg.mining.criteria.sieve import SLACK

_SIDE = types.Array(types.float64, 2, "C", readonly=True)
_HELD = types.Array(types.uint8, 2, "C")
_HELD_IN = types.Array(types.uint8, 2, "C", readonly=True)
_TILE_IN = types.Array(types.int64, 2, "C", readonly=True)
_COUNTS = types.Array(types.int64, 1, "C")
_COUNTS_IN = types.Array(types.int64, 1, "C", readonly=True)
_CODES = types.Array(types.int32, 1, "C")


@numba.njit(
    types.void(_TILE_IN, _SIDE, _SIDE, types.int64, types.UniTuple(types.float64, 4), _HELD, _COUNTS),
    parallel=True,
    cache=True,
    boundscheck=False,
)
def sift(both, rows, columns, shift, sieve, held, hits):
    """Set bit `kind` of `held[i, j]` where that kind of pair passes the sieve; `hits[i]` counts them.

    `rows[v, i]` and `columns[v, j]` are the examples on which the node has the value v, NaN for a node that takes part
    in nothing. `sieve` is (product / n, floor, margin, support). Pairs with i >= j + `shift` are left out.
    """
    product, floor, margin, support = sieve
    product, margin = product * (1 + SLACK), margin * (1 + SLACK)
    width = both.shape[1]
    for i in numba.prange(both.shape[0]):
        off, on = rows[0, i], rows[1, i]
        slope_off, slope_on = product * off, product * on
        limit_off, limit_on = margin * off + SLACK, margin * on + SLACK
        # the least n(~q) that meets floor and support, given n(p)
        least_off = max(support, floor / slope_off * (1 - SLACK)) if off >= support and slope_off > 0 else np.inf
        least_on = max(support, floor / slope_on * (1 - SLACK)) if on >= support and slope_on > 0 else np.inf
        first = max(0, i - shift + 1)
        held[i, :first] = 0
        found = 0
        for j in range(first, width):
            together, column_off, column_on = np.float64(both[i, j]), columns[0, j], columns[1, j]
            margin_off, margin_on = margin * column_off + SLACK, margin * column_on + SLACK
            on_on = (on - together <= min(slope_on * column_off, min(limit_on, margin_off))) & (column_off >= least_on)
            on_off = (together <= min(slope_on * column_on, min(limit_on, margin_on))) & (column_on >= least_on)
            off_on = (off - column_on + together <= min(slope_off * column_off, min(limit_off, margin_off))) & (
                column_off >= least_off
            )
            off_off = (column_on - together <= min(slope_off * column_on, min(limit_off, margin_on))) & (
                column_on >= least_off
            )
            bits = (8 if on_on else 0) | (4 if on_off else 0) | (2 if off_on else 0) | (1 if off_off else 0)
            held[i, j] = bits
            found |= bits
        if found:
            found = 0
            for j in range(first, width):
                found += (held[i, j] >> 3) + (held[i, j] >> 2 & 1) + (held[i, j] >> 1 & 1) + (held[i, j] & 1)
        hits[i] = found


@numba.njit(
    types.void(_TILE_IN, _HELD_IN, _COUNTS_IN, _CODES, _CODES, _COUNTS),
    parallel=True,
    cache=True,
    boundscheck=False,
)
def collect(both, held, starts, pairs, kinds, together):
    """Write the pairs that passed, as `row * width + column`, their kinds and counts, each row from its start on."""
    width = held.shape[1]
    for i in numba.prange(held.shape[0]):
        place = starts[i]
        if place == starts[i + 1]:
            continue
        for j in range(width):
            if held[i, j]:
                for kind in range(4):
                    if held[i, j] >> kind & 1:
                        pairs[place] = i * width + j
                        kinds[place] = kind
                        together[place] = both[i, j]
                        place += 1


_ANY = types.Array(types.int32, 1, "C", readonly=True)


@numba.njit(types.void(_ANY, _ANY, _COUNTS_IN, types.int64, _CODES, _CODES, _COUNTS), cache=True, boundscheck=False)
def arrange(antecedents, consequents, exceptions, literals, tails, heads, counts):
    """Write every implication and its contrapositive, sorted by antecedent and consequent: two counting sorts.

    The contrapositives sorted by (antecedent, consequent) are the implications sorted by (consequent, antecedent), all
    literals negated, so one pass by consequent prepares both.
    """
    size = len(antecedents)
    ends = np.zeros(literals + 1, np.int64)
    for edge in range(size):
        ends[consequents[edge] + 1] += 1
        ends[(antecedents[edge] ^ 1) + 1] += 1
    for code in range(literals):
        ends[code + 1] += ends[code]
    order = np.empty(2 * size, np.int64)  # edge, and size + edge for its contrapositive, by consequent
    for edge in range(size):
        order[ends[consequents[edge]]] = edge
        ends[consequents[edge]] += 1
        order[ends[antecedents[edge] ^ 1]] = size + edge
        ends[antecedents[edge] ^ 1] += 1
    ends[:] = 0
    for edge in range(size):
        ends[antecedents[edge] + 1] += 1
        ends[(consequents[edge] ^ 1) + 1] += 1
    for code in range(literals):
        ends[code + 1] += ends[code]
    for place in range(2 * size):
        edge = order[place]
        if edge < size:
            tail, head = antecedents[edge], consequents[edge]
        else:
            edge -= size
            tail, head = consequents[edge] ^ 1, antecedents[edge] ^ 1
        tails[ends[tail]], heads[ends[tail]], counts[ends[tail]] = tail, head, exceptions[edge]
        ends[tail] += 1
