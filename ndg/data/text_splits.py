"""Texts in one file per split, as one pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from ndg.data import releases, text_files
from ndg.data.examples import Pool
from ndg.data.inputs import Inputs, Texts
from ndg.data.text_files import Row
from ndg.errors import DataError


@dataclass(frozen=True, eq=False)
class Part:
    """Texts and classes of one split; `left_out` rows had no class."""

    texts: Texts
    labels: Int64[np.ndarray, " example"]
    left_out: int = 0

    def __getitem__(self, rows: Int64[np.ndarray, " chosen"]) -> Part:
        """Examples of these rows, in their order."""
        return Part(self.texts[rows], self.labels[rows])


def collect(
    rows: Iterable[Row],
    columns: Sequence[str],
    classes: dict[str, int],
    without: str | None = None,
    cased: bool = False,
) -> Part:
    """Texts of `columns`, the last being the label, unless `without`."""
    *names, last = columns
    texts: list[list[str]] = [[] for _ in names]
    labels = []
    left_out = 0
    for row in rows:
        if without is not None and row.fields[last] == without:
            left_out += 1
            continue
        for name, column in zip(names, texts, strict=True):
            column.append(row.text(name))
        labels.append(row.label(last, classes))
    second = tuple(texts[1]) if len(names) == 2 else None
    return Part(Texts(tuple(texts[0]), second, cased), np.array(labels, np.int64), left_out)


def assemble(
    name: str,
    parts: dict[str, Part],
    class_names: tuple[str, ...],
    paths: Sequence[Path],
    *notes: str,
    release: str | None = None,
) -> Pool:
    """Pool of the publisher's splits (`releases.pool`); DataError without examples."""
    if not parts:
        raise DataError(f"data set {name!r} must have examples; {', '.join(map(str, paths))} has none; copy it again")
    clauses = list(notes)
    if left_out := sum(part.left_out for part in parts.values()):
        clauses.append(f"{left_out:,} without a label left out")
    texts: dict[str, Inputs | Texts] = {split: part.texts for split, part in parts.items()}
    labels = {split: part.labels for split, part in parts.items()}
    return releases.pool(name, texts, labels, class_names, paths, *clauses, release=release)


def present(folder: Path, files: Mapping[str, str | Sequence[str]]) -> dict[str, Path]:
    """First existing file of each split, by split."""
    paths = {}
    for split, names in files.items():
        candidates = (folder / name for name in ([names] if isinstance(names, str) else names))
        if path := next((path for path in candidates if path.is_file()), None):
            paths[split] = path
    return paths


def read(
    name: str,
    paths: Mapping[str, Path],
    columns: Sequence[str],
    class_names: tuple[str, ...],
    numbers: dict[str, int],
    *,
    key: str | None = None,
    rows: Callable[[Path, Sequence[str]], Iterator[Row]] = text_files.objects,
    **options: Any,
) -> Pool:
    """Pool of one file per split; `rows` reads columns and `key`, `options` go to `collect`."""
    fields = (*columns, *([key] if key else []))
    lines = {split: rows(path, fields) for split, path in paths.items()}
    parts = {
        split: collect(text_files.unique(part, key) if key else part, columns, numbers, **options)
        for split, part in lines.items()
    }
    return assemble(name, parts, class_names, list(paths.values()))
