"""Publishers' splits and checksums, with the real files if at hand."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.data import releases
from ndg.data.examples import Pool, split
from ndg.data.inputs import as_inputs
from ndg.errors import DataError
from tests.data import fixtures


def pool(labels, test, names=("a", "b", "c")):
    inputs = np.zeros((len(labels), 1, 1, 1), np.uint8)
    return Pool(as_inputs(inputs), np.asarray(labels, np.int64), names, "a test", 2 * np.asarray(test, np.int8))


LABELS = np.repeat([0, 1, 2], 30)
MARKED = np.tile([0, 0, 1], 30)


def test_the_marked_examples_are_the_test_split_and_validation_is_a_fraction_of_the_rest():
    splits = split(pool(LABELS, MARKED), 0.25, 0.9, 0)
    assert splits.test.indices.tolist() == np.flatnonzero(MARKED).tolist()
    assert splits.validation.labels.bincount().tolist() == [5, 5, 5]
    rest = torch.cat([splits.train.indices, splits.validation.indices])
    assert sorted(rest.tolist()) == np.flatnonzero(MARKED == 0).tolist()


def test_the_seed_draws_validation_and_nothing_else():
    first, again, other = (split(pool(LABELS, MARKED), 0.25, 0.2, seed) for seed in (0, 0, 1))
    assert torch.equal(first.validation.indices, again.validation.indices)
    assert not torch.equal(first.validation.indices, other.validation.indices)
    assert torch.equal(first.test.indices, other.test.indices)


def test_a_class_that_a_split_lacks_is_named_with_what_helps():
    names = ("a", "b", "c", "d")
    only_test = r"occur in the validation split; class 'd' never does.*4 examples of 'd'\); raise data\.validation"
    with pytest.raises(DataError, match=only_test):
        split(pool([*LABELS, 3, 3, 3, 3], [*MARKED, 1, 1, 1, 0], names), 0.25, 0.2, 0)
    with pytest.raises(
        DataError, match=r"occur in the test split; class 'd' never does.*get a copy with a larger test"
    ):
        split(pool([*LABELS, 3, 3, 3, 3], [*MARKED, 0, 0, 0, 0], names), 0.25, 0.2, 0)
    with pytest.raises(DataError, match=r"train split must have.*divided by \{'validation': 0\.25\}; lower data\.val"):
        split(pool(LABELS[:3], [1, 1, 1], names), 0.25, 0.2, 0)


def test_files_with_the_published_sums_are_the_publishers(tmp_path, monkeypatch):
    fixtures.write_cifar10(tmp_path, [np.arange(10)] * 2, np.arange(10))
    names = ("batches.meta", "data_batch_1", "data_batch_2", "test_batch")
    sums = {name: hashlib.md5((tmp_path / name).read_bytes()).hexdigest() for name in names}
    paths = [tmp_path / name for name in names]
    monkeypatch.setitem(releases.MD5, "cifar10", sums)
    assert releases.origin("cifar10", paths) == "the publisher's files"
    assert releases.origin("cifar10", [paths[0], paths[3]]) == "part of the publisher's files"
    with pytest.raises(
        DataError, match=r"'mnist' must be read from its own files; .*batches\.meta is the publisher's "
    ):
        releases.origin("mnist", paths)
    paths[1].write_bytes(b"changed")
    assert releases.origin("cifar10", paths) == "not the publisher's files"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"train": 6920, "validation": 872, "test": 1821}, []),
        ({"train": 67349, "validation": 872, "test": 1821}, ["not the release (67,349 of 6,920 train examples)"]),
        ({"train": 6920, "test": 9}, ["not the whole release (no validation set; 9 of 1,821 test examples)"]),
    ],
)
def test_a_copy_with_other_counts_than_the_release_says_so(found, said):
    assert releases.lacking("sst2", found) == said
    assert releases.lacking("a set of unknown size", found) == []


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (None, [releases.DIVIDED]),
        ([0, 0, 1], ["tested on half of its validation set", releases.DIVIDED]),
        ([0, 0, 2], []),
        ([0, 1, 2], []),
    ],
)
def test_a_test_set_that_is_drawn_here_is_announced(parts, said):
    assert releases.divided(None if parts is None else np.array(parts, np.int8)) == said


ROOT = Path(__file__).parents[2]


def real(*places):
    """First of these folders in `NDG_DATA` or `shared/data`, or a skip."""
    above = [Path(os.environ["NDG_DATA"])] if os.environ.get("NDG_DATA") else []
    for folder in [*above, ROOT.parent / "shared" / "data"]:
        for place in places:
            if (folder / place).is_dir():
                return str(folder / place)
    pytest.skip(f"no folder {' or '.join(places)} in NDG_DATA or in ../shared/data")


def test_real_mnist_is_the_publishers_with_its_counts():
    folder = real("mnist")
    splits = data.load(Data(name="mnist", dir=folder))
    assert splits.source == "mnist, 60,000 + 10,000 examples, the publisher's files"
    trained = torch.cat([splits.train.labels, splits.validation.labels]).bincount()
    assert trained.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert splits.test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert splits.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert 0.13 < splits.train.inputs.batch().mean() < 0.131  # 0.1307, as often quoted
    with pytest.raises(
        DataError, match=r"ubyte\.gz is the publisher's file of 'mnist'; set data\.name=mnist or another"
    ):
        data.load(Data(name="fashion_mnist", dir=folder))


def test_real_mnist_even_is_found_in_the_folder_above():
    splits = data.load(Data(name="mnist_even", dir=str(Path(real("mnist")).parent)))
    assert splits.test.labels.bincount().tolist() == [4926, 5074]


def test_real_part_of_fashion_mnist_says_so():
    splits = data.load(Data(name="fashion_mnist", dir=real("fashion_mnist_5class")))
    assert splits.source == (
        "fashion_mnist, 4,000 + 1,000 examples, not the publisher's files, "
        "without Coat, Sandal, Sneaker, Bag, Ankle boot, "
        "not the whole release (4,000 of 60,000 train examples; 1,000 of 10,000 test examples)"
    )
    trained = torch.cat([splits.train.labels, splits.validation.labels]).bincount()
    assert trained.tolist() == [794, 805, 807, 805, 789]
    assert splits.class_names[-1] == "Shirt"
    assert splits.test.labels.bincount().tolist() == [206, 195, 193, 195, 211]


def test_a_real_copy_of_fashion_mnist_with_one_pair_of_files_says_so():
    splits = data.load(Data(name="fashion_mnist", dir=real("fashion_mnist_10class_500")))
    assert splits.source == (
        "fashion_mnist, 500 examples (test only), not the publisher's files, not the whole release "
        "(no train set; 500 of 10,000 test examples), divided here, not comparable with published figures"
    )
    counts = sum(splits[name].labels.bincount() for name in data.SPLITS)
    assert counts.tolist() == [52, 50, 51, 43, 52, 48, 43, 58, 62, 41]


def test_real_part_of_cifar10_says_so():
    splits = data.load(Data(name="cifar10", dir=real("cifar10_subset")))
    assert splits.source == (
        "cifar10, 7,728 + 932 examples, not the publisher's files, "
        "not the whole release (7,728 of 50,000 train examples; 932 of 10,000 test examples)"
    )
    assert splits.class_names[:3] == ("airplane", "automobile", "bird")
    assert splits.test.labels.bincount().tolist() == [97, 78, 94, 95, 85, 84, 105, 96, 98, 100]
    assert splits.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
