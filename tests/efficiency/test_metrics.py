"""Metrics of importance: hand-worked cases, identities, defined results for odd layers, nulls of theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndg.efficiency import metrics as m
from ndg.errors import ShapeError

positive = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=40)
SCALE_FREE = [name for name in m.NAMES if not name.startswith("sparsity")]


def test_a_case_worked_by_hand():
    """Importance 1, 1, 2: p = 1/4, 1/4, 1/2, so H = 1.5 log 2 and e^H = 2^1.5."""
    values = m.metrics([2, 1, 1])
    assert values.weights == 3
    assert values.entropy == pytest.approx(1.5 * math.log(2))
    assert values.effective == pytest.approx(2**1.5)
    assert values.utilisation == pytest.approx(2**1.5 / 3)
    assert values.normalised_entropy == pytest.approx(1.5 * math.log(2) / math.log(3))
    assert values.redundancy == pytest.approx(1 - 1.5 * math.log(2) / math.log(3))
    assert values.gini == pytest.approx(2 * (1 * 1 + 2 * 1 + 3 * 2) / (3 * 4) - 4 / 3)
    assert (values.coverage_50, values.coverage_80, values.coverage_90) == (1 / 3, 1, 1)


def test_sparsity_counts_what_is_below():
    importance = [0.0, 0.0005, 0.001, 0.009, 0.01, 1]
    assert m.sparsity(importance, 1e-2) == m.metrics(importance).sparsity_1e2 == 4 / 6
    assert m.sparsity(importance, 1e-3) == m.metrics(importance).sparsity_1e3 == 2 / 6
    assert m.metrics([10 * value for value in importance]).sparsity_1e2 == 2 / 6
    assert m.metrics([10 * value for value in importance]).relative_1e2 == 4 / 6


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_equal_weights_are_used_as_a_whole(n):
    values = m.metrics(np.full(n, 0.37))
    assert values.gini == pytest.approx(0, abs=1e-12)
    assert values.effective == pytest.approx(n)
    assert values.utilisation == pytest.approx(1)
    assert values.redundancy == pytest.approx(0, abs=1e-12)
    assert values.coverage_50 == math.ceil(n / 2) / n


@pytest.mark.parametrize("n", [2, 7, 1000])
def test_one_weight_with_all_importance(n):
    values = m.metrics([0] * (n - 1) + [5])
    assert values.effective == pytest.approx(1)
    assert (values.entropy, values.redundancy) == (0, 1)
    assert values.gini == pytest.approx(1 - 1 / n)
    assert values.coverage_50 == values.coverage_90 == 1 / n


def test_half_redundancy_means_the_root_of_the_weights():
    """The source reads 50 % as half of the parameters; it is the square root of their number."""
    importance = [1] * 10 + [0] * 90
    assert m.redundancy(importance) == pytest.approx(0.5)
    assert m.effective_parameters(importance) == pytest.approx(10)


def test_zero_weights_have_a_defined_result():
    values = m.metrics(np.zeros((3, 4)))
    assert (values.effective, values.utilisation, values.entropy, values.gini) == (0, 0, 0, 0)
    assert (values.redundancy, values.sparsity_1e3, values.relative_1e3, values.coverage_90) == (1, 1, 1, 0)
    assert all(math.isfinite(getattr(values, name)) for name in m.NAMES)


@given(positive, st.integers(-600, 600))
def test_the_scale_of_the_importance_changes_nothing(importance, power):
    before, after = m.metrics(importance), m.metrics(np.array(importance) * 2.0**power)
    for name in SCALE_FREE:
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-6, abs=1e-6), name


@given(positive, st.randoms(use_true_random=False))
def test_the_order_of_the_weights_changes_nothing(importance, random):
    mixed = list(importance)
    random.shuffle(mixed)
    assert m.metrics(mixed).gini == pytest.approx(m.metrics(importance).gini)
    assert m.metrics(mixed).entropy == pytest.approx(m.metrics(importance).entropy)


@given(positive)
def test_metrics_agree_with_their_definitions(importance):
    """The slow reference: sums over pairs and over single weights."""
    values, whole = m.metrics(importance), sum(importance)
    p = [value / whole for value in importance]
    assert values.entropy == pytest.approx(-sum(each * math.log(each) for each in p), abs=1e-9)
    n = len(importance)
    pairs = sum(abs(a - b) for a in importance for b in importance)
    assert values.gini == pytest.approx(pairs / (2 * n * whole), abs=1e-9)
    for share in m.SHARES:
        held, needed = 0.0, 0
        for value in sorted(importance, reverse=True):
            if held >= share * whole * (1 - 1e-9):
                break
            held, needed = held + value, needed + 1
        assert m.coverage(importance, share) == pytest.approx(needed / n)


@given(positive)
def test_gini_is_the_area_above_the_lorenz_curve(importance):
    n = len(importance)
    shares, held = m.lorenz(importance, points=n + 1)
    area = np.sum((held[1:] + held[:-1]) / 2 * np.diff(shares))
    assert m.gini(importance) == pytest.approx(1 - 2 * area, abs=1e-9)


def test_global_metrics():
    layers = [m.metrics([1] * 10 + [0] * 90), m.metrics([1] * 50)]
    assert m.compression_potential(layers) == pytest.approx(1 - 60 / 150)
    assert m.mean_redundancy(layers) == pytest.approx(0.25)
    assert m.compression_potential([]) == m.mean_redundancy([]) == 0


@pytest.mark.parametrize(
    ("importance", "message"),
    [([], "at least one weight"), ([1, -2], "got -2.0"), ([1, math.nan], "got nan"), ([math.inf], "got inf")],
)
def test_what_is_no_importance_is_refused(importance, message):
    with pytest.raises(ShapeError, match=message):
        m.metrics(importance)


def test_nulls_of_theory():
    """|w| of a Gaussian has e^H / N = .753 and Gini .414, of a uniform .824 and 1/3."""
    random = np.random.default_rng(0)
    gaussian = m.metrics(np.abs(random.normal(size=400_000)))
    uniform = m.metrics(np.abs(random.uniform(-1, 1, size=400_000)))
    assert gaussian.utilisation == pytest.approx(0.753, abs=2e-3)
    assert gaussian.gini == pytest.approx(math.sqrt(2) - 1, abs=2e-3)
    assert uniform.utilisation == pytest.approx(math.exp(0.5) / 2, abs=2e-3)
    assert uniform.gini == pytest.approx(1 / 3, abs=2e-3)
