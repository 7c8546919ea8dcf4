"""Packed booleans: round trips, growth, and zero padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ndg.bits import kernel  # compiled here, not inside the first example of a law
from ndg.bits.matrix import BitMatrix, BitMatrixBuilder, Sample, concatenate
from ndg.errors import BitsError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace
from tests.references.bits import words_of

assert kernel.pack.signatures

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


@given(tables, st.integers(0, 200), st.integers(0, 200))
def test_adding_does_not_depend_on_the_brackets(values, cut, other):
    nodes, cuts = space(values.shape[1]), sorted((min(cut, len(values)), min(other, len(values))))
    a, b, c = (BitMatrix.from_bool(part, nodes) for part in np.split(values, cuts))
    assert (a + b) + c == a + (b + c) == concatenate([a, b, c]) == BitMatrix.from_bool(values, nodes)


@given(tables)
def test_the_words_are_those_of_one_bit_at_a_time(values):
    assert (BitMatrix.from_bool(values, space(values.shape[1])).words == words_of(values)).all()


@given(tables, st.integers(0, 3))
def test_activations_give_the_bits_of_their_booleans(values, labels):
    nodes = NodeSpace(labels, (LayerUnits("a", values.shape[1]), LayerUnits("b", 2)))
    draw = np.random.default_rng(len(values))
    first = values - draw.random(values.shape, np.float32)
    second = draw.standard_normal((len(values), 2), np.float32)
    predicted = draw.random((len(values), labels)) < 0.5
    thresholds = draw.standard_normal(nodes.neurons) / 4
    builder = BitMatrixBuilder(nodes)
    for part in (slice(0, 67), slice(67, None)):
        builder.append_above(predicted[part], [first[part].astype(np.float32), second[part]], thresholds)
    neurons = np.concatenate([first.astype(np.float32), second], axis=1).astype(np.float64) > thresholds
    assert builder.finish(thresholds) == BitMatrix.from_bool(
        np.concatenate([predicted, neurons], axis=1), nodes, thresholds
    )


@given(tables, st.integers(0, 200))
def test_packed_examples_are_appended_as_their_booleans_are(values, cut):
    builder, nodes = BitMatrixBuilder(space(values.shape[1])), space(values.shape[1])
    for part in (values[:cut], values[cut:]):
        builder.append_words(BitMatrix.from_bool(part, nodes).words, len(part))
    assert builder.finish(np.zeros(nodes.neurons)).words.tolist() == words_of(values).tolist()
    with pytest.raises(BitsError, match=r"packed words must have shape \(nodes, examples / 64\)"):
        BitMatrixBuilder(nodes).append_words(np.zeros((len(nodes), 2), np.uint64), 64)


def test_words_may_be_part_of_a_larger_array():
    values = np.random.default_rng(0).random((130, 4)) < 0.5
    whole = BitMatrix.from_bool(values, space(4))
    large = np.full((4, 40), 7, np.uint64)
    large[:, 5:8] = whole.words
    part = BitMatrix(space(4), large[:, 5:8], 130, whole.thresholds)
    assert part == whole
    assert part.digest == whole.digest
    assert (part.on() == values.sum(axis=0)).all()
    assert (part.to_bool("a") == values[:, 1:]).all()
    assert part + whole == BitMatrix.from_bool(np.concatenate([values, values]), space(4))
    large[:] = 0
    assert part.digest == whole.digest, "taken once"
    with pytest.raises(BitsError, match="words of a row must be contiguous, 8 bytes apart; got 16"):
        BitMatrix(space(4), np.zeros((4, 6), np.uint64)[:, ::2], 130, whole.thresholds)


def test_a_builder_that_has_finished_takes_no_more():
    builder = BitMatrixBuilder(space(2))
    builder.append(np.ones((3, 2), bool))
    bits = builder.finish(np.zeros(1))
    with pytest.raises(BitsError, match="a finished matrix cannot grow"):
        builder.append(np.ones((3, 2), bool))
    assert (bits.on() == 3).all()


def test_a_sum_of_choices_is_no_choice():
    nodes, chosen = space(2), Sample(seed=3, of=1000)
    bits = BitMatrix.from_bool(np.ones((2, 2), bool), nodes, sample=chosen)
    assert concatenate([bits]).sample == chosen
    assert concatenate([bits, bits]).sample is None


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
    with pytest.raises(BitsError, match="a batch holds booleans; got float32; binarise first"):
        builder.append(np.ones((2, 3), np.float32))
    with pytest.raises(BitsError, match="a batch holds booleans; got uint8"):
        builder.append(np.ones((2, 3), np.uint8))
    three = np.ones((3, 2), np.float32)
    with pytest.raises(BitsError, match=r"expected shapes \[\(2, 1\), \(2, 2\)\], got \[\(2, 1\), \(3, 2\)\]"):
        builder.append_above(np.ones((2, 1), bool), [three], np.zeros(2))
    with pytest.raises(BitsError, match=r"one threshold per neuron: expected 2, got \(3,\)"):
        builder.append_above(np.ones((3, 1), bool), [three], np.zeros(3))
    named = BitMatrixBuilder(NodeSpace(1, (LayerUnits("a", 2),), ("c",)))
    with pytest.raises(BitsError, match="concepts are added after all examples"):
        named.append_above(np.ones((3, 1), bool), [three], np.zeros(2))
    assert builder.examples == 0
    one, other = (BitMatrix.from_bool(np.ones((2, n), bool), space(n)) for n in (2, 3))
    with pytest.raises(ShapeError, match="must have the same nodes"):
        _ = one + other
    raised = BitMatrix.from_bool(np.ones((2, 2), bool), space(2), np.ones(1))
    with pytest.raises(ShapeError, match="must have the same thresholds"):
        _ = one + raised


def test_correct_predictions_add_up_where_they_are_known():
    nodes = space(2)
    known = BitMatrix.from_bool(np.ones((2, 2), bool), nodes, correct=1)
    assert concatenate([known, known]).correct == 2
    assert concatenate([known, BitMatrix.from_bool(np.ones((2, 2), bool), nodes)]).correct is None
