"""Lower tails of the hypergeometric distribution: the chance of so few exceptions.

Of n examples n(p) are drawn and n(~q) are marked; X counts those with both if p and q are independent. The one-sided
p-value of `exceptions` is P(X <= exceptions) (Fisher 1922). It is symmetric in the two margins, bit for bit.

The probability of one count follows Loader 2000: deviances of the four cells from their expectations and the errors of
Stirling's formula, so no large numbers cancel, as they do between logarithms of factorials. The deviation `exceptions -
n(p) n(~q) / n` is an exact integer over n. The tail is that probability times a sum of products of ratios, which stops
when a geometric series bounds the rest. The relative error is usually 1e-13 and below 1e-10 down to the smallest normal
float (2e-308); smaller tails lose digits and become 0.
"""

from __future__ import annotations

from math import exp, inf, lgamma, log, pi, sqrt
from typing import Any

import numba
import numpy as np
from numba import types

from ndg.compiled import njit
from ndg.errors import ShapeError

LARGEST = 3_037_000_499
"""Largest number of examples whose square is a 64-bit integer."""

PART = 1024
REST = 1e-13
TURN = 2 * pi
STIRLING = np.array([0.0] + [lgamma(x + 1) - (x + 0.5) * log(x) + x - 0.5 * log(TURN) for x in range(1, 16)])

_COUNTS = types.Array(types.int64, 1, "C", readonly=True)
_TILE = types.Array(types.int64, 2, "C", readonly=True)
_MASK = types.Array(types.boolean, 2, "C", readonly=True)


@njit(types.float64(types.float64))
def _stirling(x):
    """log(x!) - log(sqrt(2 pi x) (x / e)^x).

    0 for x = 0.
    """
    if x < 16:
        return STIRLING[int(x)]
    y = 1 / (x * x)
    return (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y / 1680))) / x


@njit(types.float64(types.float64))
def _width(x):
    """Factor 2 pi x of Stirling's formula.

    1 for x = 0.
    """
    return TURN * x if x > 0 else 1.0


@njit(types.float64(types.float64, types.float64, types.float64))
def _deviance(x, mean, above):
    """x log(x / mean) + mean - x, by `above` = x - mean."""
    if x == 0:
        return mean
    if abs(above) < 0.1 * (x + mean):
        v = above / (x + mean)
        w = v * v
        series = 1 / 3 + w * (1 / 5 + w * (1 / 7 + w * (1 / 9 + w * (1 / 11 + w * (1 / 13 + w * (1 / 15 + w / 17))))))
        return above * v + 2 * x * v * w * series
    return x * log(x / mean) - above


@njit(types.float64(*[types.int64] * 4, types.float64, types.float64), error_model="numpy")
def _tail(k, a, b, n, deepest, limit):
    """P(X <= k), but 0 below exp(-deepest), and 1 surely above `limit`."""
    if n - a - b < 0:  # the opposite cell deviates equally and is smaller
        k, a, b = n - a - b + k, n - a, n - b
    if a > b:
        a, b = b, a
    if k >= a:
        return 1.0
    opposite = n - a - b + k
    above = k * n - a * b
    lower = above < 0
    if not lower:
        if limit < 0.5:  # a median of X is at most its mean rounded up (Jogdeo & Samuels 1968)
            return 1.0
        k, opposite, above = k + 1, opposite + 1, above + n
    both, only_first, only_second, neither, size = float(k), float(a - k), float(b - k), float(opposite), float(n)
    first, second, not_first, not_second = float(a), float(b), float(n - a), float(n - b)
    delta = float(above) / size
    deviance = _deviance(both, first * second / size, delta) + _deviance(only_first, first * not_second / size, -delta)
    if lower and deviance > deepest:
        return 0.0
    deviance += _deviance(only_second, not_first * second / size, -delta) + _deviance(
        neither, not_first * not_second / size, delta
    )
    error = _stirling(first) + _stirling(not_first) + _stirling(second) + _stirling(not_second) - _stirling(size)
    error -= _stirling(both) + _stirling(only_first) + _stirling(only_second) + _stirling(neither)
    scale = _width(first) * _width(not_first) * (_width(second) * _width(not_second))
    scale /= _width(size) * _width(both) * _width(neither) * (_width(only_first) * _width(only_second))
    chance = sqrt(scale) * exp(error - deviance)
    total = term = 1.0
    if lower:
        while both > 0 and chance > 0:
            if chance * total > limit:
                return 1.0
            ratio = both * neither / ((only_first + 1) * (only_second + 1))
            term *= ratio
            total += term
            both, neither, only_first, only_second = both - 1, neither - 1, only_first + 1, only_second + 1
            if term * ratio <= REST * total * (1 - ratio):
                break
        return min(chance * total, 1.0)
    while only_first > 0 and chance > 0:
        ratio = only_first * only_second / ((both + 1) * (neither + 1))
        term *= ratio
        total += term
        both, neither, only_first, only_second = both + 1, neither + 1, only_first - 1, only_second - 1
        if term * ratio <= REST * total * (1 - ratio):
            break
    return 1 - min(chance * total, 1.0)


@njit(
    types.void(_COUNTS, _COUNTS, _COUNTS, types.int64, types.float64, types.Array(types.float64, 1, "C")),
    parallel=True,
)
def _tails(exceptions, antecedent, negation, n, limit, out):
    for part in numba.prange(-(-len(exceptions) // PART)):
        for i in range(part * PART, min((part + 1) * PART, len(exceptions))):
            out[i] = _tail(exceptions[i], antecedent[i], negation[i], n, inf, limit)


@njit(
    types.void(
        _TILE, _COUNTS, _COUNTS, _MASK, *[types.int64] * 4, *[types.float64] * 2, types.Array(types.int64, 2, "C")
    ),
    parallel=True,
)
def _tally(both, rows, columns, candidate, n, low, high, shift, deepest, limit, counts):
    """Count the p-values of each candidate's four tests in `counts[part]`."""
    parts = len(counts)
    for part in numba.prange(parts):
        for i in range(part, len(rows), parts):
            for j in range(len(columns)):
                if candidate[i, j]:
                    a, b, k = rows[i], columns[j], both[i, j]
                    above = k * n - a * b
                    if above == 0:
                        continue
                    # opposite cells share a p-value; neighbours of a cell below expectation are above it
                    p = _tail(k, a, b, n, deepest, limit) if above < 0 else _tail(a - k, a, n - b, n, deepest, limit)
                    pattern = np.float64(p).view(np.int64)
                    if pattern < low:
                        counts[part, 0] += 2
                    elif pattern <= high:
                        counts[part, 1 + ((pattern - low) >> shift)] += 2


def check_examples(examples: int) -> None:
    if not 0 < examples <= LARGEST:
        raise ShapeError(
            f"hypergeometric tests take 1 to {LARGEST:,} examples, so that products are exact; got {examples:,}; "
            "mine a sample"
        )


def lower_tail(
    exceptions: np.ndarray, antecedent: np.ndarray, negation: np.ndarray, examples: int, limit: float = inf
) -> np.ndarray:
    """P(X <= exceptions) for every pair, in [0, 1].

    1 if it surely exceeds `limit`.
    """
    check_examples(examples)
    counts = [np.broadcast_to(count, exceptions.shape) for count in (exceptions, antecedent, negation)]
    k, a, b = (np.ascontiguousarray(count, np.int64).reshape(-1) for count in counts)
    if len(k) and (k.min() < 0 or (a - k).min() < 0 or (b - k).min() < 0 or (examples - a - b + k).min() < 0):
        raise ShapeError(
            "exceptions, margins and examples must be of one table: expected no cell below zero; got exceptions "
            "above a margin or margins above the examples; pass n(p and ~q), n(p), n(~q) and n"
        )
    out = np.empty(len(k))
    _tails(k, a, b, examples, float(limit), out)
    return out.reshape(exceptions.shape)


class Tails:
    """Histogram of p-values by their bit patterns, which are ordered alike."""

    def __init__(self, low: int, high: int, shift: int) -> None:
        self.low, self.high, self.shift, self.tests = low, high, shift, 0
        floor = float(np.int64(low).view(np.float64))
        self.deepest = 1e-6 - log(floor) if floor > 0 else inf
        self.limit = float(np.int64(high).view(np.float64))
        self.counts = np.zeros((numba.get_num_threads(), 2 + ((high - low) >> shift)), np.int64)

    def add(self, counts: Any, candidate: np.ndarray) -> None:
        """Count the four tests of every candidate pair of a tile."""
        check_examples(counts.examples)
        both, rows, columns = (np.ascontiguousarray(c, np.int64) for c in (counts.both, counts.rows, counts.columns))
        mask = np.ascontiguousarray(candidate)
        window = self.low, self.high, self.shift, self.deepest, self.limit
        _tally(both, rows, columns, mask, counts.examples, *window, self.counts)
        self.tests += 4 * int(np.count_nonzero(mask))

    @property
    def below(self) -> int:
        return int(self.counts[:, 0].sum())

    @property
    def bins(self) -> np.ndarray:
        """Number of p-values in each bin."""
        return self.counts[:, 1:].sum(axis=0)
