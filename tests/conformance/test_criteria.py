"""Laws of every criterion in the registry; a new one is tested here by being there, with its definition beside it."""

import json

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import ConfigError
from ndg.mining.counts import Contingency
from ndg.mining.criteria import CRITERIA, Criterion, criterion, sieve_of
from tests.references.criteria import REFERENCES

LOOSE = {
    "paper": {"alpha": 1.5},
    "ratio": {"alpha": 1.01},
    "confidence": {"confidence": 0.6, "support": 1},
    "wilson": {"bound": 0.55},
    "fisher": {"q": 0.3, "confidence": 0.51, "support": 1},
}
CASES = [(name, {}) for name in CRITERIA] + list(LOOSE.items())
BY_PRECISION = {"confidence", "wilson"}  # they do not ask what independence would give

every = pytest.mark.parametrize(
    ("name", "parameters"), CASES, ids=[f"{n}-{'loose' if p else 'usual'}" for n, p in CASES]
)
seeds, sizes = st.integers(0, 2**32), st.sampled_from([1, 2, 7, 60, 500, 3000, 10**6, 2**31])


@pytest.fixture(autouse=True)
def alone():
    """Arrays here are small; threads that wait for each other would take most of the time."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


def ready(name: str, parameters: dict) -> Criterion:
    """A criterion that can judge; one that has to be fitted sees half independent, half equal columns."""
    rule = criterion(name, **parameters)
    if not hasattr(rule, "fit"):
        return rule
    values = np.random.default_rng(0).random((400, 12)) < 0.4
    values[:, 6:] = values[:, :6]
    both = values.T.astype(np.int64) @ values.astype(np.int64)
    tile = Contingency(both, both.diagonal().copy(), both.diagonal().copy(), len(values))
    return rule.fit(lambda: iter([(tile, np.triu(np.ones(both.shape, bool), 1))]))


def tables(seed: int, n: int, size: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exceptions and margins of tables of n examples; many have few exceptions, small, full or equal margins."""
    rng = np.random.default_rng(seed)
    shares = rng.choice([0.0, 1e-3, 0.05, 0.5, 0.95, 1.0], (2, size)) * rng.random((2, size)) ** rng.integers(0, 2)
    p, not_q = np.rint(shares * n).astype(np.int64)
    not_q = np.where(rng.random(size) < 0.2, p, not_q)
    least, most = np.maximum(0, p + not_q - n), np.minimum(p, not_q)
    e = least + np.floor((most - least) * rng.random(size) ** rng.choice([1, 4, 12, 40], size)).astype(np.int64)
    return e, p, not_q


@every
@given(seed=seeds, n=sizes)
@settings(max_examples=20, deadline=None)
def test_a_pair_and_its_contrapositive_are_judged_alike(name, parameters, seed, n):
    rule = ready(name, parameters)
    e, p, not_q = tables(seed, n)
    held = rule.holds(e, p, not_q, n)
    assert held.dtype == bool
    assert held.shape == e.shape
    assert (held == rule.holds(e, not_q, p, n)).all()


@every
@given(seed=seeds, n=sizes, fewer=st.sampled_from([1, 2, 50, 10**6]))
@settings(max_examples=20, deadline=None)
def test_fewer_exceptions_never_lose_a_pair(name, parameters, seed, n, fewer):
    rule = ready(name, parameters)
    e, p, not_q = tables(seed, n)
    less = np.maximum(e - fewer, np.maximum(0, p + not_q - n))
    assert (rule.holds(e, p, not_q, n) <= rule.holds(less, p, not_q, n)).all()


@every
@given(seed=seeds, n=sizes)
@settings(max_examples=30, deadline=None)
def test_what_holds_passes_the_sieve(name, parameters, seed, n):
    rule = ready(name, parameters)
    counts = tables(seed, n, 300)
    assert (rule.holds(*counts, n) <= sieve_of(rule).passes(*counts, n)).all()


@every
@given(seed=seeds, n=sizes)
@settings(max_examples=10, deadline=None)
def test_decisions_are_those_of_the_definition_up_to_two_billion_examples(name, parameters, seed, n):
    assert name in REFERENCES, f"write the definition of {name} into tests/references/criteria.py"
    rule = ready(name, parameters)
    e, p, not_q = tables(seed, n, 25)
    held = rule.holds(e, p, not_q, n)
    facts = {key: value for key, value in rule.to_dict().items() if key != "name"}
    for i, counts in enumerate(zip(e.tolist(), p.tolist(), not_q.tolist(), strict=True)):
        assert held[i] == REFERENCES[name](*counts, n, **facts), (counts, n)


@every
def test_margins_near_two_billion_do_not_overflow(name, parameters):
    rule, n = ready(name, parameters), 2**31
    for p, not_q in ((n // 2, n // 2), (n - 1000, n // 2), (n // 2 + 7, n // 2 - 9)):
        least, independent = max(0, p + not_q - n), p * not_q // n + 1
        e, a, b = (np.array([x, y], np.int64) for x, y in ((least, independent), (p, p), (not_q, not_q)))
        held = rule.holds(e, a, b, n)
        assert not held[1]
        assert held[0] == (least == 0), (p, not_q)


@every
@given(seed=seeds, n=sizes)
@settings(max_examples=10, deadline=None)
def test_margins_broadcast_against_the_exceptions(name, parameters, seed, n):
    rule, rng = ready(name, parameters), np.random.default_rng(seed)
    p, not_q = rng.integers(0, n + 1, (5, 1)), rng.integers(0, n + 1, (1, 8))
    least, most = np.maximum(0, p + not_q - n), np.minimum(p, not_q)
    e = least + ((most - least) * rng.random((5, 8)) ** 9).astype(np.int64)
    wide = [np.ascontiguousarray(np.broadcast_to(margin, e.shape)) for margin in (p, not_q)]
    held = rule.holds(e, p, not_q, n)
    assert (held == rule.holds(e, *wide, n)).all()
    assert (held.ravel() == rule.holds(e.ravel(), *(margin.ravel() for margin in wide), n)).all()
    assert (held[:, 3] == rule.holds(e[:, 3], p[:, 0], not_q[0, 3:4], n)).all()
    assert rule.holds(e[:0], p[:0], not_q, n).shape == (0, 8)


@every
@given(seed=seeds, n=sizes)
@settings(max_examples=30, deadline=None)
def test_independent_literals_do_not_imply_each_other(name, parameters, seed, n):
    rule = ready(name, parameters)
    _, p, not_q = tables(seed, n, 300)
    expected = np.array([-(-int(a) * int(b) // n) for a, b in zip(p, not_q, strict=True)])
    held = rule.holds(expected, p, not_q, n)
    if name in BY_PRECISION:
        held &= (2 * p >= n) | (2 * not_q >= n)
    assert not held.any()


@every
def test_equal_columns_imply_each_other(name, parameters):
    none, half = np.zeros(1, np.int64), np.array([2048])
    assert ready(name, parameters).holds(none, half, half, 4096).all()


@every
def test_the_record_is_json_and_makes_the_criterion_again(name, parameters):
    for rule in (criterion(name, **parameters), ready(name, parameters)):
        record = json.loads(json.dumps(rule.to_dict(), allow_nan=False))
        assert record["name"] == name
        assert criterion(**record) == rule
        assert criterion(rule) is rule
        assert isinstance(rule, Criterion)


@pytest.mark.parametrize("name", CRITERIA)
def test_parameters_of_other_criteria_are_left_unread(name):
    others = {key: value for other in LOOSE if other != name for key, value in LOOSE[other].items()}
    own = {key: value for key, value in others.items() if key not in criterion(name).to_dict()}
    assert criterion(name, **own, mining="all") == criterion(name)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("paper", {"alpha": 1.0}, r"alpha must be above 1 and finite, .*; got 1.0; 20 is usual"),
        ("paper", {"alpha": float("inf")}, r"and finite, .*; got inf"),
        ("ratio", {"alpha": float("nan")}, r"alpha must be above 1 and finite, .*; got nan"),
        ("ratio", {"alpha": 0.5}, r"alpha must be above 1 and finite, .*; got 0.5"),
        ("confidence", {"confidence": 0.5}, r"confidence in \(0.5, 1\] and a support .*; got 0.5 and 10"),
        ("confidence", {"support": 0}, r"support of at least 1 example; got 0.95 and 0"),
        ("wilson", {"bound": 1.0}, r"criterion.bound, .*, must be in \(0.5, 1\); got 1.0; 0.95 needs"),
        ("wilson", {"bound": 0.5}, r"must be in \(0.5, 1\); got 0.5"),
        ("fisher", {"q": 0.0}, r"criterion.q, the false discovery rate, must be in \(0, 0.5\); got 0.0; 0.05"),
        ("fisher", {"q": 0.5}, r"must be in \(0, 0.5\); got 0.5"),
        ("fisher", {"confidence": 1.5}, r"confidence in \(0.5, 1\]"),
        ("fisher", {"threshold": 0.7}, r"threshold, a p-value of fisher, must be in \[0, 0.5\); got 0.7; leave it out"),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_its_rule(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        criterion(name, **parameters)
