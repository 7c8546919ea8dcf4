"""Budget of implications: exceeding it ends with advice, within memory."""

import re

import numpy as np
import pytest

from ndg.bits.matrix import BitMatrix
from ndg.errors import BudgetError
from ndg.mining.criteria import CRITERIA, criterion
from ndg.mining.implication_buffer import Chunk, ImplicationBuffer
from ndg.mining.miner import find, sweep
from ndg.nodes import LayerUnits, NodeSpace


@pytest.fixture
def bits():
    hidden = np.random.default_rng(0).random((2000, 1))
    values = hidden < np.linspace(0.1, 0.9, 60)
    values ^= np.random.default_rng(1).random(values.shape) < 0.01
    return BitMatrix.from_bool(values, NodeSpace(0, (LayerUnits("x", 60),)))


def test_a_budget_that_is_met_changes_nothing(bits):
    found = find(bits, alpha=3)
    again = find(bits, alpha=3, max_edges=len(found))
    assert (found.antecedents == again.antecedents).all()
    assert (found.consequents == again.consequents).all()


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_the_advice_is_a_stricter_criterion_that_fits(bits, name):
    loose = {"alpha": 1.2, "confidence": 0.7, "support": 5, "bound": 0.7}
    size = len(find(bits, name, **loose))
    assert size > 600
    with pytest.raises(BudgetError, match=r"more than mining.max_edges = 300 implications hold") as told:
        find(bits, name, max_edges=300, **loose)
    changed = re.findall(r"criterion\.(\w+)=([\d.e+]+)", str(told.value))
    assert changed, told.value
    stricter = loose | {key: float(value) for key, value in changed}
    assert len(find(bits, name, max_edges=300, **stricter)) <= 300


def test_the_share_of_pairs_that_were_counted_is_told(bits, monkeypatch):
    monkeypatch.setattr("ndg.mining.counters.EDGE", 10)
    with pytest.raises(BudgetError, match=r"after \d+% of the pairs of nodes"):
        find(bits, alpha=1.2, max_edges=100)


def test_the_advice_is_right_where_only_some_layers_are_paired():
    """Pairs of other layers are not counted in the share."""
    hidden = np.random.default_rng(3).random((2000, 1))
    values = hidden < np.linspace(0.05, 0.95, 90)
    values ^= np.random.default_rng(4).random(values.shape) < 0.01
    nodes = NodeSpace(0, (LayerUnits("a", 30), LayerUnits("b", 30), LayerUnits("c", 30)))
    bits = BitMatrix.from_bool(values, nodes)
    mask = [("a", "b")]
    with pytest.raises(BudgetError, match="after 100% of the pairs of nodes") as told:
        find(bits, alpha=1.2, pairs=mask, max_edges=200)
    alpha, about = re.search(r"criterion\.alpha=([\d.]+) leaves about ([\d,]+)", str(told.value)).groups()
    assert len(find(bits, alpha=float(alpha), pairs=mask)) == int(about.replace(",", ""))


def test_of_a_sweep_the_loosest_criterion_is_made_stricter(bits):
    with pytest.raises(BudgetError, match=r"criterion\.alpha=(?:[2-9]|[1-3]\d)\.?\d*") as told:
        sweep(bits, [criterion("paper", alpha=100), criterion("paper", alpha=2)], max_edges=100)
    assert "criterion.alpha=125" not in str(told.value)


def test_a_criterion_that_knows_no_stricter_one_says_what_else_to_do(bits):
    with pytest.raises(BudgetError, match=r"use a criterion stricter than callable, raise the budget, or pair fewer"):
        find(bits, lambda e, p, q, n: e >= 0, max_edges=100)


def test_a_stricter_criterion_holds_for_fewer_pairs():
    rng = np.random.default_rng(2)
    n = 500
    antecedent, negation = rng.integers(1, n // 2, (2, 4000))
    exceptions = rng.integers(0, np.minimum(antecedent, negation) // 3 + 1)
    for name in CRITERIA:
        rule = criterion(name, threshold=1e-3)
        stricter = rule.stricter()
        assert (
            stricter.holds(exceptions, antecedent, negation, n) <= rule.holds(exceptions, antecedent, negation, n)
        ).all()
        assert stricter.to_dict() != rule.to_dict()


def test_tiles_are_read_until_the_budget_is_exceeded_and_not_when_it_is_met():
    def tile(count: int) -> tuple[Chunk, int]:
        return Chunk(*(np.zeros(count, kind) for kind in (np.int32, np.int32, np.int64, np.int64))), 10

    met = ImplicationBuffer(budget=4).extend([tile(2), tile(0), tile(0)])
    assert (len(met), met.judged) == (4, 30)
    exceeded = ImplicationBuffer(budget=4).extend([tile(2), tile(1), tile(1)])
    assert (len(exceeded), exceeded.judged) == (6, 20)
