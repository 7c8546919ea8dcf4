"""Draws depend on seed and example alone and are uniform; prototypes are the majority of a class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndg.abstraction.controls import CONTROLS, Controls, Prototypes
from ndg.graph.ndg import NDG
from ndg.interventions.intervention_sets import alternatives
from ndg.interventions.subsets import booleans, subsets
from ndg.nodes import LayerUnits, NodeSpace
from tests.references.graph_cases import implications

MANY = np.arange(6000)


@given(seed=st.integers(0, 2**63 - 1), labels=st.integers(2, 6), start=st.integers(0, 10**12))
def test_an_alternative_is_never_the_true_class(seed, labels, start):
    true = np.arange(50) % labels
    other = alternatives(seed, start + np.arange(50), true, labels)
    assert ((other != true) & (other >= 0) & (other < labels)).all()


def test_alternatives_are_uniform_over_the_other_classes():
    other = alternatives(0, MANY, np.full(len(MANY), 2), 5)
    counts = np.bincount(other, minlength=5)
    assert counts[2] == 0
    assert abs(counts[[0, 1, 3, 4]] - 1500).max() < 5 * np.sqrt(1500)


@given(seed=st.integers(0, 2**63 - 1), size=st.integers(0, 7))
def test_a_subset_has_its_size(seed, size):
    assert (subsets(seed, "x", np.arange(9), np.full(9, size), 7).sum(axis=1) == size).all()


def test_subsets_are_uniform_over_units_and_pairs():
    drawn = subsets(1, "x", MANY, np.full(len(MANY), 2), 4)
    pairs = np.bincount(drawn @ (1 << np.arange(4)), minlength=16)
    assert abs(pairs[[3, 5, 6, 9, 10, 12]] - 1000).max() < 5 * np.sqrt(1000)


def test_booleans_are_fair():
    assert abs(booleans(2, "x", MANY, 3).sum(axis=0) - 3000).max() < 5 * np.sqrt(1500)


@given(seed=st.integers(0, 2**63 - 1), cut=st.integers(0, 40))
def test_draws_do_not_depend_on_the_batch(seed, cut):
    examples, sizes = np.arange(40), np.arange(40) % 6
    for draw in (
        lambda part: alternatives(seed, examples[part], examples[part] % 3, 3),
        lambda part: subsets(seed, "x", examples[part], sizes[part], 5),
        lambda part: booleans(seed, "x", examples[part], 5),
    ):
        parts = np.concatenate([draw(slice(0, cut)), draw(slice(cut, None))])
        assert np.array_equal(parts, draw(slice(None)))


def test_another_seed_or_purpose_draws_otherwise():
    sizes = np.full(20, 3)
    base = subsets(0, "a", np.arange(20), sizes, 9)
    assert not np.array_equal(base, subsets(1, "a", np.arange(20), sizes, 9))
    assert not np.array_equal(base, subsets(0, "b", np.arange(20), sizes, 9))
    assert np.array_equal(base, subsets(0, "a", np.arange(20), sizes, 9))


@pytest.fixture
def prototypes() -> Prototypes:
    """Ten examples of class 0 (units on: 9, 5, 1, 10), four of class 1 (0, 1, 4, 4), none of class 2."""
    nodes = NodeSpace(3, (LayerUnits("a", 4),))
    bits = np.zeros((14, 7), np.bool_)
    bits[:10, 0] = bits[10:, 1] = True
    for column, (first, second) in enumerate([(9, 0), (5, 1), (1, 4), (10, 4)], start=3):
        bits[:first, column] = True
        bits[10 : 10 + second, column] = True
    graph = NDG(replace(implications(bits, nodes, []), thresholds=np.zeros(4)))
    return Prototypes.of(graph, "a")


def test_a_prototype_is_the_majority_and_off_at_a_tie(prototypes):
    assert prototypes.values.tolist() == [[True, False, False, True], [False, False, True, True], [False] * 4]


def test_the_surest_units_come_first_and_equals_by_index(prototypes):
    # sureness of class 0: 9, 5, 9, 10 of 10; of class 1: 4, 3, 4, 4 of 4; class 2 has no example
    assert prototypes.place.tolist() == [[1, 3, 2, 0], [0, 3, 1, 2], [0, 1, 2, 3]]


def test_controls_set_the_asked_number_of_units(prototypes):
    sizes = np.array([0, 1, 2, 3, 4])
    other = np.array([0, 1, 2, 0, 1])
    controls = Controls(prototypes, 0, np.arange(5), other)
    found = controls.of(sizes)
    assert (*found, *controls.of_changes(np.zeros((5, 4), np.bool_), sizes)) == CONTROLS
    for name, (mask, _) in found.items():
        assert np.array_equal(mask.sum(axis=1), 0 * sizes if name == "binarise" else sizes)
    for name in ("prototype_random", "prototype_surest"):
        assert np.array_equal(found[name][1], prototypes.values[other])
    assert found["prototype_surest"][0][3].tolist() == [True, False, True, True]


def test_controls_of_as_many_changes_set_the_first_units_that_differ(prototypes):
    """Class 1 asks for 0011 and, surest first, units 0, 2, 3, 1; the bits 0101 differ in units 1 and 2."""
    bits = np.tile([False, True, False, True], (5, 1))
    changes, other = np.array([0, 1, 2, 3, 4]), np.ones(5, np.int64)
    chosen, values = Controls(prototypes, 0, np.arange(5), other).of_changes(bits, changes)["prototype_surest_changed"]
    assert values.tolist() == [[False, False, True, True]] * 5
    assert chosen.astype(int).tolist() == [[0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert (chosen & (values != bits)).sum(axis=1).tolist() == [0, 1, 2, 2, 2]
