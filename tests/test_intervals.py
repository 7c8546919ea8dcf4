"""Wilson intervals: closed form, symmetry, and coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from ndg.intervals import wilson


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_scipys(pair):
    k, n = pair
    low, high = wilson(k, n)
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= k / n <= high <= 1


def test_no_trials_say_nothing():
    low, high = wilson(np.array([0, 3]), np.array([0, 3]))
    assert (low[0], high[0]) == (0, 1)
    assert high[1] == 1


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20, 59, 1000, 54321])
def test_the_interval_of_none_and_of_all_ends_exactly_there(n):
    assert wilson(0, n)[0] == 0.0
    assert wilson(n, n)[1] == 1.0
