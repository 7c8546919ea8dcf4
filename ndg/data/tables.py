"""Small data sets of scikit-learn, and the standardisation of tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from ndg.config import Data
from ndg.data.examples import Pool
from ndg.data.inputs import TABLE, Numbers, as_inputs


def bundled(name: str) -> Callable[[Path, Data], Pool]:
    """Reader of a table or of 8 x 8 images that scikit-learn bundles."""

    def read(folder: Path, settings: Data) -> Pool:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        class_names = tuple(map(str, bunch.target_names))
        values = (bunch.images / 16)[:, None] if "images" in bunch else bunch.data
        inputs = as_inputs(values.astype(np.float32))
        return Pool(inputs, bunch.target.astype(np.int64), class_names, f"scikit-learn {name}")

    return read


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
