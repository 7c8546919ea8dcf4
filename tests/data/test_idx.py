"""MNIST and similar sets, from idx files written here."""

import gzip
import struct

import numpy as np
import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.data import idx
from ndg.errors import DataError
from tests.data import fixtures

TRAIN, TEST = np.tile(np.arange(10), 20), np.tile(np.arange(10), 3)
PART = "not the whole release (200 of 60,000 train examples; 30 of 10,000 test examples)"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", [".", "mnist"])
def test_the_four_files_become_pixels_in_0_1_with_the_publishers_test_set(tmp_path, packed, place):
    train, test = fixtures.write_idx(tmp_path / place, TRAIN, TEST, packed)
    splits = data.load(Data(name="mnist", dir=str(tmp_path)))
    assert splits.sizes() == {"train": 180, "validation": 20, "test": 30}
    assert splits.form.shape == (1, 28, 28)
    assert splits.class_names == tuple("0123456789")
    pixels = torch.from_numpy(np.concatenate([train, test])[:, None]).float() / 255
    for part in (splits.train, splits.validation, splits.test):
        assert torch.equal(part.inputs.batch(), pixels[part.indices])
        assert part.labels.tolist() == np.concatenate([TRAIN, TEST])[part.indices].tolist()
    assert splits.test.indices.tolist() == list(range(200, 230))
    said = "not the publisher's files" if packed else "in files that have no published sum"
    assert splits.source == f"mnist, 200 + 30 examples, {said}, {PART}"


def test_mnist_even_is_the_label_mod_2(tmp_path):
    fixtures.write_idx(tmp_path, TRAIN, TEST)
    splits = data.load(Data(name="mnist_even", dir=str(tmp_path)))
    assert splits.class_names == ("even", "odd")
    assert splits.test.labels.tolist() == (TEST % 2).tolist()
    assert splits.validation.labels.bincount().tolist() == [10, 10]
    assert splits.source == f"label mod 2 of mnist, 200 + 30 examples, not the publisher's files, {PART}"


def test_mnist_even_goes_by_the_publishers_labels_in_a_part_without_some_digits(tmp_path):
    fixtures.write_idx(tmp_path, np.repeat([1, 4, 6], 20), np.repeat([1, 4, 6], 2))
    splits = data.load(Data(name="mnist_even", dir=str(tmp_path)))
    assert splits.test.labels.tolist() == [1, 1, 0, 0, 0, 0]


def test_a_part_of_fashion_mnist_leaves_out_the_absent_classes_and_says_which(tmp_path):
    fixtures.write_idx(tmp_path, np.repeat([0, 1, 2, 3, 6], 20), np.repeat([0, 1, 2, 3, 6], 2))
    splits = data.load(Data(name="fashion_mnist", dir=str(tmp_path)))
    assert splits.class_names == ("T-shirt/top", "Trouser", "Pullover", "Dress", "Shirt")
    assert splits.validation.labels.tolist() == np.repeat(np.arange(5), 2).tolist()
    assert "publisher's files, without Coat, Sandal, Sneaker, Bag, Ankle boot, not the whole release" in splits.source


def test_size_and_crop_are_those_of_a_config_and_nothing_large_is_kept(tmp_path):
    fixtures.write_idx(tmp_path, TRAIN, TEST)
    plain = data.load(Data(name="mnist", dir=str(tmp_path)))
    splits = data.load(Data(name="mnist", dir=str(tmp_path), size=224, crop=200))
    assert splits.form.shape == (1, 200, 200)
    assert splits.train[:3].inputs.batch().shape == (3, 1, 200, 200)
    assert torch.equal(splits.train.inputs.values, plain.train.inputs.values)
    assert splits.digest != plain.digest
    assert data.load(Data(name="mnist", dir=str(tmp_path), size=28)).digest == plain.digest
    with pytest.raises(DataError, match=r"data\.crop must be at most the side.*got 30 for 28 x 28 pixels of data set"):
        data.load(Data(name="mnist", dir=str(tmp_path), crop=30))


@pytest.mark.parametrize(("name", "kind"), [("digits", r"\(1, 8, 8\)"), ("iris", r"\(4,\)")])
def test_a_size_of_numbers_is_refused(name, kind):
    rule = r"data\.size and data\.crop need images with bytes as pixels; data set "
    for given in ({"size": 16}, {"crop": 4}):
        with pytest.raises(DataError, match=rule + f"'{name}' has numbers of shape {kind}; leave both null"):
            data.load(Data(name=name, **given))


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
RAW = fixtures.idx(IMAGES)


@pytest.mark.parametrize("name", ["plain-ubyte", "packed-ubyte.gz"])
def test_what_was_written_is_read(tmp_path, name):
    path = tmp_path / name
    for array in (IMAGES, IMAGES[:0], IMAGES[:, 0, 0]):
        raw = fixtures.idx(array)
        path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
        assert np.array_equal(idx.read_idx(path, *array.shape[1:]), array)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (RAW[:-1], r"must have the 24 bytes that its header promises \(2 x 3 x 4\); got only 23; copy the file again"),
        (RAW + b"\0", r"must have the 24 bytes that its header promises \(2 x 3 x 4\); got more; copy"),
        (RAW[:11], r"must begin with 16 bytes of idx header; got 11; copy the file again"),
        (b"", r"must begin with 16 bytes of idx header; got 0"),
        (fixtures.idx(IMAGES[0]) + bytes(9), r"the idx magic number 0x00000803; got 0x00000802; copy the file again"),
        (b"\0\0\x0d\x03" + RAW[4:], r"the idx magic number 0x00000803; got 0x00000d03"),
        (fixtures.idx(IMAGES.reshape(2, 4, 3)), r"must have images of 3 x 4 pixels; got 4 x 3; set data\.name to"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 3, 4) + bytes(9), r"the 51,539,607,540 bytes.* got only 9"),
    ],
)
def test_a_file_that_breaks_the_format_is_named_with_the_rule(tmp_path, raw, message, packed):
    path = tmp_path / ("images-ubyte.gz" if packed else "images-ubyte")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(DataError, match=rf"images-ubyte(\.gz)? {'.*' if message[0] == 't' else ''}{message}"):
        idx.read_idx(path, 3, 4)


def test_a_damaged_gzip_file_is_named(tmp_path):
    path, whole = tmp_path / "images.gz", gzip.compress(RAW)
    flipped = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]  # the sum of the content
    for content in (whole[:-12], whole[:-2], RAW, whole[:10] + b"\xff" * 20, flipped, whole + b"more"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"images\.gz must be a whole idx file, plain or gzip as its name says; "):
            idx.read_idx(path, 3, 4)


def test_labels_that_do_not_fit_the_images_or_the_classes_are_refused(tmp_path):
    config = Data(name="mnist", dir=str(tmp_path))
    fixtures.write_idx(tmp_path, TRAIN, TEST, packed=False)
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    labels.write_bytes(fixtures.idx(TEST[:-1]))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte must have one label per image; got 29 labels and 30"):
        data.load(config)
    labels.write_bytes(fixtures.idx(TEST + 1))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte must have labels from 0 to 9; got 1 to 10; set"):
        data.load(config)


def test_missing_files_are_named_with_the_places_where_they_may_lie(tmp_path):
    needs = r"data set 'mnist' needs a folder with train-images-idx3-ubyte or t10k-.*, train-labels.* \(or each with "
    remedy = r"set data\.dir=FOLDER to their folder, or to the folder above mnist"
    with pytest.raises(DataError, match=needs + r"\.gz\); data\.dir is not set; " + remedy):
        data.load(Data(name="mnist"))
    fixtures.write_idx(tmp_path / "mnist", TRAIN, TEST)
    assert data.absent(Data(name="mnist", dir=str(tmp_path))) is None
    for part in ("train", "t10k"):
        (tmp_path / "mnist" / f"{part}-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=needs + r".*; '.*/mnist' lacks train-labels-.*" + remedy):
        data.load(Data(name="mnist", dir=str(tmp_path)))


@pytest.mark.parametrize(("part", "split", "count"), [("train", "test", 30), ("t10k", "train", 200)])
def test_a_copy_with_one_pair_of_files_is_divided_here_and_says_so(tmp_path, part, split, count):
    fixtures.write_idx(tmp_path, TRAIN, TEST)
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"{part}-{name}-ubyte.gz").unlink()
    splits = data.load(Data(name="fashion_mnist", dir=str(tmp_path), validation=1 / 3, test=1 / 3))
    lacks = {
        "test": "no train set; 30 of 10,000 test examples",
        "train": "200 of 60,000 train examples; no test set",
    }
    assert splits.source == (
        f"fashion_mnist, {count} examples ({split} only), not the publisher's files, "
        f"not the whole release ({lacks[split]}), divided here, not comparable with published figures"
    )
    assert sum(splits.sizes().values()) == count
    assert splits.sizes()["test"] == 10 * round(count / 30)


def test_images_without_their_labels_are_no_copy_without_them(tmp_path):
    fixtures.write_idx(tmp_path, TRAIN, TEST)
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"both or none of train-images.*; it lacks train-labels-idx1-ubyte; copy it"):
        data.load(Data(name="mnist", dir=str(tmp_path)))
