"""Texts of one's own: csv or tsv files with columns of text and of the label."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from ndg.config import Data
from ndg.data import releases, text_files
from ndg.data.examples import SPLITS, Pool
from ndg.data.inputs import Inputs, Texts
from ndg.errors import DataError

SUFFIXES = (".csv", ".tsv")
ALONE = "texts"
FILES = ("|".join(name + suffix for name in (ALONE, "train") for suffix in SUFFIXES),)


def read(folder: Path | None, settings: Data) -> Pool:
    """The texts, or pairs of them, of `texts.csv`, or of `train.csv`, `validation.csv` and `test.csv`, of which the
    last two may be missing; each may end in `.tsv`.

    `settings.columns` names the column of the text, or two of a pair, and then that of the label; other columns are not
    looked at. The classes are all labels that occur, sorted.
    """
    assert folder is not None
    found = {name: path for name in (ALONE, *SPLITS) if (path := _only(folder, name))}
    if ALONE in found and len(found) > 1:
        raise DataError(
            f"{folder} must hold one file of all texts, or one for each split; got "
            f"{', '.join(path.name for path in found.values())}; take one or the others away"
        )
    gathered = {"train" if name == ALONE else name: _gather(path, settings.columns) for name, path in found.items()}
    names, numbers = np.unique(
        list(chain.from_iterable(labels for _, labels in gathered.values())), return_inverse=True
    )
    ends = np.cumsum([len(labels) for _, labels in gathered.values()])
    classes = np.split(numbers.astype(np.int64), ends[:-1])
    texts: dict[str, Inputs | Texts] = {split: each for split, (each, _) in gathered.items()}
    pool = releases.pool(
        ALONE, texts, dict(zip(texts, classes, strict=True)), tuple(map(str, names)), list(found.values())
    )
    counts = " + ".join(f"{len(each):,}" for each in classes)
    return replace(pool, source=", ".join([str(folder), f"{counts} texts", *releases.halved(pool.parts)]))


def _gather(path: Path, columns: list[str]) -> tuple[Texts, list[str]]:
    """The texts of a file and their labels."""
    *names, label = columns
    texts: list[list[str]] = [[] for _ in names]
    labels = []
    for row in text_files.separated(path, columns):
        for name, held in zip(names, texts, strict=True):
            held.append(row.text(name))
        labels.append(sys.intern(row.text(label).strip()))
    return Texts(tuple(texts[0]), tuple(texts[1]) if len(names) == 2 else None), labels


def _only(folder: Path, name: str) -> Path | None:
    """The file of that name, whatever its suffix, where there is one."""
    found = [path for suffix in SUFFIXES if (path := folder / (name + suffix)).is_file()]
    if len(found) > 1:
        raise DataError(
            f"{folder} must hold one file {name!r}; got {' and '.join(path.name for path in found)}; take one away"
        )
    return found[0] if found else None
