"""Tables of numbers: small ones from scikit-learn, and their standardisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from ndg.config import Data
from ndg.data.examples import Pool
from ndg.data.inputs import TABLE, Numbers, as_inputs


def iris(folder: Path, settings: Data) -> Pool:
    """150 flowers of three species by four lengths (Fisher 1936)."""
    from sklearn.datasets import load_iris

    return _pool("iris", load_iris())


def wine(folder: Path, settings: Data) -> Pool:
    """178 wines of three growers by 13 measurements (Aeberhard & Forina 1991)."""
    from sklearn.datasets import load_wine

    return _pool("wine", load_wine())


def breast_cancer(folder: Path, settings: Data) -> Pool:
    """569 tumours, malignant or benign, by 30 measurements (Wolberg et al. 1995)."""
    from sklearn.datasets import load_breast_cancer

    return _pool("breast_cancer", load_breast_cancer())


def standardised(pool: Pool, train: Int64[np.ndarray, " chosen"]) -> Pool:
    """Table with standardised columns, by its training rows.

    They have mean 0 and standard deviation 1; columns that are constant in training become 0. Other inputs are returned
    unchanged.
    """
    if not isinstance(pool.inputs, Numbers) or pool.inputs.form.kind != TABLE:
        return pool
    values = pool.inputs.values.numpy().astype(np.float64)
    training = values[train]
    varies = np.ptp(training, axis=0) > 0
    deviation = np.where(varies, training.std(axis=0), 1)
    scaled = np.where(varies, (values - training.mean(axis=0)) / np.where(deviation > 0, deviation, 1), 0)
    return replace(pool, inputs=as_inputs(scaled.astype(np.float32)))


def _pool(name: str, bunch: Any) -> Pool:
    names = tuple(map(str, bunch.target_names))
    return Pool(as_inputs(bunch.data.astype(np.float32)), bunch.target.astype(np.int64), names, f"scikit-learn {name}")
