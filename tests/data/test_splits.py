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
from ndg.data.examples import SPLITS, Pool, divide, split
from ndg.data.inputs import Texts, as_inputs
from ndg.errors import DataError


def pool(labels, names=None):
    labels = np.asarray(labels, dtype=np.int64)
    inputs = np.arange(len(labels), dtype=np.float32)[:, None, None, None] / max(1, len(labels))
    return Pool(as_inputs(inputs), labels, names or tuple("abcdefghij"[: labels.max() + 1]), "a test")


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
        counts = [Counter(labels)[label] for label in range(max(labels) + 1)]
        drawn = [(count, round(count * validation), round(count * test)) for count in counts]
        assert any(0 in parts or sum(parts) >= count for count, *parts in drawn) or len(counts) == 1
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
    with pytest.raises(DataError, match=r"validation split must have.*empty: 18 examples of 2 classes in a test"):
        split(pool([0, 1] * 9), 0.05, 0.2, 0)
    with pytest.raises(DataError, match=r"test split.*raise data\.test"):
        data.load(Data(test=0.0001))
    with pytest.raises(DataError, match=r"train split.*lower data\.validation or data\.test"):
        split(pool([0, 1] * 10), 0.5, 0.5, 0)


def test_one_class_is_not_a_classification():
    with pytest.raises(DataError, match=r"needs at least 2 classes; a test has only 'a'; add examples"):
        split(pool([0] * 100), 0.2, 0.2, 0)


def test_a_class_that_a_split_lacks_is_named():
    with pytest.raises(DataError, match=r"must occur in the validation split; class 'b' never does.*raise data\.val"):
        split(pool([0] * 40 + [1] * 4), 0.1, 0.3, 0)
    with pytest.raises(DataError, match=r"class 'cat' never does \(a test has 0 examples of 'cat'\); add examples"):
        split(pool([0] * 20 + [2] * 20, ("ant", "cat", "dog")), 0.2, 0.2, 0)


def parted(train, validation):
    """Two classes with these numbers of training and validation examples, no test set."""
    labels = np.tile([0, 1], train + validation)
    return replace(pool(labels), parts=np.repeat(np.int8([0, 1]), [2 * train, 2 * validation]))


def test_a_published_validation_set_gives_the_test_set_where_there_is_none():
    splits = split(parted(30, 11), 0.2, 0.4, 0)
    assert splits.train.indices.tolist() == list(range(60))
    assert splits.test.labels.bincount().tolist() == [5, 5]
    assert splits.validation.labels.bincount().tolist() == [6, 6]
    rest = torch.cat([splits.validation.indices, splits.test.indices])
    assert sorted(rest.tolist()) == list(range(60, 82))
    again, other = (split(parted(30, 11), 0.3, 0.1, seed) for seed in (0, 1))
    assert torch.equal(again.test.indices, splits.test.indices)
    assert not torch.equal(other.test.indices, splits.test.indices)
    with pytest.raises(DataError, match=r"test split must have.*by \{\}; get a copy with a larger validation set"):
        split(parted(30, 1), 0.2, 0.4, 0)


def texts(*given, parts=None):
    labels = np.arange(len(given)) % 2
    return replace(pool(labels), inputs=Texts(given), parts=parts)


def test_equal_texts_stay_together_where_the_division_is_ours():
    given = tuple(f"text {row // 4}{' ' * (row % 2)}" for row in range(200))  # four of each, two of a class
    for seed in range(3):
        rows = divide(texts(*given), 0.2, 0.3, seed)
        assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(200))
        found = [{given[row].strip() for row in rows[name]} for name in SPLITS]
        assert sum(map(len, found)) == len(set.union(*found)) == 50
        assert min(map(len, found)) > 3
    assert not np.array_equal(divide(texts(*given), 0.2, 0.3, 0)["test"], rows["test"])


def test_texts_without_equals_are_drawn_as_any_inputs():
    given = tuple(f"text {row}" for row in range(60))
    rows, plain = divide(texts(*given), 0.2, 0.3, 4, 17), divide(pool(np.arange(60) % 2), 0.2, 0.3, 4, 17)
    assert all(np.array_equal(rows[name], plain[name]) for name in SPLITS)


def test_equal_texts_stay_where_the_publisher_put_them():
    parts = np.repeat(np.int8([0, 1, 2]), 10)
    rows = divide(texts(*["the same"] * 30, parts=parts), 0.2, 0.3, 0)
    assert [rows[name].tolist() for name in SPLITS] == [list(range(start, start + 10)) for start in (0, 10, 20)]


def test_a_limit_leaves_at_least_one_example_of_each_class():
    rows = divide(pool(np.arange(300) % 10), 0.2, 0.3, 0, 4)
    assert {name: len(chosen) for name, chosen in rows.items()} == dict.fromkeys(SPLITS, 10)


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


def test_splits_and_examples_are_shown_in_a_line():
    splits = data.load(Data("digits"))
    assert repr(splits) == "Splits(1,259 train, 179 validation, 359 test; 10 classes; scikit-learn digits)"
    assert repr(splits.train) == "Examples(1,259 of image, 1 x 8 x 8)"
