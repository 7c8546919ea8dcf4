"""Directions of the logits: orthonormal, turn by turn, and as noisy as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg.importance.methods.fast.directions import Directions, alike

FEW = settings(max_examples=25, deadline=None)


@FEW
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 12), st.lists(st.integers(0, 2), max_size=30))
def test_examples_of_a_class_share_a_rotation_by_turns(seed, logits, each, classes):
    each = min(each, logits)
    found = Directions(seed, logits, each).of(np.array(classes, dtype=np.int64))
    turns = logits // each
    for label in set(classes):
        of_class = found[np.array(classes) == label]
        for start in range(0, len(of_class), turns):
            together = of_class[start : start + turns].reshape(-1, logits)
            np.testing.assert_allclose(together @ together.T, np.eye(len(together)), atol=1e-9)


@FEW
@given(st.integers(0, 2**31), st.lists(st.integers(0, 2), min_size=2, max_size=20), st.data())
def test_they_depend_on_the_order_of_examples_and_not_on_batches(seed, classes, data):
    cut = data.draw(st.integers(0, len(classes)))
    whole, parts = Directions(seed, 7, 2), Directions(seed, 7, 2)
    labels = np.array(classes, dtype=np.int64)
    np.testing.assert_array_equal(
        whole.of(labels), np.concatenate([parts.of(labels[:cut]), parts.of(labels[cut:])])
    )  # fmt: skip
    assert whole.pairs == parts.pairs


def test_pairs_are_those_that_share_a_rotation():
    found = Directions(0, 7, 2)  # three turns
    found.of(np.array([0, 0, 1, 0, 0, 1, 0]))
    assert found.pairs == 3 + 1 + 1  # of class 0 three and two, of class 1 two


def test_as_many_directions_as_logits_lose_nothing():
    found, effect = Directions(3, 6, 6), np.random.default_rng(0).normal(size=6)
    np.testing.assert_allclose(
        np.linalg.norm(found.of(np.zeros(4, dtype=np.int64)) @ effect, axis=1), np.linalg.norm(effect)
    )
    assert found.scale == pytest.approx(1)
    assert found.spread == pytest.approx(0)
    assert found.shared(4, 1.0) == 1


@pytest.mark.parametrize("each", [1, 3, 4])
@pytest.mark.parametrize("same", [True, False])
def test_the_noise_of_a_mean_is_what_they_say(each, same):
    logits, many, draw = 10, 40, np.random.default_rng(each)
    means = []
    for seed in range(300):
        effects = np.repeat(draw.normal(size=(1, logits)), many, axis=0) if same else draw.normal(size=(many, logits))
        effects /= np.linalg.norm(effects, axis=1, keepdims=True)
        directions = Directions(seed, logits, each)
        parts = np.einsum("ekl,el->ek", directions.of(np.zeros(many, dtype=np.int64)), effects)
        means.append(np.linalg.norm(parts, axis=1).mean() / directions.scale)
    near = 1.0 if same else 1 / logits
    one = directions.spread / (1 - directions.spread) / many
    assert np.mean(means) == pytest.approx(1, abs=4 * (one / 300) ** 0.5)
    assert np.var(means) == pytest.approx(one * directions.shared(many, near), rel=0.35)


def test_how_alike_effects_are():
    along, across = np.eye(4)[:1], np.eye(4)[1:2]
    assert alike(np.stack([[2 * along[0], -along[0]]])) == pytest.approx(1)
    assert alike(np.stack([[along[0], across[0]]])) == pytest.approx(0)
    assert alike(np.zeros((3, 2, 4))) == 0
    assert alike(np.ones((3, 1, 4))) == 0  # one example is like no other
    draw = np.random.default_rng(0).normal(size=(400, 5, 8))
    assert alike(draw) == pytest.approx(1 / 8, abs=0.01)
