"""CUB-200-2011 from folder and archive; contradictory lists are rejected."""

import tarfile
from pathlib import Path

import pytest
import torch

from ndg import data
from ndg.config import Data
from ndg.data import images, releases
from ndg.errors import DataError
from tests.data import fixtures
from tests.data.test_releases import real

CLASSES = ["001.Albatross", "002.Ani", "003.Auklet"]
EACH = 8


def write(home, absent=()):
    """Eight images of each class, two of them in the test set, ids interleaved."""
    names = [f"{CLASSES[number % 3]}/{number:02}.jpg" for number in range(3 * EACH)]
    for number, name in enumerate(names):
        fixtures.write_image(home / "images" / name, fixtures.noise(20, 18, 3, seed=number))
    kept = [(number, name) for number, name in enumerate(names, 1) if name[:3] not in absent]
    lines = {
        "classes.txt": enumerate(CLASSES, 1),
        "images.txt": kept,
        "image_class_labels.txt": [(number, int(name[:3])) for number, name in kept],
        "train_test_split.txt": [(number, int(number <= 18)) for number, _ in kept],
    }
    for name, pairs in lines.items():
        (home / name).write_text("".join(f"{number} {value}\n" for number, value in pairs))
    return home


def load(folder, **settings):
    return data.load(Data(name="cub200", dir=str(folder), validation=0.17, **settings))


PART = "not the whole release (18 of 5,994 train examples; 6 of 5,794 test examples; 3 of 200 classes)"


@pytest.mark.parametrize("place", [".", "CUB_200_2011", "cub200/CUB_200_2011", "cub200"])
def test_a_folder_is_read_in_the_order_of_ids_with_the_publishers_test_set(tmp_path, place):
    home = write(tmp_path / place)
    splits = load(tmp_path)
    assert splits.class_names == tuple(CLASSES)
    assert splits.sizes() == {"train": 15, "validation": 3, "test": 6}
    assert splits.source == f"cub200, 18 + 6 examples, in files that have no published sum, {PART}"
    assert splits.test.indices.tolist() == list(range(18, 24))
    assert splits.test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    for row, pixels in zip(splits.test.indices.tolist(), splits.test.inputs.values, strict=True):
        file = images.Picture("x", home / "images" / CLASSES[row % 3] / f"{row:02}.jpg")
        assert torch.equal(pixels, torch.from_numpy(file.decode(3)))


def test_the_archive_is_read_as_it_is(tmp_path):
    home = write(tmp_path / "made" / "CUB_200_2011")
    fixtures.write_image(home / "images" / "._hidden.jpg", fixtures.noise(4, 4, 3))
    with tarfile.open(tmp_path / "CUB_200_2011_part.tgz", "w:gz") as archive:
        archive.add(home, "CUB_200_2011")
        archive.add(home / "classes.txt", "attributes.txt")
    splits, folder = load(tmp_path), load(tmp_path / "made")
    assert splits.digest == folder.digest
    assert splits.source == folder.source
    assert {path.name for path in tmp_path.iterdir()} == {"made", "CUB_200_2011_part.tgz"}


def test_size_and_crop_apply(tmp_path):
    write(tmp_path)
    splits = load(tmp_path, size=30, crop=22)
    assert splits.form.shape == (3, 22, 22)
    assert splits.train.inputs.values.shape[1:] == (3, 30, 30)


def test_a_copy_without_images_of_a_class_leaves_it_out(tmp_path):
    write(tmp_path, absent=("002",))
    splits = load(tmp_path)
    assert splits.class_names == ("001.Albatross", "003.Auklet")
    assert splits.test.labels.tolist() == [0, 1, 0, 1]
    assert splits.source.endswith("2 of 200 classes)")


def change(old, new):
    def changed(text):
        assert old in text
        return text.replace(old, new, 1)

    return changed


SPLIT, LABELS, IMAGES = "train_test_split.txt", "image_class_labels.txt", "images.txt"


@pytest.mark.parametrize(
    ("file", "changed", "message"),
    [
        (SPLIT, change("24 0\n", "99 0\n"), r"must give each image .*image 24 is in images\.txt alone"),
        (SPLIT, change("24 0\n", "24 0\n99 0\n"), r"image 99 is in train_test_split\.txt alone"),
        (SPLIT, change("24 0\n", "24 2\n"), r"train_test_split\.txt must give 0, 1; image 24 has '2'"),
        (SPLIT, change("24 0\n", "24 0\n24 1\n"), r"split\.txt, line 25 must have an id of its own; got 24"),
        (LABELS, change("24 3\n", ""), r"image_class_labels\.txt must give each.*image 24 is in images\.txt"),
        (LABELS, change("24 3\n", "24 4\n"), r"labels\.txt must give 1, 2, 3; image 24 has '4'"),
        (LABELS, change("24 3\n", "24 0\n"), r"labels\.txt must give 1, 2, 3; image 24 has '0'"),
        (LABELS, change("24 3\n", "24 x\n"), r"labels\.txt must give 1, 2, 3; image 24 has 'x'"),
        (LABELS, change("24 3\n", "24 3\n24 3\n"), r"labels\.txt, line 25 must have an id of its own; got 24"),
        ("classes.txt", change("3 003", "4 003"), r"must give 1, 2, 4; image 3 has '3'"),
        ("classes.txt", lambda text: "", r"classes\.txt must have lines; it is empty"),
        (IMAGES, change("/05.jpg", "/55.jpg"), r"1 of 24 are missing, first images/003\.Auklet/55\.jpg; copy"),
        (IMAGES, change("003.Auklet/05", "../../etc/05"), r"are missing, first images/\.\./\.\./etc/05\.jpg"),
        (IMAGES, change("6 003", "-6 003"), r"images\.txt, line 6 must be an id from 1 and a value; got '-6 003"),
        (IMAGES, change("6 003.Auklet/05.jpg", "6"), r"images\.txt, line 6 must be an id from 1 and a value; got '6'"),
        (IMAGES, lambda text: text + "\N{SUPERSCRIPT TWO} x\n", r"line 25 must be an id from 1"),
    ],
)  # fmt: skip
def test_lists_that_do_not_fit_are_refused_by_the_rule(tmp_path, file, changed, message):
    write(tmp_path)
    (tmp_path / file).write_text(changed((tmp_path / file).read_text()))
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_missing_and_damaged_lists_are_named(tmp_path):
    write(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"1 \xff\n")
    with pytest.raises(DataError, match=r"classes\.txt must be UTF-8; .*copy the files of one release again"):
        load(tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt must be a file that can be read"):
        load(tmp_path)
    with tarfile.open(tmp_path / "CUB_200_2011.tgz", "w:gz") as archive:
        archive.add(tmp_path / "images.txt", "CUB_200_2011/images.txt")
    (tmp_path / "images.txt").unlink()
    with pytest.raises(DataError, match=r"CUB_200_2011\.tgz must have CUB_200_2011/image_class_labels\.txt"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"data set 'cub200' needs a folder with images\.txt or CUB_200_2011\*\.tgz"):
        load(Path(tmp_path / "images"))


def test_an_archive_that_reaches_out_is_refused(tmp_path):
    write(tmp_path / "made")
    with tarfile.open(tmp_path / "CUB_200_2011.tgz", "w:gz") as archive:
        archive.add(tmp_path / "made", "CUB_200_2011")
        archive.add(tmp_path / "made" / "classes.txt", "CUB_200_2011/../../evil.txt")
    with pytest.raises(DataError, match=r"with names below one folder; got 'CUB_200_2011/\.\./\.\./evil\.txt'"):
        load(tmp_path)


def test_real_part_of_cub_says_so():
    splits = data.load(Data(name="cub200", dir=real("cub_200_2011_subset"), size=64))
    assert splits.source == (
        "cub200, 1,500 + 1,449 examples, in files that have no published sum, not the whole release "
        "(1,500 of 5,994 train examples; 1,449 of 5,794 test examples; 50 of 200 classes)"
    )
    assert splits.classes == 50
    assert splits.class_names[0] == "001.Black_footed_Albatross"
    trained = torch.cat([splits.train.labels, splits.validation.labels]).bincount()
    assert set(trained.tolist()) <= {29, 30, 31}
    assert int(trained.sum()) == 1500
    assert splits.form.shape == (3, 64, 64)
    assert sum(releases.COUNTS["cub200"].values()) == 11_788
