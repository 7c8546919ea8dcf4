"""False discovery rates against sorted p-values, and columns of the edge table."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.errors import ConfigError
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.mining.significance import edge_significance, q_values, step_up
from ndg.nodes import LayerUnits, NodeSpace
from tests.references import criteria as slow
from tests.references import mining


@dataclass
class Seen:
    """P-values of a list, seen through a window."""

    tests: int
    below: int
    bins: np.ndarray


def looking(p_values: list[float], looks: list | None = None):
    patterns = np.array(p_values, float).view(np.int64)

    def look(low: int, high: int, shift: int) -> Seen:
        assert (high - low) >> shift < 2**17
        if looks is not None:
            looks.append((low, high))
        bins = np.zeros(((high - low) >> shift) + 1, np.int64)
        np.add.at(bins, (patterns[(patterns >= low) & (patterns <= high)] - low) >> shift, 1)
        return Seen(len(patterns), int((patterns < low).sum()), bins)

    return look


@st.composite
def p_lists(draw) -> tuple[list[float], float]:
    """P-values with ties, zeros, subnormals, and values on or next to the line."""
    q, m = draw(st.sampled_from([0.05, 0.01, 0.3, 0.499])), draw(st.integers(1, 30))
    line = st.integers(1, m).map(lambda rank: rank * q / m)
    beside = st.tuples(line, st.sampled_from([0.0, 1.0])).map(lambda at: float(np.nextafter(*at)))
    tiny = st.sampled_from([0.0, 5e-324, 1e-310, 1e-200, 1e-20, q * 2.0**-40])
    spread = st.floats(-16, 0).map(lambda power: 10.0**power)
    return draw(st.lists(st.one_of(line, beside, tiny, spread), min_size=m, max_size=m)), q


@given(p_lists())
@settings(max_examples=200, deadline=None)
def test_the_threshold_rejects_what_sorting_rejects(case):
    p_values, q = case
    threshold, tests, rejections = step_up(looking(p_values), q)
    expected = slow.step_up(p_values, q)
    assert (tests, rejections) == (len(p_values), sum(expected))
    if rejections:
        assert [p <= threshold for p in p_values] == expected
    else:
        assert threshold == 0


@pytest.mark.parametrize("signal", [0, 50, 5000])
def test_one_or_two_looks_decide_among_many(signal):
    rng, looks = np.random.default_rng(signal), []
    p_values = np.concatenate([rng.random(20_000), 10 ** rng.uniform(-12, -3, signal)]).tolist()
    threshold, _, rejections = step_up(looking(p_values, looks), 0.05)
    expected = np.array(slow.step_up(p_values, 0.05))
    assert rejections == expected.sum()
    assert ((np.array(p_values) <= threshold) == expected).all() or not rejections
    assert len(looks) <= 3


def test_where_all_is_tied_all_is_rejected_or_nothing():
    assert step_up(looking([0.05] * 9), 0.05)[1:] == (9, 9)
    assert step_up(looking([0.0500001] * 9), 0.05)[1:] == (9, 0)
    assert step_up(looking([0.0] * 9), 0.05)[1:] == (9, 9)


values_of_p = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.02, 0.5, 1.0])), min_size=1, max_size=25
)


@given(values_of_p, st.data())
@settings(max_examples=100, deadline=None)
def test_q_values_of_some_tests_are_never_below_those_among_all(p_values, data):
    true = slow.q_values(p_values)
    kept = data.draw(st.lists(st.booleans(), min_size=len(p_values), max_size=len(p_values)))
    found = q_values(np.array(p_values)[kept], len(p_values))
    assert (found >= np.array(true)[kept] - 1e-12).all()
    assert (found <= 1).all()
    assert q_values(np.array(p_values), len(p_values)) == pytest.approx(true)


@given(values_of_p)
@settings(max_examples=100, deadline=None)
def test_q_values_order_as_p_values_do_and_say_what_is_rejected(p_values):
    q = q_values(np.array(p_values), len(p_values))
    assert (np.diff(q[np.argsort(p_values)]) >= 0).all()
    for level in (0.0112233445566, 0.2031415926535):
        assert (q <= level).tolist() == slow.step_up(p_values, level)


def test_more_p_values_than_tests_are_refused():
    with pytest.raises(ConfigError, match=r"3 p-values need at least as many tests; got 2"):
        q_values(np.array([0.1, 0.2, 0.3]), 2)
    assert q_values(np.array([]), 0).shape == (0,)


def mined(values: np.ndarray, labels: int, tests: int, criterion: dict) -> Implications:
    edges = mining.implications(values, labels, lambda *cells: mining.confidence(*cells, 0.8, 5))
    codes = sorted((2 * p + a, 2 * q + b, e) for ((p, a), (q, b)), e in edges.items())
    antecedents, consequents, exceptions = (np.array(column) for column in zip(*codes, strict=True))
    units = values.shape[1] - labels
    return Implications(
        nodes=NodeSpace(labels, (LayerUnits("a", units - 2),), ("wings", "beak")),
        antecedents=antecedents.astype(np.int32),
        consequents=consequents.astype(np.int32),
        exceptions=exceptions.astype(np.int64),
        on=values.sum(axis=0).astype(np.int64),
        with_label=values[:, :labels].T.astype(np.int64) @ values.astype(np.int64),
        examples=len(values),
        constants=(Literal(0, True),)[:0],
        criterion=criterion,
        thresholds=np.zeros(units - 2),
        binarizer="given",
        bits_digest="",
        tests=tests,
    )


@pytest.mark.parametrize("rule", [{"name": "confidence"}, {"name": "fisher", "q": 1e-3}])
def test_every_edge_has_its_p_value_and_an_upper_bound_of_its_q_value(rule):
    rng = np.random.default_rng(0)
    values = rng.random((80, 9)) < 0.4
    values[:, 1], values[:, 8] = ~values[:, 0], values[:, 7]  # two labels, and two concepts, that are equivalent
    for column, like in ((3, 0), (4, 3), (6, 7)):
        values[:, column] = values[:, like] ^ (rng.random(80) < 0.03)
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9) if (i, j) not in ((0, 1), (7, 8))]
    implications = mined(values, 2, 4 * len(pairs), rule)
    p, q = edge_significance(implications)
    every = {}
    for i, j in pairs:
        for a in (True, False):
            for b in (True, False):
                one, other = values[:, i] == a, values[:, j] != b
                counts = int((one & other).sum()), int(one.sum()), int(other.sum())
                every[2 * i + a, 2 * j + b] = float(slow.tail(*counts, 80))
    true = dict(zip(every, slow.q_values(list(every.values())), strict=True))
    untested = 0
    for edge, (a, c) in enumerate(zip(implications.antecedents, implications.consequents, strict=True)):
        key = (a, c) if a < c else (c ^ 1, a ^ 1)
        if key not in every:
            assert {a >> 1, c >> 1} in ({0, 1}, {7, 8})
            assert np.isnan(q[edge])
            assert p[edge] < 1e-10
            untested += 1
            continue
        assert p[edge] == pytest.approx(every[key], rel=1e-11)
        assert true[key] <= q[edge] * (1 + 1e-9) or q[edge] == 1e-3
        assert q[edge] <= rule.get("q", 1)
    assert untested == 8
    assert len(p) > untested + 8


def test_a_graph_that_does_not_know_its_tests_has_no_q_values():
    values = np.random.default_rng(0).random((80, 6)) < 0.4
    values[:, 3] = values[:, 0]
    p, q = edge_significance(mined(values, 1, 0, {"name": "confidence"}))
    assert len(p) >= 4
    assert (p < 1e-10).sum() >= 4
    assert np.isnan(q).all()
