"""Images in folders named by class, optionally below folders of splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int8, Int64

from ndg.config import Data
from ndg.data import releases
from ndg.data.examples import SPLITS, Pool, listed
from ndg.data.images import SUFFIXES, Picture, gathered, others, pictures, shown, surveyed
from ndg.errors import DataError

FILES = ("*",)
FOLDERS = {"train": 0, "validation": 1, "valid": 1, "val": 1, "test": 2}
OTHER_FOLDERS = FOLDERS | {"training": 0, "dev": 1, "testing": 2}
"""Names of splits in capitals or small letters, where each folder at the top has one of them."""

JPEG = "CIFAR-10-images"
JPEG_FILES = (f"{JPEG}|{JPEG}.tar.gz",)
CLASSES10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read(folder: Path, settings: Data) -> Pool:
    """Your own images in `train/CLASS`, `validation/CLASS` and `test/CLASS`, or in `CLASS`.

    `val` and `valid` also name the second split; the last two may be missing. Images have one channel if all are grey.
    Links to folders are followed; `source` counts other files, and images in folders below those of the classes.
    """
    images, labels, parts, names = arranged(folder, gathered(folder), _empty(folder))
    channels, clauses = surveyed(images)
    inputs = pictures(images, settings, channels)
    division = parts if len(np.unique(parts)) > 1 else None
    clauses = [counted(parts), *releases.halved(division), *_deeper(images), *others(folder), *clauses]
    source = ", ".join([f"images of {shown(folder)}", *clauses])
    return Pool(inputs, labels, names, source, division)


def cifar10_jpeg(folder: Path, settings: Data) -> Pool:
    """CIFAR-10 as lossy JPEG images in class folders.

    Figures differ from CIFAR-10.
    """
    place = folder / JPEG
    if place.is_dir():
        images, labels, parts, names = arranged(place, gathered(place), _empty(place))
        left_out = others(place)
    else:
        left_out, place, start = [], folder / f"{JPEG}.tar.gz", f"{JPEG}/"
        inside = [image for image in gathered(place) if image.name.startswith(start)]
        images, labels, parts, names = arranged(
            place, [replace(image, name=image.name.removeprefix(start)) for image in inside]
        )
    if not set(names) <= set(CLASSES10):
        raise DataError(
            f"{place} must have the classes of CIFAR-10 ({', '.join(CLASSES10)}); got {listed(names)}; "
            "set data.name=images for images of your own"
        )
    clauses = ["cifar10_jpeg", counted(parts), "lossy JPEG copies, not the publisher's files"]
    clauses += [*releases.lacking("cifar10_jpeg", sizes(parts)), *left_out]
    if missing := [name for name in CLASSES10 if name not in names]:
        clauses.append(f"without {listed(missing)}")
    division = parts if len(np.unique(parts)) > 1 else None
    clauses += releases.divided(division)
    return Pool(pictures(images, settings), labels, names, ", ".join(clauses), division)


def arranged(
    place: Path, images: Sequence[Picture], empty: Sequence[str] = ()
) -> tuple[list[Picture], Int64[np.ndarray, " example"], Int8[np.ndarray, " example"], tuple[str, ...]]:
    """Images, classes, splits and class names, sorted; DataError for misplaced images."""
    tops = {image.name.partition("/")[0] for image in images if "/" in image.name}
    splits = _splits(tops)
    divided = bool(splits)
    if divided and (classes := sorted(tops - splits.keys())):
        raise DataError(
            f"{place} must have folders of splits ({', '.join(FOLDERS)}) or of classes, not both; "
            f"got {listed(classes)} beside {listed(sorted(splits))}; move or rename them"
        )
    depth = 3 if divided else 2
    rows = []
    for image in images:
        parts = image.name.split("/")
        if len(parts) < depth:
            raise DataError(
                f"an image must lie in a folder named by its class; {image.where} lies beside them; "
                "move it into one, or leave it out"
            )
        rows.append((splits[parts[0]] if divided else 0, parts[depth - 2], image.name, image))
    if not rows or empty:
        convert = [f"; {clause}: convert those that are images" for clause in (others(place) if place.is_dir() else [])]
        raise DataError(
            f"{place} must have folders of classes with images ({', '.join(SUFFIXES)}) in them; "
            f"got {f'none in {listed(empty)}' if empty else 'no image'}; add images or set another data.dir"
            f"{''.join(convert)}"
        )
    rows.sort(key=lambda row: row[:3])
    names = tuple(sorted({name for _, name, _, _ in rows}))
    numbers = {name: label for label, name in enumerate(names)}
    labels = np.array([numbers[name] for _, name, _, _ in rows], np.int64)
    return [image for *_, image in rows], labels, np.array([part for part, *_ in rows], np.int8), names


def counted(parts: Int8[np.ndarray, " example"]) -> str:
    """Number of examples of each non-empty split, as text."""
    present, counts = np.unique(parts, return_counts=True)
    only = f" ({SPLITS[present[0]]} only)" if len(present) == 1 and present[0] else ""
    return " + ".join(f"{count:,}" for count in counts) + f" examples{only}"


def sizes(parts: Int8[np.ndarray, " example"]) -> dict[str, int]:
    """Number of examples of each split, by name."""
    return {name: int((parts == number).sum()) for number, name in enumerate(SPLITS)}


def _splits(tops: Iterable[str]) -> dict[str, int]:
    """Folders of splits among those at the top, with their places in SPLITS."""
    usual = {name: FOLDERS[name] for name in tops if name in FOLDERS}
    named = {name: OTHER_FOLDERS[name.lower()] for name in tops if name.lower() in OTHER_FOLDERS}
    return usual if usual or len(named) < len(set(tops)) else named


def _deeper(images: Sequence[Picture]) -> list[str]:
    """Clause on images in folders below those of the classes."""
    splits = _splits({image.name.partition("/")[0] for image in images})
    names = [image.name.split("/")[1 if splits else 0 :] for image in images]
    folders = sorted({parts[1] for parts in names if len(parts) > 2})  # two of them may be classes
    count = sum(len(parts) > 2 for parts in names)
    return [f"{count:,} of them in folders below their class ({listed(folders)})"] if len(folders) > 1 else []


def _empty(folder: Path) -> list[str]:
    """Class folders without images, whose classes would vanish silently."""
    folders = _inside(folder)
    if _splits({path.name for path in folders}):
        folders = [path for split in folders for path in _inside(split)]
    return [shown(path.relative_to(folder)) for path in sorted(folders) if not gathered(path)]


def _inside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
