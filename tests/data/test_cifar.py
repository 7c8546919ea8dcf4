"""CIFAR-10 and CIFAR-100, from Python 2 batches and from hostile ones."""

import os
import pickle
import tracemalloc
from collections import OrderedDict
from functools import partial

import numpy as np
import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.errors import DataError
from tests.data import fixtures

TRAIN, TEST = [np.tile(np.arange(10), 6), np.tile(np.arange(10), 4)], np.tile(np.arange(10), 2)


def python3(value):
    return pickle.dumps(value, protocol=4)


@pytest.mark.parametrize("dump", [fixtures.python2, python3])
@pytest.mark.parametrize("place", [".", "cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10"])
def test_batches_become_pixels_in_0_1_with_the_publishers_test_set(tmp_path, place, dump):
    pixels = fixtures.write_cifar10(tmp_path / place, TRAIN, TEST, dump)
    splits = data.load(Data(name="cifar10", dir=str(tmp_path)))
    assert splits.sizes() == {"train": 90, "validation": 10, "test": 20}
    assert splits.form.shape == (3, 32, 32)
    assert splits.class_names[3] == "class 3"
    assert splits.source == (
        "cifar10, 100 + 20 examples, not the publisher's files, "
        "not the whole release (100 of 50,000 train examples; 20 of 10,000 test examples)"
    )
    assert splits.test.indices.tolist() == list(range(100, 120))
    for part in (splits.train, splits.validation, splits.test):
        assert torch.equal(part.inputs.batch(), torch.from_numpy(pixels)[part.indices].float() / 255)
        assert part.labels.tolist() == np.concatenate([*TRAIN, TEST])[part.indices].tolist()


def test_cifar100_is_read_by_its_fine_labels(tmp_path):
    fixtures.write_cifar100(tmp_path / "cifar-100-python", np.tile(np.arange(90), 6), np.arange(90))
    splits = data.load(Data(name="cifar100", dir=str(tmp_path)))
    assert splits.sizes() == {"train": 450, "validation": 90, "test": 90}
    assert splits.class_names == tuple(f"fine {number}" for number in range(90))
    assert "files, without fine 90, fine 91, fine 92, fine 93, fine 94 and 5 more, not the whole" in splits.source


def byte_names(value):
    """The same with bytes in place of texts."""
    if isinstance(value, dict):
        return {key.encode(): byte_names(item) for key, item in value.items()}
    return (
        [byte_names(item) for item in value] if isinstance(value, list) else getattr(value, "encode", lambda: value)()
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("changed", [lambda value: value, byte_names], ids=["text", "bytes"])
def test_batches_that_python_3_wrote_again_are_the_same(tmp_path, protocol, changed):
    pixels = fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    for path in tmp_path.iterdir():
        value = pickle.loads(path.read_bytes(), encoding="latin1")
        path.write_bytes(pickle.dumps(changed(value), protocol))
    splits = data.load(Data(name="cifar10", dir=str(tmp_path)))
    assert splits.class_names[3] == "class 3"
    for part in (splits.train, splits.test):
        assert torch.equal(part.inputs.batch(), torch.from_numpy(pixels)[part.indices].float() / 255)


@pytest.mark.parametrize("kind", ["u1", "<i4", ">i8"])
def test_labels_of_a_batch_may_be_an_array(tmp_path, kind):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    expected = data.load(Data(name="cifar10", dir=str(tmp_path))).digest
    for path in tmp_path.glob("*_batch*"):
        value = pickle.loads(path.read_bytes(), encoding="latin1")
        path.write_bytes(pickle.dumps({**value, "labels": np.array(value["labels"], kind)}, 5))
    assert data.load(Data(name="cifar10", dir=str(tmp_path))).digest == expected


def test_ordered_dictionaries_and_tuples_are_records(tmp_path):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    expected = data.load(Data(name="cifar10", dir=str(tmp_path))).digest
    for path in tmp_path.iterdir():
        value = OrderedDict(pickle.loads(path.read_bytes(), encoding="latin1"))
        value |= {key: tuple(value[key]) for key in ("labels", "label_names") if key in value}
        path.write_bytes(pickle.dumps(value, 4))
    assert data.load(Data(name="cifar10", dir=str(tmp_path))).digest == expected


class Runs:
    """Value whose unpickling runs a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("dump", [fixtures.python2, python3])
@pytest.mark.parametrize("file", ["batches.meta", "data_batch_1", "test_batch"])
def test_a_pickle_that_executes_is_refused_by_name_and_does_not_run(tmp_path, file, dump):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    hostile = dump({"data": Runs(f"touch {tmp_path}/ran"), "labels": []})
    (tmp_path / file).write_bytes(hostile)
    refused = (
        rf"{file} must contain arrays, lists and strings only; it asks for posix\.system, which was refused and not run"
    )
    with pytest.raises(DataError, match=refused):
        data.load(Data(name="cifar10", dir=str(tmp_path)))
    assert not (tmp_path / "ran").exists()
    pickle.loads(hostile)
    assert (tmp_path / "ran").exists(), "this pickle would not have run anyway"


@pytest.mark.parametrize(
    "names",
    [
        "builtins eval",
        "numpy load",
        "_codecs decode",
        "numpy core.numeric._frombuffer",
        "numpy.core.multiarray scalar",
        "numpy ndarray.tofile",
        "copyreg _reconstructor",
    ],
)
def test_nothing_but_the_making_of_arrays_is_admitted(tmp_path, names):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    module, name = names.split()
    (tmp_path / "test_batch").write_bytes(f"c{module}\n{name}\n.".encode())
    with pytest.raises(DataError, match=rf"asks for {module}\.{name}, which was refused"):
        data.load(Data(name="cifar10", dir=str(tmp_path)))


PIXELS = np.zeros((20, 3072), np.uint8)
GOOD = {"data": PIXELS, "labels": TEST.tolist()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {**GOOD, "labels": [*TEST.tolist(), 1]},
            "test_batch must have one label per image; got 21 labels and 20 images",
        ),
        ({**GOOD, "labels": (TEST + 1).tolist()}, "test_batch must have labels from 0 to 9; got 1 to 10"),
        ({**GOOD, "labels": (TEST - 1).tolist()}, "test_batch must have labels from 0 to 9; got -1 to 8"),
        ({**GOOD, "labels": [0.5] * 20}, "a list of whole numbers as 'labels'; got a list of 20 with a float; copy"),
        ({**GOOD, "labels": [2**80] * 20}, "'labels'; got a list of 20 with an int that is too large; copy"),
        ({**GOOD, "labels": [1] * 19 + [None]}, "'labels'; got a list of 20 with a NoneType; copy"),
        ({**GOOD, "data": [[0] * 3072] * 19 + [[256] * 3072]}, "bytes of shape.*got none"),
        ({**GOOD, "data": [[0] * 3072] * 19 + [[1] * 3071]}, "bytes of shape.*got none"),
        ({**GOOD, "data": [[0.5] * 3072] * 20}, "bytes of shape.*got none; copy.*or write it again with lists"),
        ({"data": PIXELS}, "must have a list of whole numbers as 'labels'; got NoneType"),
        ({"labels": []}, r"must have bytes of shape \(images, 3072\) as 'data'; got none"),
        ({**GOOD, "data": PIXELS[:, 1:]}, r"bytes of shape \(images, 3072\) as 'data'; got the shape \(20, 3071\)"),
        ({**GOOD, "data": PIXELS[0]}, r"bytes of shape.*got the shape \(3072,\)"),
        ({**GOOD, "data": PIXELS.astype(np.int16)}, "bytes of shape.*got none"),
        ({**GOOD, "data": [1, 2]}, "bytes of shape.*got none"),
        ([1], "test_batch must have a dictionary; got list"),
        (
            {"data": PIXELS[:0], "labels": []},
            r"test split must have.*is empty in .*get a copy with a larger test",
        ),
        (
            {"data": PIXELS[:9], "labels": TEST.tolist()[:9]},
            r"occur in the test split; class 'class 9' never does.*copy",
        ),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused_by_that_rule(tmp_path, content, message):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    (tmp_path / "test_batch").write_bytes(fixtures.python2(content))
    with pytest.raises(DataError, match=message):
        data.load(Data(name="cifar10", dir=str(tmp_path)))


def test_pixels_that_were_pickled_in_columns_are_the_same(tmp_path):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    _, pixels = fixtures.batch(TEST)
    found = []
    for order in "CF":
        content = {"data": np.asarray(pixels, order=order), "labels": TEST.tolist()}
        (tmp_path / "test_batch").write_bytes(fixtures.python2(content))
        found.append(data.load(Data(name="cifar10", dir=str(tmp_path))).test.inputs.batch())
    assert torch.equal(*found)


def test_a_damaged_batch_is_named(tmp_path):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    whole = (tmp_path / "data_batch_2").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a pickle", whole[:-1]):
        (tmp_path / "data_batch_2").write_bytes(content)
        with pytest.raises(
            DataError, match=r"data_batch_2 must be a whole python batch \(a pickle\); .*copy the file again"
        ):
            data.load(Data(name="cifar10", dir=str(tmp_path)))


def test_every_truncation_and_flipped_byte_of_a_small_batch_is_read_or_refused(tmp_path):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    whole = fixtures.python2({**GOOD, "labels": TEST.tolist()})
    head = whole.index(bytes(3072))  # what comes before the pixels
    for position in [*range(head), len(whole) - 1]:
        for content in (whole[:position], whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :]):
            (tmp_path / "test_batch").write_bytes(content)
            try:
                splits = data.load(Data(name="cifar10", dir=str(tmp_path)))
            except DataError:
                continue
            assert splits.sizes()["test"] == 20


def test_a_small_file_that_claims_millions_of_values_makes_no_room_for_them(tmp_path):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    (tmp_path / "batches.meta").write_bytes(b"\x80\x02}r\xff\xff\xff\x01.")
    tracemalloc.start()
    with pytest.raises(DataError, match=r"batches\.meta must have 10 names"):
        data.load(Data(name="cifar10", dir=str(tmp_path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20


def test_batches_of_plain_lists_are_the_same_as_of_arrays(tmp_path):
    """As the message on a refused pickle advises."""
    pixels = fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    before = data.load(Data(name="cifar10", dir=str(tmp_path)))
    content = {"data": pixels[-len(TEST) :].reshape(len(TEST), -1).tolist(), "labels": TEST.tolist()}
    (tmp_path / "test_batch").write_bytes(python3(content))
    assert data.load(Data(name="cifar10", dir=str(tmp_path))).digest == before.digest


NAMES = ["café", "猫", "Ã©", *"cdefghi"]


@pytest.mark.parametrize("dump", [fixtures.python2, *(partial(pickle.dumps, protocol=number) for number in (2, 3, 5))])
@pytest.mark.parametrize("encoding", ["utf-8", "latin1"])
def test_class_names_as_bytes_are_utf_8_or_latin_1(tmp_path, dump, encoding):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    names = [name if encoding == "utf-8" else name.replace("猫", "ß").replace("Ã©", "ü") for name in NAMES]
    coded = [name.encode(encoding) for name in names]
    for written in (coded, names) if dump is not fixtures.python2 else (coded,):
        (tmp_path / "batches.meta").write_bytes(dump({"label_names": written}))
        assert data.load(Data(name="cifar10", dir=str(tmp_path))).class_names == tuple(names)


def test_names_that_are_not_one_per_class_are_refused(tmp_path):
    fixtures.write_cifar10(tmp_path, TRAIN, TEST)
    for names, got in ((["a"] * 9, "a list of 9"), ([1] * 10, "a list of 10 with a int"), (None, "NoneType")):
        (tmp_path / "batches.meta").write_bytes(fixtures.python2({"label_names": names}))
        with pytest.raises(DataError, match=rf"batches\.meta must have 10 names as 'label_names'; got {got}; copy"):
            data.load(Data(name="cifar10", dir=str(tmp_path)))
