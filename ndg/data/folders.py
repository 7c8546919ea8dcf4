"""Images in folders named by their class, with or without folders for the splits above them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int8, Int64

from ndg.config import Data
from ndg.data import releases
from ndg.data.examples import SPLITS, Pool, listed
from ndg.data.images import SUFFIXES, Picture, gathered, grey, pictures
from ndg.errors import DataError

FILES = ("*",)
FOLDERS = {"train": 0, "validation": 1, "valid": 1, "val": 1, "test": 2}

JPEG = "CIFAR-10-images"
JPEG_FILES = (f"{JPEG}|{JPEG}.tar.gz",)
CLASSES10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read(folder: Path | None, settings: Data) -> Pool:
    """The images of one's own in `train/CLASS`, `validation/CLASS` (or `val`, `valid`) and `test/CLASS`, of which the
    last two may be missing, or in `CLASS` alone, which is divided here.

    Classes and images are in the order of their names. Images without any colour have one channel.
    """
    assert folder is not None
    images, labels, parts, names = arranged(folder, gathered(folder), _empty(folder))
    inputs = pictures(images, settings, 1 if grey(images) else 3)
    parted = parts if len(np.unique(parts)) > 1 else None
    source = ", ".join([f"images of {folder}", counted(parts), *releases.halved(parted)])
    return Pool(inputs, labels, names, source, parted)


def cifar10_jpeg(folder: Path | None, settings: Data) -> Pool:
    """The images of CIFAR-10 as JPEG in class folders: lossy, so that figures are not those of CIFAR-10."""
    assert folder is not None
    place = folder / JPEG
    if place.is_dir():
        found, empty = gathered(place), _empty(place)
    else:
        place = folder / f"{JPEG}.tar.gz"
        found, empty = within(gathered(place), JPEG), []
    images, labels, parts, names = arranged(place, found, empty)
    if not set(names) <= set(CLASSES10):
        raise DataError(
            f"{place} must hold the classes of CIFAR-10 ({', '.join(CLASSES10)}); got {listed(names)}; "
            "set data.name=images for images of your own"
        )
    said = ["cifar10_jpeg", counted(parts), "lossy JPEG copies, not the publisher's files"]
    said += releases.lacking("cifar10_jpeg", sizes(parts))
    if absent := [name for name in CLASSES10 if name not in names]:
        said.append(f"without {listed(absent)}")
    parted = parts if len(np.unique(parts)) > 1 else None
    said += releases.divided(parted)
    return Pool(pictures(images, settings), labels, names, ", ".join(said), parted)


def arranged(
    place: Path, images: Sequence[Picture], empty: Sequence[str] = ()
) -> tuple[list[Picture], Int64[np.ndarray, " example"], Int8[np.ndarray, " example"], tuple[str, ...]]:
    """Images with their classes, their places in SPLITS (train where there are no folders of splits) and the names of
    the classes, by the folders in their names; in the order of split, class and name.

    Raises DataError for images beside the folders of classes, for folders of classes beside those of splits, and for
    folders without images.
    """
    tops = {image.name.partition("/")[0] for image in images if "/" in image.name}
    divided = bool(tops & FOLDERS.keys())
    if divided and (others := sorted(tops - FOLDERS.keys())):
        raise DataError(
            f"{place} must hold folders of splits ({', '.join(FOLDERS)}) or of classes, not both; "
            f"got {listed(others)} beside {listed(sorted(tops & FOLDERS.keys()))}; move or rename them"
        )
    depth = 3 if divided else 2
    rows = []
    for image in images:
        above = image.name.split("/")
        if len(above) < depth:
            raise DataError(
                f"an image must lie in a folder named by its class; {image.where} lies beside them; "
                "move it into one, or leave it out"
            )
        rows.append((FOLDERS[above[0]] if divided else 0, above[depth - 2], image.name, image))
    if not rows or empty:
        raise DataError(
            f"{place} must hold folders of classes with images ({', '.join(SUFFIXES)}) in them; "
            f"got {f'none in {listed(empty)}' if empty else 'no image'}; add images or set another data.dir"
        )
    rows.sort(key=lambda row: row[:3])
    names = tuple(sorted({name for _, name, _, _ in rows}))
    places = {name: label for label, name in enumerate(names)}
    labels = np.array([places[name] for _, name, _, _ in rows], np.int64)
    return [image for *_, image in rows], labels, np.array([part for part, *_ in rows], np.int8), names


def within(images: Iterable[Picture], folder: str) -> list[Picture]:
    """Those in a folder of an archive, with their names below it."""
    start = folder + "/"
    return [
        Picture(image.name.removeprefix(start), image.place, image.content)
        for image in images
        if image.name.startswith(start)
    ]


def counted(parts: Int8[np.ndarray, " example"]) -> str:
    """How many examples there are in each of the splits that have any."""
    present, counts = np.unique(parts, return_counts=True)
    only = f" ({SPLITS[present[0]]} only)" if len(present) == 1 and present[0] else ""
    return " + ".join(f"{count:,}" for count in counts) + f" examples{only}"


def sizes(parts: Int8[np.ndarray, " example"]) -> dict[str, int]:
    """Number of examples of each split, by its name."""
    return {name: int((parts == number).sum()) for number, name in enumerate(SPLITS)}


def _empty(folder: Path) -> list[str]:
    """Folders of classes below it in which nothing lies; their classes would be lost without a word."""
    above = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if any(path.name in FOLDERS for path in above):
        above = [path for split in above for path in split.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return [path.relative_to(folder).as_posix() for path in sorted(above) if not gathered(path)]
