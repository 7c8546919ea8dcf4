"""The files of a published set of texts, one for each split, as one pool that says what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from ndg.data import published
from ndg.data.examples import Pool
from ndg.data.inputs import Inputs, Texts
from ndg.data.rows import Row
from ndg.errors import DataError

ROWS: dict[str, dict[str, int]] = {
    "snli": {"train": 549_367, "validation": 9_842, "test": 9_824},
    "allnli": {"train": 942_069, "validation": 19_657, "test": 19_656},
    "sick": {"train": 4_500, "validation": 500, "test": 4_927},
    "devign": {"train": 21_854, "validation": 2_732, "test": 2_732},
}
"""How many rows with a label the publishers' files have, by their own account."""


@dataclass(frozen=True, eq=False)
class Part:
    """The texts of one split and their classes; `left_out` more rows have no class."""

    texts: Texts
    labels: Int64[np.ndarray, " example"]
    left_out: int = 0

    def __getitem__(self, rows: Int64[np.ndarray, " chosen"]) -> Part:
        """Some examples, in the order of `rows`."""
        return Part(self.texts[rows], self.labels[rows])


def collect(
    rows: Iterable[Row],
    columns: Sequence[str],
    classes: dict[str, int],
    without: str | None = None,
    cased: bool = False,
) -> Part:
    """The texts in all `columns` but the last, which holds the label; rows with the label `without` are left out."""
    *names, last = columns
    texts: list[list[str]] = [[] for _ in names]
    labels = []
    left_out = 0
    for row in rows:
        if without is not None and row.fields[last] == without:
            left_out += 1
            continue
        for name, held in zip(names, texts, strict=True):
            held.append(row.text(name))
        labels.append(row.label(last, classes))
    second = tuple(texts[1]) if len(names) == 2 else None
    return Part(Texts(tuple(texts[0]), second, cased), np.array(labels, np.int64), left_out)


def assemble(
    name: str, parts: dict[str, Part], class_names: tuple[str, ...], paths: Sequence[Path], *notes: str
) -> Pool:
    """The texts of the publisher's splits, by name; `source` says what was left out and what is missing.

    Where there is no training set but two others, the validation set takes its place, and the test set stays one.
    Raises DataError without examples.
    """
    if not parts:
        raise DataError(f"data set {name!r} must hold examples; {', '.join(map(str, paths))} has none; copy it again")
    said = list(notes)
    if left_out := sum(part.left_out for part in parts.values()):
        said.append(f"{left_out:,} without a label left out")
    said += _missing(name, parts)
    if "train" not in parts and len(parts) > 1:
        parts = {"train" if split == "validation" else split: part for split, part in parts.items()}
        said.append("trained on its validation set")
    texts: dict[str, Inputs | Texts] = {split: part.texts for split, part in parts.items()}
    labels = {split: part.labels for split, part in parts.items()}
    pool = published.pool(name, texts, labels, class_names, paths)
    if pool.parts is None:
        said.append("divided here, not comparable with published figures")
    return replace(pool, source=", ".join([pool.source, *said]))


def present(folder: Path, files: dict[str, str]) -> dict[str, Path]:
    """Those of the files, by split, that lie in the folder."""
    return {split: folder / file for split, file in files.items() if (folder / file).is_file()}


def _missing(name: str, parts: dict[str, Part]) -> list[str]:
    """A clause that says of which splits the release has more rows; none where all are there."""
    found = {split: len(part.labels) for split, part in parts.items()}
    lacking = [
        f"{found[split]:,} of {rows:,} {split} rows" if split in found else f"no {split} set"
        for split, rows in ROWS.get(name, {}).items()
        if found.get(split) != rows
    ]
    return [f"not the whole release ({'; '.join(lacking)})"] if lacking else []
