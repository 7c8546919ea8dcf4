"""Properties of single criteria; common laws are in tests/conformance/test_criteria.py."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import ConfigError
from ndg.intervals import wilson as interval
from ndg.mining.counts import Contingency
from ndg.mining.criteria import Confidence, CustomCriterion, Fisher, Paper, Ratio, Sieve, Wilson, criterion, sieve_of
from ndg.mining.hypergeometric import lower_tail
from tests.references import criteria as slow


@pytest.fixture(autouse=True)
def alone():
    """One thread, since these arrays are small."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


def judge(rule, e: int, p: int, not_q: int, n: int) -> bool:
    return bool(rule.holds(np.array([e]), np.array([p]), np.array([not_q]), n)[0])


def four_tests(values: np.ndarray, candidate: np.ndarray) -> list[tuple[int, int, int]]:
    """Exceptions and margins of the four tests of each candidate pair, example by example."""
    found = []
    for i, j in zip(*np.nonzero(candidate), strict=True):
        for first in (True, False):
            for second in (True, False):
                p, not_q = values[:, i] == first, values[:, j] != second
                found.append((int((p & not_q).sum()), int(p.sum()), int(not_q.sum())))
    return found


def tiles(values: np.ndarray, candidate: np.ndarray, edge: int = 7):
    """All pairs of columns as tiles with candidates, afresh at every call."""
    both, n = values.T.astype(np.int64) @ values.astype(np.int64), len(values)
    on = both.diagonal().copy()

    def passes():
        for top in range(0, len(on), edge):
            for left in range(0, len(on), edge):
                rows, columns = slice(top, top + edge), slice(left, left + edge)
                yield Contingency(both[rows, columns], on[rows], on[columns], n), candidate[rows, columns]

    return passes


def planted(seed: int, n: int = 120, nodes: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Columns with noisy, exact and constant copies, and their candidate pairs."""
    rng = np.random.default_rng(seed)
    values = rng.random((n, nodes)) < rng.choice([0.05, 0.3, 0.5, 0.9], nodes)
    for column in range(nodes // 2, nodes):
        values[:, column] = values[:, rng.integers(nodes // 2)] ^ (rng.random(n) < rng.choice([0, 0.02, 0.2, 0.4]))
    values[:, rng.integers(nodes)] = True
    varies = (values.any(axis=0)) & ~values.all(axis=0)
    candidate = np.triu(varies[:, None] & varies[None, :], 1)
    candidate[:3, :3] = False  # labels
    return values, candidate


def test_the_ratio_has_no_least_allowance():
    assert judge(Ratio(20.0), 0, 10, 10, 1000)
    assert not judge(Paper(20.0), 0, 10, 10, 1000)
    assert judge(Ratio(20.0), 5, 500, 200, 1000)
    assert not judge(Ratio(20.0), 6, 500, 200, 1000)
    assert not judge(Ratio(20.0), 0, 0, 500, 1000)


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000), st.sampled_from([1.5, 2.0, 20.0]))
def test_what_the_paper_accepts_has_the_ratio(e, p, not_q, alpha):
    e = min(e, p, not_q)
    if judge(Paper(alpha), e, p, not_q, 4000):
        assert judge(Ratio(alpha), e, p, not_q, 4000)


def test_a_bound_of_95_percent_takes_73_examples_without_exception():
    assert judge(Wilson(0.95), 0, 73, 400, 1000)
    assert not judge(Wilson(0.95), 0, 400, 72, 1000)
    assert Wilson(0.95).sieve.support == 73


@given(st.integers(0, 300), st.integers(0, 3000), st.integers(0, 3000), st.sampled_from([0.6, 0.9, 0.95]))
def test_both_directions_reach_the_bound_and_so_the_confidence(e, p, not_q, bound):
    e = min(e, p, not_q)
    lowest = min(float(interval(margin - e, margin)[0]) for margin in (p, not_q))
    held = judge(Wilson(bound), e, p, not_q, 10_000)
    assert held == (lowest >= bound)
    assert held <= judge(Confidence(bound, 1), e, p, not_q, 10_000)


def test_rare_independent_literals_are_confident_and_not_significant():
    n, p, not_q = 100_000, 1000, 1000
    expected = p * not_q // n
    assert judge(Confidence(0.95), expected, p, not_q, n)
    assert judge(Wilson(0.95), expected, p, not_q, n)
    assert not judge(Fisher(threshold=0.01), expected, p, not_q, n)
    assert judge(Fisher(threshold=0.01), 0, p, not_q, n)


def test_any_callable_judges_the_counts():
    rule = criterion(lambda e, p, not_q, n: (e == 0) & (np.minimum(p, not_q) >= n // 4))
    held = rule.holds(np.array([[0, 0], [1, 0]]), np.array([[30], [20]]), np.array([[40, 20]]), 100)
    assert held.tolist() == [[True, False], [False, False]]
    assert sieve_of(rule) == Sieve()
    assert criterion(rule) is rule


def never(e, p, not_q, n):
    return np.zeros(e.shape, bool)


class Never:
    def __call__(self, e, p, not_q, n):
        return np.zeros(e.shape, bool)


def test_the_record_of_a_callable_says_where_it_is_defined():
    assert criterion(never).to_dict() == {"name": "callable", "function": f"{__name__}.never"}
    assert criterion(Never()).to_dict()["function"] == f"{__name__}.Never"
    assert criterion(never) == CustomCriterion(never)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda e, p, not_q, n: e, r"int64 of shape \(2,\)"),
        (lambda e, p, not_q, n: True, r"bool of shape \(\)"),
        (lambda e, p, not_q, n: np.ones(3, bool), r"bool of shape \(3,\)"),
    ],
)
def test_an_answer_that_is_not_one_boolean_per_pair_is_refused(function, got):
    with pytest.raises(
        ConfigError, match=rf"must return booleans of shape \(2,\); got {got}; compare whole arrays and join with &"
    ):
        criterion(function).holds(np.array([0, 1]), np.array([2, 2]), np.array([2, 2]), 4)


def test_what_is_no_criterion_is_refused():
    with pytest.raises(ConfigError, match=r"got 'wilsen'; nearest: wilson, .*; Python code may pass any callable"):
        criterion("wilsen")
    with pytest.raises(ConfigError, match=r"a name, an object with holds and to_dict, or a callable .*; got 3 of int"):
        criterion(3)


def test_a_sieve_bounds_exceptions_and_margins():
    e, p, not_q = np.array([0, 6, 5, 0]), np.array([40, 50, 50, 4]), np.array([50, 50, 50, 50])
    assert Sieve().passes(e, p, not_q, 100).all()
    assert Sieve(product=0.22).passes(e, p, not_q, 100).tolist() == [True, False, True, True]
    assert Sieve(product=0.22, floor=4.5).passes(e, p, not_q, 100).tolist() == [False, False, True, False]
    assert Sieve(margin=0.1).passes(e, p, not_q, 100).tolist() == [True, False, True, True]
    assert Sieve(support=5).passes(e, p, not_q, 100).tolist() == [True, True, True, False]


def test_fisher_has_to_see_the_pairs_first():
    with pytest.raises(
        ConfigError, match=r"see all candidate pairs before it judges; got no threshold yet; call fit\(pairs\), or find"
    ):
        judge(Fisher(), 0, 50, 50, 100)


@given(st.integers(0, 2**32), st.sampled_from([0.01, 0.05, 0.3]))
@settings(max_examples=25, deadline=None)
def test_fisher_decides_as_sorting_all_p_values_does(seed, q):
    values, candidate = planted(seed)
    counts, n = four_tests(values, candidate), len(values)
    p_values = [float(slow.tail(*test, n)) for test in counts]
    rejected = slow.step_up(p_values, q)
    rule = Fisher(q, 0.6, 5).fit(tiles(values, candidate))
    assert (rule.tests, rule.rejections) == (len(counts), sum(rejected))
    columns = (np.array(column) for column in zip(*counts, strict=True))
    expected = [cut and slow.confidence(*test, n, 0.6, 5) for cut, test in zip(rejected, counts, strict=True)]
    assert rule.holds(*columns, n).tolist() == expected


def test_a_p_value_at_the_threshold_holds():
    at = float(lower_tail(np.array([2]), np.array([60]), np.array([50]), 120)[0])
    assert judge(Fisher(threshold=at), 2, 60, 50, 120)
    assert not judge(Fisher(threshold=float(np.nextafter(at, 0))), 2, 60, 50, 120)


def test_tiles_do_not_change_the_threshold():
    values, candidate = planted(3)
    rules = {Fisher().fit(tiles(values, candidate, edge)) for edge in (1, 3, 16, 100)}
    assert len(rules) == 1
    assert rules.pop().rejections > 0


def test_p_values_below_the_smallest_float_are_rejected():
    values = np.zeros((4000, 4), bool)
    values[:2000, :2], values[::2, 2:] = True, True
    rule = Fisher().fit(tiles(values, np.triu(np.ones((4, 4), bool), 1)))
    assert lower_tail(np.array([0]), np.array([2000]), np.array([2000]), 4000)[0] == 0
    assert (rule.tests, rule.rejections) == (24, 4)
    assert judge(rule, 0, 2000, 2000, 4000)
    assert not judge(rule, 1000, 2000, 2000, 4000)


def test_without_candidates_or_without_anything_significant_nothing_holds():
    values, candidate = planted(0)
    none = Fisher().fit(tiles(values, candidate & False))
    assert (none.threshold, none.tests, none.rejections) == (0.0, 0, 0)
    independent = np.array([[a, b] for a in (True, False) for b in (True, False)] * 30)
    rule = Fisher().fit(tiles(independent, np.triu(np.ones((2, 2), bool), 1)))
    assert (rule.threshold, rule.tests, rule.rejections) == (0.0, 4, 0)
    assert not judge(rule, 0, 60, 60, 120)


@pytest.mark.parametrize("seed", range(10))
def test_few_passes_decide(seed):
    passes, seen = tiles(*planted(seed, n=400)), []

    def counted():
        seen.append(seed)
        return passes()

    Fisher().fit(counted)
    assert len(seen) <= 4


def test_among_independent_booleans_discoveries_are_rare():
    candidate, runs = np.triu(np.ones((14, 14), bool), 1), 160
    some = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        values = rng.random((250, 14)) < rng.uniform(0.1, 0.9, 14)
        some += Fisher(q=0.05).fit(tiles(values, candidate, 14)).rejections > 0
    assert float(interval(some, runs)[0]) <= 0.05
    assert some > 0


def test_the_share_of_false_discoveries_stays_at_its_level():
    """Columns in independent groups of three noisy copies: discoveries across groups are false."""
    group = np.arange(18) // 3
    candidate, shares = np.triu(np.ones((18, 18), bool), 1), []
    p, q = np.nonzero(candidate)
    for seed in range(80):
        rng = np.random.default_rng(seed)
        values = (rng.random((300, 6)) < rng.uniform(0.2, 0.8, 6))[:, group] ^ (rng.random((300, 18)) < 0.3)
        rule = Fisher(q=0.05).fit(tiles(values, candidate, 18))
        both, on = values.T.astype(np.int64) @ values, values.sum(axis=0)
        false = 0
        for first in (True, False):
            for second in (True, False):
                cell = Contingency(both, on, on, 300).cell(first, not second)[p, q]
                margins = (on if first else 300 - on)[p], (300 - on if second else on)[q]
                significant = lower_tail(cell, *margins, 300) <= rule.threshold
                false += (significant & (group[p] != group[q])).sum()
        shares.append(false / max(rule.rejections, 1))
    error = np.std(shares) / len(shares) ** 0.5
    assert 0 < np.mean(shares) < 0.05 + 1.96 * error


def test_the_lower_end_of_an_interval_may_equal_the_bound():
    low = float(interval(98, 100)[0])
    assert judge(Wilson(bound=low), 2, 100, 100, 200)
    assert not judge(Wilson(bound=float(np.nextafter(low, 1))), 2, 100, 100, 200)
