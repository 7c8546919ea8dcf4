"""Your own texts in csv or tsv files."""

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

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ALONE = "texts"
FILES = ("|".join(name + suffix for name in (ALONE, "train") for suffix in SUFFIXES),)


def read(folder: Path, settings: Data) -> Pool:
    """Texts, or pairs, of `texts.csv`, or of `train.csv`, `validation.csv` and `test.csv` (or `.tsv`, also `.gz`).

    `settings.columns` names the column of the text, or two of a pair, and then that of the label. Labels are sorted.
    """
    paths = {name: path for name in (ALONE, *SPLITS) if (path := _only(folder, name))}
    if ALONE in paths and len(paths) > 1:
        raise DataError(
            f"{folder} must contain one file of all texts, or one per split; got "
            f"{', '.join(path.name for path in paths.values())}; move one or the others away"
        )
    by_split = {"train" if name == ALONE else name: _gather(path, settings.columns) for name, path in paths.items()}
    names, numbers = np.unique(
        list(chain.from_iterable(labels for _, labels in by_split.values())), return_inverse=True
    )
    ends = np.cumsum([len(labels) for _, labels in by_split.values()])
    classes = np.split(numbers.astype(np.int64), ends[:-1])
    texts: dict[str, Inputs | Texts] = {split: part for split, (part, _) in by_split.items()}
    pool = releases.pool(
        ALONE, texts, dict(zip(texts, classes, strict=True)), tuple(map(str, names)), list(paths.values())
    )
    counts = " + ".join(f"{len(part):,}" for part in classes)
    return replace(pool, source=", ".join([str(folder), f"{counts} texts", *releases.halved(pool.parts)]))


def _gather(path: Path, columns: list[str]) -> tuple[Texts, list[str]]:
    """Texts and labels of a file."""
    *names, label = columns
    texts: list[list[str]] = [[] for _ in names]
    labels = []
    for row in text_files.separated(path, columns):
        for name, column in zip(names, texts, strict=True):
            column.append(row.text(name))
        labels.append(sys.intern(row.text(label).strip()))
    return Texts(tuple(texts[0]), tuple(texts[1]) if len(names) == 2 else None), labels


def _only(folder: Path, name: str) -> Path | None:
    """File of that name with any suffix, if it exists."""
    paths = [path for suffix in SUFFIXES if (path := folder / (name + suffix)).is_file()]
    if len(paths) > 1:
        raise DataError(
            f"{folder} must contain one file {name!r}; got {' and '.join(path.name for path in paths)}; move one away"
        )
    return paths[0] if paths else None
