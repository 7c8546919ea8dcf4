"""Packed booleans: packing and back, growth by examples only, and padding that stays zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ndg.bits.matrix import BitMatrix, BitMatrixBuilder, concatenate
from ndg.errors import BitsError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace

tables = st.integers(1, 6).flatmap(lambda nodes: arrays(bool, st.tuples(st.integers(0, 200), st.just(nodes))))


def space(nodes: int) -> NodeSpace:
    return NodeSpace(1, (LayerUnits("a", nodes - 1),) if nodes > 1 else ())


@given(tables)
def test_packing_and_unpacking_give_the_booleans_back(values):
    bits = BitMatrix.from_bool(values, space(values.shape[1]))
    assert (bits.to_bool() == values).all()
    assert (bits.on() == values.sum(axis=0)).all()
    assert len(bits) == len(values)


@given(tables, st.lists(st.integers(0, 200), max_size=5))
def test_the_batches_of_examples_do_not_matter(values, cuts):
    builder = BitMatrixBuilder(space(values.shape[1]))
    for part in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
        builder.append(part)
    thresholds = np.full(values.shape[1] - 1, np.nan)
    bits = builder.finish(thresholds)
    whole = BitMatrix.from_bool(values, space(values.shape[1]))
    assert bits == whole
    assert bits.digest == whole.digest


@given(tables, st.integers(0, 200))
def test_adding_two_matrices_puts_one_after_the_other(values, cut):
    nodes = space(values.shape[1])
    first, second = BitMatrix.from_bool(values[:cut], nodes), BitMatrix.from_bool(values[cut:], nodes)
    assert first + second == BitMatrix.from_bool(values, nodes)


def test_bits_past_the_last_example_are_zero_or_refused():
    for examples in (1, 63, 64, 65):
        bits = BitMatrix.from_bool(np.ones((examples, 2), bool), space(2))
        assert np.bitwise_count(bits.words).sum() == 2 * examples
    words = np.full((2, 1), 0xFF, np.uint64)
    with pytest.raises(BitsError, match="bits past example 7 must be zero"):
        BitMatrix(space(2), words, 7, np.zeros(1))


def test_one_layer_can_be_read_alone():
    values = np.eye(3, dtype=bool)
    bits = BitMatrix.from_bool(values, space(3))
    assert (bits.to_bool("a") == values[:, 1:]).all()
    assert (bits.to_bool("label") == values[:, :1]).all()


def test_a_matrix_cannot_be_changed():
    bits = BitMatrix.from_bool(np.ones((3, 2), bool), space(2))
    with pytest.raises(ValueError, match="read-only"):
        bits.words[0, 0] = 0


def test_what_is_not_boolean_or_not_of_these_nodes_is_refused():
    builder = BitMatrixBuilder(space(3))
    with pytest.raises(BitsError, match=r"expected 3, got shape \(2, 2\)"):
        builder.append(np.ones((2, 2), bool))
    assert builder.examples == 0
    one, other = (BitMatrix.from_bool(np.ones((2, n), bool), space(n)) for n in (2, 3))
    with pytest.raises(ShapeError, match="over the same nodes"):
        _ = one + other
    raised = BitMatrix.from_bool(np.ones((2, 2), bool), space(2), np.ones(1))
    with pytest.raises(ShapeError, match="binarised alike"):
        _ = one + raised


def test_correct_predictions_add_up_where_they_are_known():
    nodes = space(2)
    known = BitMatrix.from_bool(np.ones((2, 2), bool), nodes, correct=1)
    assert concatenate([known, known]).correct == 2
    assert concatenate([known, BitMatrix.from_bool(np.ones((2, 2), bool), nodes)]).correct is None
