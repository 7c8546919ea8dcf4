"""Rows of numbers: the small tables that come with scikit-learn, and what a network needs of any table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from ndg.config import Data
from ndg.data.examples import Pool
from ndg.data.inputs import TABLE, Numbers, held


def iris(folder: Path | None, settings: Data) -> Pool:
    """150 flowers of three species by four lengths (Fisher 1936); `folder` is not looked at."""
    from sklearn.datasets import load_iris

    return _pool("iris", load_iris())


def wine(folder: Path | None, settings: Data) -> Pool:
    """178 wines of three growers by 13 measurements (Aeberhard & Forina 1991); `folder` is not looked at."""
    from sklearn.datasets import load_wine

    return _pool("wine", load_wine())


def breast_cancer(folder: Path | None, settings: Data) -> Pool:
    """569 tumours, malignant or benign, by 30 measurements (Wolberg et al. 1995); `folder` is not looked at."""
    from sklearn.datasets import load_breast_cancer

    return _pool("breast_cancer", load_breast_cancer())


def standardised(pool: Pool, train: Int64[np.ndarray, " chosen"]) -> Pool:
    """The same rows with mean 0 and standard deviation 1 in each column of the training rows; other inputs as they are.

    No other row is looked at. A column that is constant in training is 0 in all rows.
    """
    if not isinstance(pool.inputs, Numbers) or pool.inputs.form.kind != TABLE:
        return pool
    values = pool.inputs.values.numpy().astype(np.float64)
    seen = values[train]
    varies = np.ptp(seen, axis=0) > 0
    spread = np.where(varies, seen.std(axis=0), 1)
    scaled = np.where(varies, (values - seen.mean(axis=0)) / np.where(spread > 0, spread, 1), 0)
    return replace(pool, inputs=held(scaled.astype(np.float32)))


def _pool(name: str, bunch: Any) -> Pool:
    names = tuple(str(each) for each in bunch.target_names)
    return Pool(held(bunch.data.astype(np.float32)), bunch.target.astype(np.int64), names, f"scikit-learn {name}")
