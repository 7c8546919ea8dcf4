"""Small data sets of scikit-learn, and the standardisation of tables."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ndg.config import Data
from ndg.data.examples import Pool
from ndg.data.inputs import TABLE, Numbers, as_inputs

FILES = {
    "breast_cancer": "breast_cancer.csv",
    "digits": "digits.csv.gz",
    "iris": "iris.csv",
    "wine": "wine_data.csv",
}
"""Files of scikit-learn's `datasets/data`."""


def bundled(name: str) -> Callable[[Path, Data], Pool]:
    """Reader of a table or of 8 x 8 images that scikit-learn bundles."""

    def read(folder: Path, settings: Data) -> Pool:
        table, class_names = _table(name)
        values, labels = table[:, :-1], table[:, -1].astype(np.int64)
        if name == "digits":
            values = (values / 16).reshape(-1, 1, 8, 8)
        return Pool(as_inputs(values.astype(np.float32)), labels, class_names, f"scikit-learn {name}")

    return read


def _table(name: str) -> tuple[Float64[np.ndarray, "example column"], tuple[str, ...]]:
    """Features and label of each example, and the names of the classes.

    Read from the file of scikit-learn, whose import takes a second.
    """
    spec = find_spec("sklearn")
    folder = Path(str(spec.origin)).parent / "datasets" / "data" if spec else Path()
    path = folder / FILES[name]
    if not path.is_file():  # a later scikit-learn may keep its files elsewhere
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        return np.column_stack([bunch.data, bunch.target]), tuple(map(str, bunch.target_names))
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            table = np.loadtxt(file, delimiter=",")
        return table, tuple(map(str, range(int(table[:, -1].max()) + 1)))
    with path.open(encoding="utf-8") as file:
        class_names = tuple(next(file).strip().split(",")[2:])
        return np.loadtxt(file, delimiter=","), class_names


def standardised(pool: Pool, train: Int64[np.ndarray, " chosen"]) -> Pool:
    """Table with columns standardised by its training rows, 0 if constant."""
    if not isinstance(pool.inputs, Numbers) or pool.inputs.form.kind != TABLE:
        return pool
    values = pool.inputs.values.numpy().astype(np.float64)
    training = values[train]
    varies = np.ptp(training, axis=0) > 0
    deviation = np.where(varies, training.std(axis=0), 1)
    scaled = np.where(varies, (values - training.mean(axis=0)) / np.where(deviation > 0, deviation, 1), 0)
    return replace(pool, inputs=as_inputs(scaled.astype(np.float32)))
