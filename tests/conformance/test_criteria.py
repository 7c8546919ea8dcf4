"""Every criterion in the registry keeps the laws of `ndg.testing`, and decides as its definition does."""

import json

import numba
import pytest

from ndg.errors import ConfigError
from ndg.mining.criteria import CRITERIA, Criterion, criterion
from ndg.testing import CRITERION_CHECKS
from ndg.testing.criteria import dependent, ready, rounds, tables
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


@pytest.fixture(autouse=True)
def alone():
    """Arrays here are small; threads that wait for each other would take most of the time."""
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(threads)


@every
@pytest.mark.parametrize("check", CRITERION_CHECKS)
def test_a_criterion_keeps_the_laws(name, parameters, check):
    CRITERION_CHECKS[check](criterion(name, **parameters))


@every
def test_independent_literals_do_not_imply_each_other_whatever_their_margins(name, parameters):
    if name not in BY_PRECISION:
        dependent(criterion(name, **parameters), everywhere=True)


@every
def test_decisions_are_those_of_the_definition_up_to_two_billion_examples(name, parameters):
    assert name in REFERENCES, f"write the definition of {name} into tests/references/criteria.py"
    rule = ready(criterion(name, **parameters))
    facts = {key: value for key, value in rule.to_dict().items() if key != "name"}
    for seed, n in rounds(10):
        e, p, not_q = tables(seed, n, 25)
        held = rule.holds(e, p, not_q, n)
        for i, counts in enumerate(zip(e.tolist(), p.tolist(), not_q.tolist(), strict=True)):
            assert held[i] == REFERENCES[name](*counts, n, **facts), (counts, n)


@every
def test_the_record_makes_the_criterion_again(name, parameters):
    for rule in (criterion(name, **parameters), ready(criterion(name, **parameters))):
        record = json.loads(json.dumps(rule.to_dict(), allow_nan=False))
        assert record["name"] == name
        assert criterion(**record) == rule
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
