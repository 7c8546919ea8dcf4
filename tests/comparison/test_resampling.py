"""Examples drawn again and paired anew, against indexing the plain booleans."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison import resampling
from ndg.comparison.resampling import bootstrapped, independent, paired_anew, shuffled_labels, take
from ndg.errors import BitsError
from tests.comparison.cases import bits, space


@given(st.integers(1, 200), st.integers(0, 150), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_taken_examples_are_those_of_their_numbers(examples, size, seed):
    rng = np.random.default_rng(seed)
    values = rng.random((examples, 10)) < 0.5
    numbers = rng.integers(0, examples, size)
    found = take(BitMatrix.from_bool(values, space()), numbers)
    assert found.examples == size
    assert (found.to_bool() == values[numbers]).all()
    assert found == BitMatrix.from_bool(values[numbers], space())


def test_blocks_of_rows_make_no_difference(monkeypatch):
    given_bits, numbers = bits(), np.arange(200)[::-1].copy()
    whole, mixed = take(given_bits, numbers), independent(given_bits, 3)
    monkeypatch.setattr(resampling, "ROWS_AT_ONCE", 3)
    assert take(given_bits, numbers) == whole
    assert independent(given_bits, 3) == mixed


def test_numbers_that_no_example_has_are_refused():
    with pytest.raises(BitsError, match=r"numbered 0 to 199; got 0 to 200; take numbers below"):
        take(bits(), np.array([0, 200]))


@pytest.mark.parametrize("examples", [2, 3, 64, 130])
def test_every_example_is_paired_with_another_one_and_each_is_used_once(examples):
    number = np.arange(examples)
    values = np.zeros((examples, 10), bool)
    values[:, :8] = (number[:, None] >> np.arange(8)) & 1
    found = paired_anew(BitMatrix.from_bool(values, space()), 5).to_bool()[:, :8] @ (1 << np.arange(8))
    assert sorted(found) == number.tolist()
    assert (found != number).all()


def test_a_single_example_has_no_other_to_be_paired_with():
    with pytest.raises(BitsError, match="at least 2; got 1"):
        paired_anew(bits(1), 0)


def test_shuffled_labels_move_together_and_leave_everything_else():
    given_bits = bits(labels=3, concepts=("odd",))
    found = shuffled_labels(given_bits, 0)
    before, after = given_bits.to_bool(), found.to_bool()
    assert (after[:, 3:] == before[:, 3:]).all()
    assert (after[:, :3].sum(axis=1) == 1).all()
    assert (after[:, :3].sum(axis=0) == before[:, :3].sum(axis=0)).all()
    assert (after[:, :3] != before[:, :3]).any()
    assert shuffled_labels(given_bits, 0) == found
    assert shuffled_labels(given_bits, 1) != found


def test_independent_nodes_are_as_often_on_and_say_nothing_of_each_other():
    given_bits = bits(600)
    found = independent(given_bits, 0)
    assert (found.on() == given_bits.on()).all()
    assert (found.to_bool("label").sum(axis=1) == 1).all()
    edges = len(discovery.mine(given_bits, alpha=5).implications)
    assert edges >= 8
    drawn = [len(discovery.mine(independent(given_bits, seed), alpha=5).implications) for seed in range(10)]
    assert np.mean(drawn) < edges / 4


def test_a_bootstrap_draws_as_many_examples_and_depends_on_its_number_alone():
    first = bootstrapped(1, 0, 500)
    assert len(first) == 500
    assert first.min() >= 0
    assert first.max() < 500
    assert (bootstrapped(1, 0, 500) == first).all()
    assert (bootstrapped(1, 1, 500) != first).any()
    assert len(np.unique(first)) == pytest.approx(500 * (1 - np.exp(-1)), abs=40)
