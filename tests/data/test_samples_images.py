"""Generated images: readable in the publishers' formats, with classes to tell apart."""

import hashlib

import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.data.samples import SAMPLES

EXAMPLES = {
    "mnist": (2400, 10, (1, 28, 28)),
    "mnist_even": (2400, 2, (1, 28, 28)),
    "fashion_mnist": (2400, 10, (1, 28, 28)),
    "cifar10": (1200, 10, (3, 32, 32)),
    "cifar100": (2500, 100, (3, 32, 32)),
    "cifar10_jpeg": (500, 10, (3, 32, 32)),
    "cub200": (2000, 200, (3, 64, 64)),
    "images": (150, 3, (3, 16, 16)),
}
OWN = ("not the publisher's files", "not the whole release", "images of ")


def content(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def nearest_mean(splits):
    """Share of test images nearest to the training mean of their class."""
    train, test = (part.inputs.batch().flatten(1) for part in (splits.train, splits.test))
    means = torch.stack([train[splits.train.labels == label].mean(0) for label in range(splits.classes)])
    return (torch.cdist(test, means).argmin(1) == splits.test.labels).float().mean().item()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_sample_is_absent_then_read_and_says_that_it_is_not_the_publishers(name, tmp_path):
    config = Data(name=name, dir=str(tmp_path))
    assert data.absent(config) is not None
    SAMPLES[name](tmp_path, 0)
    splits = data.load(config)
    examples, classes, shape = EXAMPLES[name]
    assert (sum(splits.sizes().values()), splits.classes, splits.form.shape) == (examples, classes, shape)
    assert any(said in splits.source for said in OWN)
    assert splits.source.startswith("generated here, not real data: ")
    if name != "mnist_even":  # of five patterns each
        assert nearest_mean(splits) > 0.9


def test_a_mark_is_found_from_the_folder_above_and_files_without_it_are_not_marked(tmp_path):
    SAMPLES["cub200"](tmp_path / "cub200", 0)
    SAMPLES["mnist"](tmp_path / "mnist", 0)
    for name in ("cub200", "mnist"):
        assert data.load(Data(name=name, dir=str(tmp_path))).source.startswith("generated here, not real data: ")
    (tmp_path / "mnist" / "GENERATED.txt").unlink()
    assert data.load(Data(name="mnist", dir=str(tmp_path))).source.startswith("mnist, 2,000 + 400 examples")


@pytest.mark.parametrize("name", ["mnist", "cifar100", "cifar10_jpeg", "images"])
def test_a_seed_writes_the_same_bytes_and_another_seed_others(name, tmp_path):
    found = []
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / place).mkdir()
        SAMPLES[name](tmp_path / place, seed)
        found.append(content(tmp_path / place))
    assert found[0] == found[1]
    assert found[0].keys() == found[2].keys()
    assert found[0] != found[2]


def test_birds_keep_the_size_and_crop_of_a_config(tmp_path):
    SAMPLES["cub200"](tmp_path, 0)
    splits = data.load(Data(name="cub200", dir=str(tmp_path), size=40, crop=32, limit=600))
    assert splits.form.shape == (3, 32, 32)
    assert splits.sizes() == {"train": 600, "validation": 200, "test": 400}
