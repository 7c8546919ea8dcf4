"""Laws of every order of class prototypes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ndg.interventions.prototypes import ORDERS, ClassCounts, ranked


def drawn(units: int = 9, seed: int = 0) -> ClassCounts:
    """Counts of three classes; the last unit is on in all examples, the one before in none."""
    rng = np.random.default_rng(seed)
    size = rng.integers(20, 40, (3, 1))
    other = size.sum() - size
    on, other_on = rng.integers(0, size + 1, (3, units)), rng.integers(0, other + 1, (3, units))
    on[:, -1], other_on[:, -1], on[:, -2], other_on[:, -2] = size[:, 0], other[:, 0], 0, 0
    return ClassCounts(on, size, other_on, other)


def units_of(counts: ClassCounts, units: Any) -> ClassCounts:
    return replace(counts, on=counts.on[:, units], other_on=counts.other_on[:, units])


@pytest.mark.parametrize("name", ORDERS)
def test_each_class_has_an_order_of_all_units_whatever_their_position(name):
    counts = drawn()
    order = ranked(counts)[name]
    assert np.sort(order.place, axis=1).tolist() == [list(range(9))] * 3
    turned = ranked(units_of(counts, np.arange(8, -1, -1)))[name]
    assert np.array_equal(turned.values[:, ::-1], order.values)
    strength, _ = ORDERS[name](counts)
    by_strength = np.take_along_axis(strength, np.argsort(order.place, axis=1), axis=1)
    assert (np.diff(by_strength) <= 0).all()
    assert ranked(units_of(counts, [0, 0]))[name].place.tolist() == [[0, 1]] * 3  # ties by index


@pytest.mark.parametrize("name", ORDERS)
def test_examples_off_instead_of_on_turn_the_boolean_and_keep_the_order(name):
    counts = drawn()
    off = replace(counts, on=counts.size - counts.on, other_on=counts.other_size - counts.other_on)
    (strength, on), (other, turned) = ORDERS[name](counts), ORDERS[name](off)
    assert np.array_equal(strength, other)
    assert ((on != turned) | (2 * counts.on == counts.size)).all()


@pytest.mark.parametrize("name", [name for name in ORDERS if name != "surest"])
def test_a_unit_of_the_same_share_everywhere_comes_last(name):
    """A class of as many examples as the others together, in half of which each unit is on; unit 0 differs."""
    on, size = np.array([[9, 5, 5]]), np.array([[10]])
    order = ranked(ClassCounts(on, size, np.array([[1, 5, 5]]), size))[name]
    assert order.place.tolist() == [[0, 1, 2]]
    assert order.values.tolist() == [[True, False, False]]
