"""Digits of scikit-learn, 1,797 of 8 x 8 pixels (Alpaydin & Kaynak 1998)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ndg.config import Data
from ndg.data.examples import Pool
from ndg.data.inputs import as_inputs


def read(folder: Path, settings: Data) -> Pool:
    """All digits, pixels divided by 16; `folder` is ignored."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    inputs = (bunch.images / 16).astype(np.float32)[:, None]
    names = tuple(str(digit) for digit in range(10))
    return Pool(as_inputs(inputs), bunch.target.astype(np.int64), names, "scikit-learn digits")
