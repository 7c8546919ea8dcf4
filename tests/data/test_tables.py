"""Tables are standardised by their training rows only."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import datasets

from ndg import data
from ndg.config import Data
from ndg.data import tables
from ndg.data.examples import SPLITS

LABELS = np.repeat(np.arange(3), 20)


def load(folder, rows, **settings):
    np.save(folder / "inputs.npy", rows)
    np.save(folder / "labels.npy", LABELS)
    return data.load(Data(name="arrays", dir=str(folder), **settings))


@pytest.mark.parametrize(
    ("name", "sizes", "features"),
    [("iris", [50, 50, 50], 4), ("wine", [59, 71, 48], 13), ("breast_cancer", [212, 357], 30)],
)
def test_a_bundled_table_is_all_there_and_standard_in_training(name, sizes, features):
    splits = data.load(Data(name=name))
    counts = sum(splits[each].labels.bincount() for each in SPLITS)
    assert counts.tolist() == sizes
    assert (splits.form.kind, splits.form.shape) == ("table", (features,))
    assert splits.source == f"scikit-learn {name}"
    train = splits.train.inputs.batch()
    assert torch.allclose(train.mean(0), torch.zeros(features), atol=1e-5)
    assert torch.allclose(train.std(0, correction=0), torch.ones(features), atol=1e-5)
    assert not torch.allclose(splits.test.inputs.batch().mean(0), torch.zeros(features), atol=1e-3)


def test_the_first_rows_of_iris_are_those_of_fisher():
    splits = data.load(Data(name="iris"))
    assert splits.class_names == ("setosa", "versicolor", "virginica")
    from sklearn.datasets import load_iris

    raw = torch.from_numpy(load_iris().data)
    mean, spread = raw[splits.train.indices].mean(0), raw[splits.train.indices].std(0, correction=0)
    for name in SPLITS:
        expected = (raw[splits[name].indices] - mean) / spread
        assert torch.allclose(splits[name].inputs.batch().double(), expected, atol=1e-5)


def test_rows_outside_of_training_have_no_say(tmp_path):
    rows = np.random.default_rng(0).normal(5, 3, (60, 4))
    first = load(tmp_path, rows)
    changed = rows.copy()
    for name in ("validation", "test"):
        changed[first[name].indices] *= 1000
    second = load(tmp_path, changed)
    assert torch.equal(first.train.inputs.batch(), second.train.inputs.batch())
    assert not torch.equal(first.test.inputs.batch(), second.test.inputs.batch())
    assert first.digest != second.digest


def test_a_column_that_is_constant_in_training_is_0_everywhere(tmp_path):
    rows = np.random.default_rng(0).normal(0, 1, (60, 3))
    rows[:, 1] = 0.1
    held_out = load(tmp_path, rows).test.indices
    rows[held_out[0], 1] = 7
    splits = load(tmp_path, rows)
    for name in SPLITS:
        found = splits[name].inputs.batch()
        assert (found[:, 1] == 0).all()
        assert found.isfinite().all()
        assert (found[:, [0, 2]] != 0).all()


def test_whole_numbers_and_bytes_are_rows_as_well(tmp_path):
    rows = np.random.default_rng(0).integers(0, 200, (60, 5))
    floats, numbers, bytes_ = (load(tmp_path, rows.astype(kind)) for kind in (np.float32, np.int64, np.uint8))
    assert floats.form.kind == "table"
    assert torch.equal(floats.train.inputs.batch(), numbers.train.inputs.batch())
    assert torch.equal(floats.test.inputs.batch(), bytes_.test.inputs.batch())


def test_images_are_left_as_they_are(tmp_path):
    images = np.random.default_rng(0).random((60, 3, 4)).astype(np.float32)
    splits = load(tmp_path, images)
    assert torch.equal(splits.train.inputs.batch()[:, 0], torch.from_numpy(images)[splits.train.indices])


@pytest.mark.parametrize("name", sorted(tables.FILES))
@pytest.mark.parametrize("file", [True, False], ids=["from the file", "from the function"])
def test_a_bundled_set_is_what_scikit_learn_loads(name, file, monkeypatch):
    if not file:
        monkeypatch.setitem(tables.FILES, name, "elsewhere.csv")
    pool = tables.bundled(name)(Path(), Data(name=name))
    bunch = getattr(datasets, f"load_{name}")()
    values = (bunch.images / 16)[:, None] if name == "digits" else bunch.data
    assert np.array_equal(pool.inputs.values.numpy(), values.astype(np.float32))
    assert np.array_equal(pool.labels, bunch.target)
    assert pool.class_names == tuple(map(str, bunch.target_names))
