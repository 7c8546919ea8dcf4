"""Reading of data sets, and messages for missing ones."""

import numpy as np
import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.data import DATASETS
from ndg.errors import DataError


def write(folder, inputs, labels):
    np.save(folder / "inputs.npy", inputs)
    np.save(folder / "labels.npy", labels)
    return Data(name="arrays", dir=str(folder))


LABELS = np.repeat(np.arange(3), 10)


@pytest.mark.parametrize("shape", [(30, 6, 5), (30, 3, 6, 5)])
def test_arrays_of_bytes_become_pixels_in_0_1(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    splits = data.load(write(tmp_path, images, LABELS.astype(np.int32)))
    assert splits.form.shape == (shape[1] if len(shape) == 4 else 1, 6, 5)
    assert splits.class_names == ("0", "1", "2")
    assert splits.source == str(tmp_path)
    expected = torch.from_numpy(images.reshape(30, -1, 6, 5))[splits.train.indices] / 255
    assert torch.allclose(splits.train.inputs.batch(), expected)


@pytest.mark.parametrize("kind", ["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i8", "f4", "f8"])
def test_labels_of_any_width_are_the_same_classes(tmp_path, kind):
    labels = LABELS % 2 if kind == "b1" else LABELS
    images = np.random.default_rng(0).random((30, 4, 4))
    expected = data.load(write(tmp_path, images, labels))
    for changed in (labels.astype(kind), labels.astype(kind)[:, None]):
        splits = data.load(write(tmp_path, images, changed))
        assert (splits.digest, splits.source) == (expected.digest, expected.source)


def test_labels_that_begin_above_0_keep_their_names(tmp_path):
    splits = data.load(write(tmp_path, np.zeros((30, 4, 4)), (LABELS + 7).astype(np.uint8)))
    assert splits.class_names == ("7", "8", "9")
    assert splits.source == f"{tmp_path}, labels from 7 numbered from 0"
    assert splits.train.labels.unique().tolist() == [0, 1, 2]


def test_labels_beyond_64_bits_keep_their_names(tmp_path):
    splits = data.load(write(tmp_path, np.zeros((30, 4, 4)), LABELS.astype(np.uint64) + np.uint64(2**64 - 3)))
    assert splits.class_names == tuple(str(2**64 - 3 + label) for label in range(3))
    assert splits.train.labels.unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (np.zeros(30), LABELS, r"one label per image of 2 or 3 axes, or per row of a table; got shapes \(30,\) and"),
        (
            np.full((30, 4), np.inf),
            LABELS,
            "rows of finite numbers that fit into 32 bits; got float64 from inf to",
        ),
        (np.full((30, 4), np.nan), LABELS, "rows of finite numbers.*got float64 from nan"),
        (np.full((30, 4), 1e39), LABELS, "rows of finite numbers that fit into 32 bits; got float64 from 1e"),
        (np.zeros((30, 4), complex), LABELS, "rows of finite numbers that fit into 32 bits; got complex128"),
        (np.zeros((29, 4, 4)), LABELS, r"one label per image.*\(29, 1, 4, 4\) and \(30,\)"),
        (np.zeros((30, 4, 4)), LABELS - 1, "labels that are whole numbers from 0"),
        (np.zeros((30, 4, 4)), LABELS / 2, "labels that are whole numbers from 0; got float64"),
        (
            np.zeros((30, 4, 4)),
            np.where(np.arange(30) == 7, 10**9, LABELS),
            "whole numbers from 0; got int64 from 0 to 1000000000: number them by numpy",
        ),
        (np.zeros((30, 4, 4)), np.where(LABELS == 1, np.nan, LABELS), "whole numbers from 0; got float64 from nan"),
        (np.zeros((30, 4, 4)), np.eye(3)[LABELS], r"one label per image.*use labels\.argmax\(1\) of one column"),
        (np.zeros((30, 4)), LABELS[None], r"one label per image.*use labels\[0\]; write"),
        (np.zeros((30, 0)), LABELS, r"inputs with at least one value; got shape \(30, 0\)"),
        (np.zeros((30, 4)), np.where(LABELS == 1, np.nan, LABELS), "nan: leave out examples without a label; write"),
        (np.zeros((30, 8, 8, 3)), LABELS, r"channels first; got shape \(30, 8, 8, 3\): use numpy\.moveaxis"),
        (np.full((30, 4, 4), 16.0), LABELS, r"pixels as bytes or as numbers in \[0, 1\]; got float64 from 16\.0"),
        (np.full((30, 4, 4), np.nan), LABELS, r"pixels as bytes or as numbers in \[0, 1\].*nan"),
        (np.zeros((30, 4, 4), np.int64), LABELS, r"pixels as bytes.*got int64"),
        (np.zeros((30, 4, 4)), 2 * LABELS, r"class '1', '3' never does"),
        (np.zeros((0, 4, 4)), LABELS[:0], "train split must have examples.*0 examples of 0 classes"),
    ],
)
def test_arrays_that_break_a_rule_are_refused_by_that_rule(tmp_path, inputs, labels, message):
    with pytest.raises(DataError, match=message):
        data.load(write(tmp_path, inputs, labels))


def test_a_damaged_array_is_named(tmp_path):
    config = write(tmp_path, np.zeros((30, 4, 4)), LABELS)
    whole = (tmp_path / "inputs.npy").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not an array"):
        (tmp_path / "inputs.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"inputs\.npy must be a whole array written by numpy\.save"):
            data.load(config)
    np.save(tmp_path / "inputs.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"inputs\.npy must be a whole array of numbers; it has Python objects.*astype"):
        data.load(config)


def test_a_table_of_booleans_is_a_table_of_0_and_1(tmp_path):
    rows = np.arange(120).reshape(30, 4) % 3 > 0
    digests = {data.load(write(tmp_path, values, LABELS)).digest for values in (rows, rows.astype(np.float32))}
    assert len(digests) == 1


def test_missing_folder_and_files_are_named_with_the_remedy(tmp_path):
    needs = r"data set 'arrays' needs a folder with inputs\.npy, labels\.npy; "
    with pytest.raises(DataError, match=needs + r"data\.dir is not set; set data\.dir=FOLDER"):
        data.load(Data(name="arrays"))
    with pytest.raises(DataError, match=needs + "folder '/not/there' does not exist"):
        data.load(Data(name="arrays", dir="/not/there"))
    (tmp_path / "inputs.npy").touch()
    with pytest.raises(DataError, match=needs + r".* lacks labels\.npy"):
        data.load(Data(name="arrays", dir=str(tmp_path)))


def test_an_unknown_data_set_names_the_nearest():
    with pytest.raises(DataError, match=r"got 'digit'; nearest: digits"):
        data.load(Data(name="digit"))


@pytest.mark.parametrize("name", DATASETS)
def test_absent_is_silent_about_data_that_are_at_hand(name, tmp_path):
    for file in DATASETS[name].files:
        (tmp_path / file.partition("|")[0]).touch()
    assert data.absent(Data(name=name, dir=str(tmp_path))) is None
