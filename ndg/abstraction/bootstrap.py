"""Bootstrap intervals of paired differences (Efron & Tibshirani 1993, percentiles)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from ndg import seeds
from ndg.intervals import exact_paired

ROUNDS = 2000
FEW = 25
"""Discordant pairs below which an interval is exact: a bootstrap of few is too narrow."""

GROUPS = 64
"""Groups into which the examples are drawn where whole curves are resampled."""


def paired(
    first_only: int, second_only: int, n: int, seed: int, *purpose: str, rounds: int = ROUNDS
) -> tuple[float, float, float] | None:
    """Difference of two rates over `n` examples, with 95 % interval.

    The difference is 1 in `first_only` examples, -1 in `second_only`, else 0, so a bootstrap draws these counts from a
    multinomial distribution; of fewer than `FEW` such examples the interval is that of the exact test. None without
    examples.
    """
    if not n:
        return None
    if first_only + second_only < FEW:
        _, low, high = exact_paired(first_only, second_only, n)
        return (first_only - second_only) / n, low, high
    shares = [first_only / n, second_only / n, (n - first_only - second_only) / n]
    drawn = seeds.generator(seed, "bootstrap", *purpose).multinomial(n, shares, size=rounds)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / n, [2.5, 97.5])
    return (first_only - second_only) / n, float(low), float(high)


def groups_of(seed: int, examples: Int64[np.ndarray, " example"]) -> Int64[np.ndarray, " example"]:
    """The group of each example, drawn by its number."""
    draws = seeds.words(seed, "bootstrap groups", examples=examples, draws=1)[:, 0]
    return (draws % np.uint64(GROUPS)).astype(np.int64)


def group_weights(seed: int, *purpose: str, rounds: int = ROUNDS) -> Int64[np.ndarray, "round group"]:
    """Weights of groups of examples in each bootstrap round."""
    return seeds.generator(seed, "bootstrap", *purpose).multinomial(GROUPS, [1 / GROUPS] * GROUPS, size=rounds)
