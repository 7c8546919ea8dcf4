"""Bootstrap intervals of paired differences (Efron & Tibshirani 1993, percentiles)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from ndg import seeds

ROUNDS = 2000
GROUPS = 64
"""Groups into which the examples are drawn where whole curves are resampled."""


def paired(
    first_only: int, second_only: int, n: int, seed: int, *purpose: str, rounds: int = ROUNDS
) -> tuple[float, float, float] | None:
    """The difference of two rates over the same `n` examples, with its 95 % interval; None without any.

    The difference of one example is 1 in `first_only` of them, -1 in `second_only` and 0 in the rest, so drawing `n`
    examples with replacement is drawing these three counts from a multinomial distribution: the same distribution,
    without the examples.
    """
    if not n:
        return None
    shares = [first_only / n, second_only / n, (n - first_only - second_only) / n]
    drawn = seeds.generator(seed, "bootstrap", *purpose).multinomial(n, shares, size=rounds)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / n, [2.5, 97.5])
    return (first_only - second_only) / n, float(low), float(high)


def groups_of(seed: int, examples: Int64[np.ndarray, " example"]) -> Int64[np.ndarray, " example"]:
    """The group of each example, drawn from its own number."""
    draws = seeds.words(seed, "bootstrap groups", examples=examples, draws=1)[:, 0]
    return (draws % np.uint64(GROUPS)).astype(np.int64)


def group_weights(seed: int, *purpose: str, rounds: int = ROUNDS) -> Int64[np.ndarray, "round group"]:
    """How often each group of examples is drawn in every round of a bootstrap.

    The groups are random, so they stand for the examples in them, and only the counts of each need to be kept.
    """
    return seeds.generator(seed, "bootstrap", *purpose).multinomial(GROUPS, [1 / GROUPS] * GROUPS, size=rounds)
