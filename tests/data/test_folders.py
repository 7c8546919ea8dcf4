"""Image folders with and without splits, and CIFAR-10 as JPEG."""

import os
import shutil

import numpy as np
import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.config.dump import dump
from ndg.data import images
from ndg.data.samples import SAMPLES
from ndg.errors import DataError
from tests.data import fixtures
from tests.data.test_releases import real


def fill(folder, counts, shape=(6, 6, 3), first=0):
    """Write that many images to each folder, each with its own mean."""
    for place, (name, count) in enumerate(counts.items()):
        for number in range(count):
            value = (first + 16 * place + number) % 256
            fixtures.write_image(folder / name / f"{number:02}.png", np.full(shape, value))


def load(folder, **settings):
    return data.load(Data(name="images", dir=str(folder), **settings))


def test_classes_alone_are_divided_here(tmp_path):
    fill(tmp_path, {"dog": 10, "cat": 10})
    splits = load(tmp_path)
    assert splits.class_names == ("cat", "dog")
    assert splits.sizes() == {"train": 14, "validation": 2, "test": 4}
    assert splits.source == f"images of {tmp_path}, 20 examples"
    values = np.array([*range(16, 26), *range(10)])  # cats were written after dogs
    for name in data.SPLITS:
        part = splits[name]
        assert (part.inputs.values[:, 0, 0, 0].numpy() == values[part.indices]).all()
        assert part.labels.tolist() == (part.indices >= 10).long().tolist()


@pytest.mark.parametrize("validation", ["validation", "valid", "val", None])
def test_folders_of_splits_are_kept(tmp_path, validation):
    parts = {"train": 10, "test": 3} | ({validation: 2} if validation else {})
    fill(tmp_path, {f"{part}/{name}": count for part, count in parts.items() for name in ("a", "b")})
    (tmp_path / "train" / "a" / "deeper").mkdir()
    fixtures.write_image(tmp_path / "train" / "a" / "deeper" / "x.png", np.full((6, 6, 3), 7))
    splits = load(tmp_path, validation=0.2, test=0.9)
    kept = 0 if validation else 4
    assert splits.sizes() == {"train": 21 - kept, "validation": 4, "test": 6}
    assert splits.source.endswith("21 + 4 + 6 examples" if validation else "21 + 6 examples")


def test_a_validation_set_without_a_test_set_gives_half_of_its_images_for_the_test(tmp_path):
    fill(tmp_path, {f"{part}/{name}": count for part, count in (("train", 10), ("val", 5)) for name in ("a", "b")})
    splits = load(tmp_path, validation=0.2, test=0.9)
    assert splits.sizes() == {"train": 20, "validation": 6, "test": 4}
    assert splits.source.endswith("20 + 10 examples, tested on half of its validation set")


def test_training_images_alone_are_divided(tmp_path):
    fill(tmp_path, {"train/a": 10, "train/b": 10})
    assert load(tmp_path).sizes() == {"train": 14, "validation": 2, "test": 4}


def test_linked_class_folders_are_read_and_circles_of_links_refused(tmp_path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    fill(home, {"a": 10, "b": 10})
    fill(elsewhere, {"c": 10})
    (home / "c").symlink_to(elsewhere / "c")
    (home / "a" / "linked.png").symlink_to(elsewhere / "c" / "00.png")
    splits = load(home)
    assert splits.class_names == ("a", "b", "c")
    assert splits.source == f"images of {home}, 31 examples"
    (home / "a" / "up").symlink_to(home)
    with pytest.raises(DataError, match=r"must not contain itself; .*a/up links to .*home; remove the link"):
        load(home)


@pytest.mark.parametrize("names", [("Train", "TEST"), ("training", "testing"), ("Training", "Dev")])
def test_folders_of_splits_under_other_names_are_no_classes(tmp_path, names):
    fill(tmp_path, {f"{name}/{label}": 10 for name in names for label in "ab"})
    splits = load(tmp_path)
    assert splits.class_names == ("a", "b")
    assert len(splits.train) == (20 if names[1] == "Dev" else 18)


def test_a_class_may_have_the_name_of_a_split_in_capitals(tmp_path):
    fill(tmp_path, {"Train": 10, "Bus": 10})
    assert load(tmp_path).class_names == ("Bus", "Train")


def test_folders_below_those_of_classes_are_told(tmp_path):
    fill(tmp_path, {"a/x": 10, "a/y": 10, "b": 10})
    assert load(tmp_path).source.endswith("30 examples, 20 of them in folders below their class (x, y)")


@pytest.mark.parametrize("name", ["c", "a/x.png"])
def test_a_link_to_a_missing_folder_or_file_is_refused(tmp_path, name):
    fill(tmp_path, {"a": 10, "b": 10})
    (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=rf"files and folders; .*{name} links to .*gone, which is missing; restore or"):
        load(tmp_path)


def test_a_pipe_among_the_images_does_not_hang(tmp_path):
    fill(tmp_path, {"a": 10, "b": 10})
    os.mkfifo(tmp_path / "a" / "x.png")
    with pytest.raises(DataError, match=r"files and folders; .*x\.png is neither; restore or remove it"):
        load(tmp_path)


def test_files_that_are_not_read_are_counted_in_the_source(tmp_path):
    fill(tmp_path, {"a": 10, "b": 10})
    for name in ("a/x.webp", "a/y.WEBP", "b/z.bmp", "b/Makefile", "b/.hidden"):
        (tmp_path / name).touch()
    assert load(tmp_path).source == (
        f"images of {tmp_path}, 20 examples, other files left out (1 .bmp, 2 .webp, 1 no suffix)"
    )


def test_class_folders_whose_names_are_odd_are_read(tmp_path):
    names = ["two words", "x" * 200, "猫", os.fsdecode(b"caf\xe9")]
    for name in names:
        fill(tmp_path, {name: 10})
    splits = load(tmp_path)
    assert splits.class_names == ("caf\\xe9", "two words", "x" * 200, "猫")
    assert splits.digest
    dump({"names": list(splits.class_names), "source": splits.source}).encode()


def test_grey_images_have_one_channel_and_size_and_crop_apply(tmp_path):
    fill(tmp_path, {"a": 10, "b": 10}, (6, 6))
    assert load(tmp_path).form.shape == (1, 6, 6)
    assert load(tmp_path, size=12, crop=8).form.shape == (1, 8, 8)
    assert load(tmp_path, size=12, crop=8).train.inputs.values.shape[2:] == (12, 12)
    fixtures.write_image(tmp_path / "a" / "x.png", np.zeros((6, 6, 3)))
    assert load(tmp_path).form.shape == (3, 6, 6)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"train/a/x.png": 1, "a/x.png": 1}, r"folders of splits \(train.*or of classes, not both; got a beside train"),
        ({"x.png": 1, "a/x.png": 1}, r"must lie in a folder named by its class; .*x\.png lies beside them"),
        ({"train/x.png": 1, "test/a/x.png": 1}, r"must lie in a folder named by its class; .*train/x\.png lies beside"),
        ({"a/x.gif": 0, "b/x.png": 1}, r"folders of classes with images \(\.jpg, .*\) in them; got none in a; add"),
        ({"train/a/x.gif": 0, "train/b/x.png": 1}, r"in them; got none in train/a; add.*\(1 \.gif\): convert those"),
        (
            dict.fromkeys(
                ["train/a/1.png", "train/a/2.png", "train/a/3.png", *(f"test/b/{n}.png" for n in range(3))], 1
            ),
            r"in the train split; class 'b' never does .*; add some to the published train set",
        ),
        ({"notes.txt": 0}, r"folders of classes with images.*got no image; add images or set another data\.dir"),
        ({".hidden": 0}, r"got no image"),
        ({"train/a/x.png": 1, "test/b/x.png": 1}, r"class 'b' never does|class 'a' never does"),
    ],
)
def test_a_layout_that_is_neither_is_refused(tmp_path, made, message):
    for name, whole in made.items():
        if whole:
            fixtures.write_image(tmp_path / name, fixtures.noise(4, 4, 3))
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).touch()
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_an_empty_folder_is_absent(tmp_path):
    with pytest.raises(DataError, match=r"data set 'images' needs a folder with .*lacks"):
        load(tmp_path)


@pytest.mark.parametrize("place", [".", "cifar10_jpeg"])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_as_jpeg_is_read_from_folder_or_archive_and_says_that_it_is_lossy(tmp_path, packed, place):
    home = tmp_path / place
    home.mkdir(exist_ok=True)
    SAMPLES["cifar10_jpeg"](home, 0)
    first = data.load(Data(name="cifar10_jpeg", dir=str(tmp_path)))
    if packed:
        shutil.make_archive(str(home / "CIFAR-10-images"), "gztar", home, "CIFAR-10-images")
        shutil.rmtree(home / "CIFAR-10-images")
    splits = data.load(Data(name="cifar10_jpeg", dir=str(tmp_path)))
    assert splits.digest == first.digest
    assert splits.source == (
        "generated here, not real data: cifar10_jpeg, 400 + 100 examples, lossy JPEG copies, "
        "not the publisher's files, not the whole release (400 of 50,000 train examples; 100 of 10,000 test examples)"
    )


def test_a_copy_of_cifar10_without_a_class_says_so_and_other_classes_are_refused(tmp_path):
    SAMPLES["cifar10_jpeg"](tmp_path, 0)
    for part in ("train", "test"):
        shutil.rmtree(tmp_path / "CIFAR-10-images" / part / "cat")
    splits = data.load(Data(name="cifar10_jpeg", dir=str(tmp_path)))
    assert splits.classes == 9
    assert splits.source.endswith("; 90 of 10,000 test examples), without cat")
    (tmp_path / "CIFAR-10-images" / "test" / "dog").rename(tmp_path / "CIFAR-10-images" / "test" / "tiger")
    with pytest.raises(DataError, match=r"the classes of CIFAR-10 \(airplane.*\); got .* set data\.name=images"):
        data.load(Data(name="cifar10_jpeg", dir=str(tmp_path)))


def test_real_cifar10_as_jpeg_is_whole(monkeypatch):
    monkeypatch.setattr(images, "HELD", 0)  # checked types make decoding slow: a part is enough here
    splits = data.load(Data(name="cifar10_jpeg", dir=real("cifar10_jpeg")))
    assert splits.source == "cifar10_jpeg, 50,000 + 10,000 examples, lossy JPEG copies, not the publisher's files"
    assert splits.sizes() == {"train": 45000, "validation": 5000, "test": 10000}
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    assert splits.class_names[:3] == ("airplane", "automobile", "bird")
    assert splits.form.shape == (3, 32, 32)
    means = splits.test.inputs[::10].batch().mean((0, 2, 3))
    assert torch.allclose(means, torch.tensor([0.494, 0.485, 0.450]), atol=0.02)  # of CIFAR-10's test images
