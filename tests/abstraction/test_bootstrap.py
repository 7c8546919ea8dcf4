"""Bootstrap intervals of counts are those of the examples behind them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from ndg.abstraction.bootstrap import GROUPS, group_weights, groups_of, paired
from ndg.intervals import exact_paired


def test_counts_are_resampled_as_the_examples_would_be():
    """Mean and variance of the resampled difference are those of drawing 300 differences from 60, 30 and 210."""
    differences = np.repeat([1.0, -1.0, 0.0], [60, 30, 210])
    value, low, high = paired(60, 30, 300, 0, "x", rounds=20_000)
    assert value == differences.mean() == 0.1
    rng = np.random.default_rng(0)
    drawn = rng.choice(differences, (20_000, 300)).mean(axis=1)
    expected = np.percentile(drawn, [2.5, 97.5])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.0034)  # one example more or less
    half = 1.96 * differences.std() / np.sqrt(300)
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), abs=0.007)


def test_the_seed_and_the_purpose_alone_draw():
    assert paired(60, 30, 300, 0, "x") == paired(60, 30, 300, 0, "x")
    assert paired(60, 30, 300, 0, "x", rounds=50) != paired(60, 30, 300, 1, "x", rounds=50)
    assert paired(60, 30, 300, 0, "x", rounds=50) != paired(60, 30, 300, 0, "y", rounds=50)


def test_the_ends():
    assert paired(0, 0, 0, 0) is None
    assert paired(0, 0, 900, 0)[0] == 0.0


@pytest.mark.parametrize(("first", "second", "n"), [(0, 0, 40), (5, 0, 350), (6, 0, 350), (12, 12, 24), (1, 23, 9000)])
def test_few_discordant_pairs_have_the_interval_of_the_exact_test(first, second, n):
    """It leaves out 0 where McNemar's exact test does, and is never of width 0."""
    value, low, high = paired(first, second, n, 0)
    p, *interval = exact_paired(first, second, n)
    assert [low, high] == interval
    assert low <= value == (first - second) / n <= high
    assert high - low > 1 / n
    tail = sum(math.comb(first + second, k) for k in range(min(first, second) + 1)) / 2 ** (first + second)
    assert p == pytest.approx(min(2 * tail, 1.0))
    assert (low > 0 or high < 0) == (p < 0.05)


def test_the_exact_interval_covers():
    """Of 2,000 samples with a difference of 2 points, at least 95 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    draws = rng.multinomial(300, [0.03, 0.01, 0.96], size=2000)
    interval = cache(lambda a, b: exact_paired(a, b, 300)[1:])
    ends = [interval(a, b) for a, b, _ in draws.tolist()]
    assert np.mean([low <= 0.02 <= high for low, high in ends]) >= 0.95


def test_groups_belong_to_examples_and_rounds_draw_as_many():
    examples = np.arange(10_000)
    groups = groups_of(3, examples)
    assert np.array_equal(groups[50:90], groups_of(3, examples[50:90]))
    sizes = np.bincount(groups, minlength=GROUPS)
    assert len(sizes) == GROUPS
    assert abs(sizes - 10_000 / GROUPS).max() < 5 * np.sqrt(10_000 / GROUPS)
    weights = group_weights(0, "x", rounds=100)
    assert (weights.sum(axis=1) == GROUPS).all()
