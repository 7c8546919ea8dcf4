"""Splits are disjoint, stratified and seeded, and never lack a class."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndg import data
from ndg.config import Data
from ndg.data.examples import SPLITS, Pool, split
from ndg.data.inputs import held
from ndg.errors import DataError


def pool(labels, names=None):
    labels = np.asarray(labels, dtype=np.int64)
    inputs = np.arange(len(labels), dtype=np.float32)[:, None, None, None] / max(1, len(labels))
    return Pool(held(inputs), labels, names or tuple("abcdefghij"[: labels.max() + 1]), "a test")


@pytest.fixture(scope="module")
def digits():
    return data.load(Data())


def test_digits_are_pixels_in_0_1_of_ten_classes(digits):
    assert digits.form.shape == (1, 8, 8)
    assert digits.classes == 10
    assert digits.class_names == tuple("0123456789")
    assert digits.train.inputs.batch().dtype == torch.float32
    assert digits.train.inputs.batch().min() == 0
    assert digits.train.inputs.batch().max() == 1
    assert digits.sizes() == {"train": 1259, "validation": 179, "test": 359}
    assert sum(digits.sizes().values()) == 1797


def test_splits_of_digits_are_disjoint_and_hold_the_fractions_of_every_class(digits):
    drawn = torch.cat([digits[name].indices for name in SPLITS])
    assert sorted(drawn.tolist()) == list(range(1797))
    whole = Counter(torch.cat([digits[name].labels for name in SPLITS]).tolist())
    for name, fraction in (("validation", 0.1), ("test", 0.2)):
        of_class = Counter(digits[name].labels.tolist())
        assert all(abs(of_class[label] - fraction * whole[label]) <= 0.5 for label in range(10))


def test_another_seed_draws_other_splits_and_the_same_seed_the_same(digits):
    again, other = data.load(Data()), data.load(Data(seed=1))
    for name in SPLITS:
        assert torch.equal(again[name].indices, digits[name].indices)
        assert torch.equal(again[name].inputs.batch(), digits[name].inputs.batch())
    assert not torch.equal(other.test.indices, digits.test.indices)


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=80),
    validation=st.floats(0.05, 0.45),
    test=st.floats(0.05, 0.45),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_every_pool_is_divided_wholly_or_refused_for_a_class_that_a_split_lacks(labels, validation, test, seed):
    try:
        splits = split(pool(labels), validation, test, seed)
    except DataError:
        smallest = min(Counter(labels)[label] for label in range(max(labels) + 1))
        drawn = round(smallest * validation), round(smallest * test)
        assert 0 in drawn or sum(drawn) >= smallest
        return
    drawn = torch.cat([splits[name].indices for name in SPLITS])
    assert sorted(drawn.tolist()) == list(range(len(labels)))
    for name in SPLITS:
        assert set(splits[name].labels.tolist()) == set(labels)
        assert [labels[index] for index in splits[name].indices.tolist()] == splits[name].labels.tolist()
        assert splits[name].indices.tolist() == sorted(splits[name].indices.tolist())


def test_the_draw_of_a_class_does_not_depend_on_the_other_classes():
    few, many = pool([0] * 20 + [1] * 20), pool([0] * 20 + [1] * 20 + [2] * 30)
    test_of = [set(split(each, 0.2, 0.2, 5).test.indices.tolist()) for each in (few, many)]
    assert test_of[0] == {index for index in test_of[1] if index < 40}


def test_an_empty_split_says_how_many_examples_there_were():
    with pytest.raises(DataError, match=r"validation split must hold.*empty: 9 examples of 1 classes in a test"):
        split(pool([0] * 9), 0.05, 0.2, 0)
    with pytest.raises(DataError, match=r"test split.*raise data\.test"):
        data.load(Data(test=0.0001))
    with pytest.raises(DataError, match=r"train split.*lower data\.validation or data\.test"):
        split(pool([0] * 10), 0.5, 0.5, 0)


def test_a_class_that_a_split_lacks_is_named():
    with pytest.raises(DataError, match=r"must occur in the validation split; class 'b' never does.*raise data\.val"):
        split(pool([0] * 40 + [1] * 4), 0.1, 0.3, 0)
    with pytest.raises(DataError, match=r"class 'cat' never does \(a test has 0 examples of 'cat'\); add examples"):
        split(pool([0] * 20 + [2] * 20, ("ant", "cat", "dog")), 0.2, 0.2, 0)


def test_an_unknown_split_is_named(digits):
    with pytest.raises(DataError, match=r"got 'tset'; nearest: test"):
        digits["tset"]


def test_a_loader_gives_all_examples_in_order_every_time_it_is_walked(digits):
    loader = digits.test.loader(batch_size=100)
    assert len(loader) == 4
    for _ in range(2):
        batches = list(loader)
        assert [len(labels) for _, labels in batches] == [100, 100, 100, 59]
        assert torch.equal(torch.cat([inputs for inputs, _ in batches]), digits.test.inputs.batch())
        assert torch.equal(torch.cat([labels for _, labels in batches]), digits.test.labels)


def test_a_part_of_the_examples_keeps_inputs_labels_and_indices_together(digits):
    part = digits.train[torch.tensor([5, 2])]
    assert len(part) == 2
    assert part.indices.tolist() == [digits.train.indices[5], digits.train.indices[2]]
    assert torch.equal(part.inputs.batch()[1], digits.train.inputs.batch()[2])


def test_splits_do_not_look_at_the_folder(digits, tmp_path):
    elsewhere = data.load(replace(Data(), dir=str(tmp_path)))
    assert torch.equal(elsewhere.test.indices, digits.test.indices)
