"""Data sets by name. A new one is a file with `read(folder) -> Pool` and a line in `DATASETS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ndg.config import Data
from ndg.data import arrays, digits
from ndg.data.examples import SPLITS, Batches, Examples, Pool, Splits, split
from ndg.errors import DataError, nearest

__all__ = ["DATASETS", "SPLITS", "Batches", "Dataset", "Examples", "Pool", "Splits", "absent", "load", "split"]


@dataclass(frozen=True)
class Dataset:
    """How a data set is read, and the files that must lie in `data.dir`; without files no folder is needed."""

    read: Callable[[Path | None], Pool]
    files: tuple[str, ...] = ()


DATASETS: dict[str, Dataset] = {
    "digits": Dataset(digits.read),
    "arrays": Dataset(arrays.read, arrays.FILES),
}


def load(config: Data) -> Splits:
    """The train, validation and test examples of a data set; they depend on `config.seed` and on no other seed.

    Raises DataError for an unknown data set, missing or damaged files, an empty split, and a class that a split lacks.
    """
    if reason := absent(config):
        raise DataError(reason)
    folder = None if config.dir is None else Path(config.dir)
    return split(DATASETS[config.name].read(folder), config.validation, config.test, config.seed)


def absent(config: Data) -> str | None:
    """Why the data of a config cannot be read here, with the remedy; None when they are at hand."""
    if config.name not in DATASETS:
        return f"data.name must be a known data set; got {config.name!r}; {nearest(config.name, DATASETS)}"
    files = DATASETS[config.name].files
    if not files:
        return None
    needs = f"data set {config.name!r} needs a folder with {', '.join(files)}"
    remedy = "set data.dir=FOLDER to where they lie"
    if config.dir is None:
        return f"{needs}; data.dir is not set; {remedy}"
    folder = Path(config.dir)
    if not folder.is_dir():
        return f"{needs}; there is no folder {config.dir!r}; {remedy}"
    missing = [name for name in files if not (folder / name).is_file()]
    return f"{needs}; {config.dir!r} lacks {', '.join(missing)}; {remedy}" if missing else None
