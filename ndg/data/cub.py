"""Caltech-UCSD Birds-200-2011 (Wah et al. 2011), from a folder or archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ndg.config import Data
from ndg.data import archives, releases
from ndg.data.examples import Pool, listed
from ndg.data.folders import counted, sizes
from ndg.data.images import SUFFIXES, Picture, gathered, pictures
from ndg.errors import DataError

HOME = "CUB_200_2011"
FILES = (f"images.txt|{HOME}*.tgz",)
LISTS = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
CLASSES = 200
AGAIN = "copy the files of one release again"


def read(folder: Path, settings: Data) -> Pool:
    """Birds with the publisher's test set, by id; DataError for inconsistent lists and missing images."""
    if (folder / LISTS[0]).is_file():
        place, origin = folder, "in files that have no published sum"
        lists = {name: _bytes(folder / name) for name in LISTS}
        images = {image.name: image for image in gathered(folder / "images")}
    else:
        place = min(folder.glob(f"{HOME}*.tgz"))
        origin = releases.origin("cub200", [place])
        lists, images = _packed(place)
    tables = {name: _table(f"{place}: {name}", content) for name, content in lists.items()}

    names = tables["images.txt"]
    for name in LISTS[1:3]:
        if tables[name].keys() != names.keys():
            odd = min(tables[name].keys() ^ names.keys())
            raise DataError(
                f"{place}: {name} must give each image of images.txt one line; image {odd} is in "
                f"{'images.txt' if odd in names else name} alone; {AGAIN}"
            )
    if missing := [name for name in names.values() if name not in images]:
        raise DataError(
            f"{place} must have every image of images.txt; {len(missing):,} of {len(names):,} are missing, first "
            f"images/{missing[0]}; {AGAIN}"
        )
    labels = _numbers(place, "image_class_labels.txt", tables, {str(number) for number in tables["classes.txt"]})
    split = _numbers(place, "train_test_split.txt", tables, {"0", "1"})

    parts = np.where(split == 1, 0, 2).astype(np.int8)
    present, renumbered = np.unique(labels, return_inverse=True)
    class_names = tuple(tables["classes.txt"][int(number)] for number in present)
    fewer = [f"{len(present)} of {CLASSES} classes"] if len(present) != CLASSES else []
    clauses = ["cub200", counted(parts), origin, *releases.lacking("cub200", sizes(parts), *fewer)]
    inputs = pictures([images[name] for name in names.values()], settings)
    division = parts if len(np.unique(parts)) > 1 else None
    clauses += releases.divided(division)
    return Pool(inputs, renumbered.astype(np.int64), class_names, ", ".join(clauses), division)


def _packed(archive: Path) -> tuple[dict[str, bytes], dict[str, Picture]]:
    """Lists and images of an archive."""
    lists, images = {}, {}
    for name, content in archives.members(archive, (*SUFFIXES, ".txt")):
        if len(name.parts) == 2 and name.parts[0] == HOME and name.name in LISTS:
            lists[name.name] = content
        elif name.parts[:2] == (HOME, "images"):
            inside = "/".join(name.parts[2:])
            images[inside] = Picture(inside, archive, content)
    if missing := [name for name in LISTS if name not in lists]:
        raise DataError(f"{archive} must have {HOME}/{missing[0]}; it is not there; {AGAIN}")
    return lists, images


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} must be a file that can be read; {error}; {AGAIN}") from error


def _table(where: str, content: bytes) -> dict[int, str]:
    """Value of each id, sorted by id, from lines "id value"."""
    values: dict[int, str] = {}
    try:
        lines = content.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{where} must be UTF-8; {error}; {AGAIN}") from error
    for number, line in enumerate(lines, 1):
        key, _, value = line.strip().partition(" ")
        if not (key.isascii() and key.isdigit() and len(key) < 10 and value):
            raise DataError(f"{where}, line {number:,} must be an id from 1 and a value; got {line[:80]!r}; {AGAIN}")
        if int(key) in values:
            raise DataError(f"{where}, line {number:,} must have an id of its own; got {int(key)} again; {AGAIN}")
        values[int(key)] = value
    if not values:
        raise DataError(f"{where} must have lines; it is empty; {AGAIN}")
    return dict(sorted(values.items()))


def _numbers(place: Path, name: str, tables: dict[str, dict[int, str]], allowed: set[str]) -> np.ndarray:
    """Numbers of a list, in the order of ids."""
    for key, value in tables[name].items():
        if value not in allowed:
            shown = listed(sorted(allowed, key=int))
            raise DataError(f"{place}: {name} must give {shown}; image {key} has {value[:80]!r}; {AGAIN}")
    return np.array([int(value) for value in tables[name].values()], np.int64)
