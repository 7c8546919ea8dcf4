"""Exact tests against exact arithmetic: all small tables, random and huge ones."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import ShapeError
from ndg.mining.counts import Contingency
from ndg.mining.hypergeometric import LARGEST, Tails, lower_tail
from tests.references.criteria import tail


@pytest.fixture(autouse=True)
def alone():
    """One thread, since these arrays are small."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


def one(e: int, p: int, not_q: int, n: int, limit: float = np.inf) -> float:
    return float(lower_tail(np.array([e]), np.array([p]), np.array([not_q]), n, limit)[0])


def pattern(value: float) -> int:
    return int(np.float64(value).view(np.int64))


@st.composite
def tables(draw, largest: int = 3000) -> tuple[int, int, int, int]:
    n = draw(st.integers(1, largest))
    p, not_q = draw(st.integers(0, n)), draw(st.integers(0, n))
    least, most = max(0, p + not_q - n), min(p, not_q)
    near = min(max(p * not_q // n + draw(st.integers(-20, 5)), least), most)
    return draw(st.sampled_from([near, draw(st.integers(least, most))])), p, not_q, n


def test_every_table_of_up_to_nine_examples():
    for n in range(1, 10):
        cells = [
            (e, p, not_q)
            for p in range(n + 1)
            for not_q in range(n + 1)
            for e in range(max(0, p + not_q - n), min(p, not_q) + 1)
        ]
        found = lower_tail(*(np.array(column) for column in zip(*cells, strict=True)), n)
        assert found == pytest.approx([float(tail(*counts, n)) for counts in cells], rel=1e-13)


@given(tables())
@settings(max_examples=80, deadline=None)
def test_tails_are_exact_to_twelve_digits(table):
    exact = tail(*table)
    if exact > 1e-300:
        assert abs(type(exact)(one(*table)) / exact - 1) < 1e-12
    else:
        assert one(*table) < 1.1e-300


@pytest.mark.parametrize("n", [10**5, 2**31])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.1, 0.3), (0.9, 0.97), (1e-3, 0.6), (1e-4, 1e-2)])
@pytest.mark.parametrize("deviations", [-1, 2, 9, 33])
def test_tails_of_many_examples_lose_no_digits(n, shares, deviations):
    p, not_q = (int(share * n) for share in shares)
    spread = (p * not_q / n * (1 - shares[0]) * (1 - shares[1])) ** 0.5
    e = int(p * not_q / n - deviations * spread)
    if e < max(0, p + not_q - n) or spread * max(1, 9 - deviations) > 4000:
        return  # no such table, or the definition takes too long
    exact = tail(e, p, not_q, n)
    found = one(e, p, not_q, n)
    assert found == 0 if exact < 1e-308 else abs(float(found / exact - 1)) < 1e-10


def test_a_tail_of_a_hundred_thousand_terms_adds_up():
    n = 2**31
    e, half = n // 4 - 12_000, n // 2
    assert 0.1 < one(e - 1, half, half, n) < one(e, half, half, n) < 0.5
    both_tails = one(n // 4, half, half, n) + one(n // 4 - 1, half, half, n)
    assert both_tails == pytest.approx(1, rel=1e-11)  # the distribution is symmetric about its mean here


@given(tables(10**6))
@settings(max_examples=60, deadline=None)
def test_margins_may_change_places_and_opposite_cells_agree_bit_for_bit(table):
    e, p, not_q, n = table
    value = one(e, p, not_q, n)
    assert value == one(e, not_q, p, n)
    assert value == one(n - p - not_q + e, n - p, n - not_q, n)


@given(tables(10**5), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_fewer_exceptions_are_never_likelier(table, fewer):
    e, p, not_q, n = table
    assert one(max(e - fewer, max(0, p + not_q - n)), p, not_q, n) <= one(e, p, not_q, n) * (1 + 1e-12)


@given(tables(10**5))
@settings(max_examples=60, deadline=None)
def test_as_many_exceptions_as_expected_are_as_likely_as_not(table):
    _, p, not_q, n = table
    expected = -(-p * not_q // n)
    assert one(expected, p, not_q, n) >= 0.5 * (1 - 1e-12)


@given(tables(10**4), st.floats(1e-30, 0.9))
@settings(max_examples=80, deadline=None)
def test_a_limit_saves_time_and_changes_no_decision(table, limit):
    whole, quick = one(*table), one(*table, limit)
    assert quick == whole if whole <= limit else quick > limit
    assert one(*table, limit=whole) == whole


def test_margins_broadcast():
    both = np.array([[3, 5], [0, 9]])
    p, not_q = np.array([[10], [12]]), np.array([[9, 20]])
    found = lower_tail(both, p, not_q, 40)
    assert found.shape == (2, 2)
    assert found[1, 0] == one(0, 12, 9, 40)
    assert lower_tail(both[:0], p[:0], not_q, 40).shape == (0, 2)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("window", [(0.05 * 2.0**-40, 0.05, 41), (0.0, 0.3, 45), (1e-3, 5e-2, 38), (1e-9, 1e-3, 43)])
def test_windows_count_the_values_of_the_four_tests_of_each_candidate(threads, window):
    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip("this machine has one core")
    low, high, shift = pattern(window[0]), pattern(window[1]), window[2]
    rng = np.random.default_rng(0)
    values = rng.random((90, 30)) < rng.choice([0.1, 0.5, 0.9], 30)
    values[:, 20:] = values[:, :10] ^ (rng.random((90, 10)) < 0.1)
    on = values.sum(axis=0).astype(np.int64)
    tile = Contingency(values[:, :12].T.astype(np.int64) @ values, on[:12], on, 90)
    candidate = rng.random((12, 30)) < 0.8
    numba.set_num_threads(threads)
    try:
        seen = Tails(low, high, shift)
        seen.add(tile, candidate)
        seen.add(tile, candidate[:, ::-1].copy())
    finally:
        numba.set_num_threads(1)
    bins, below = np.zeros_like(seen.bins), 0
    for mask in (candidate, candidate[:, ::-1]):
        for first in (True, False):
            for second in (True, False):
                p = on[:12] if first else 90 - on[:12]
                not_q = 90 - on if second else on
                tails = lower_tail(tile.cell(first, not second), p[:, None], not_q[None], 90)[mask]
                below += (tails.view(np.int64) < low).sum()
                inside = tails.view(np.int64)[(tails.view(np.int64) >= low) & (tails.view(np.int64) <= high)]
                np.add.at(bins, (inside - low) >> shift, 1)
    assert seen.tests == 8 * candidate.sum()
    assert seen.below == below
    assert (seen.bins == bins).all()
    assert bins.sum() > 0


def test_a_window_holds_both_its_ends():
    tile = Contingency(np.array([[3, 1]]), np.array([20]), np.array([18, 15]), 60)
    tails = lower_tail(tile.both, tile.rows[:, None], tile.columns[None], 60)[0]
    assert tails[1] < tails[0] < 0.5
    low, high = pattern(tails[1]), pattern(tails[0])
    for ends, expected in (
        ((low, high), (0, 4)),
        ((high, high), (2, 2)),
        ((low, low), (0, 2)),
        ((low, high - 1), (0, 2)),
    ):
        seen = Tails(*ends, 40)
        seen.add(tile, np.ones((1, 2), bool))
        assert (seen.below, seen.bins.sum(), seen.tests) == (*expected, 8)


@pytest.mark.parametrize(("e", "p", "not_q"), [(5, 4, 9), (5, 9, 4), (-1, 3, 3), (0, 8, 8)])
def test_counts_that_are_no_table_are_refused(e, p, not_q):
    with pytest.raises(ShapeError, match=r"one table: expected no cell below zero; got .*; pass n\(p and ~q\)"):
        one(e, p, not_q, 10)


@pytest.mark.parametrize("n", [0, LARGEST + 1])
def test_examples_whose_products_overflow_are_refused(n):
    with pytest.raises(ShapeError, match=rf"take 1 to 3,037,000,499 examples, .*; got {n:,}; mine a sample"):
        one(0, 0, 0, n)
