"""The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn (Alpaydin & Kaynak 1998, UCI, test part)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ndg.config import Data
from ndg.data.examples import Pool
from ndg.data.inputs import held


def read(folder: Path | None, settings: Data) -> Pool:
    """All digits, pixels divided by 16; `folder` is not looked at, since the data come with the package."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    inputs = (bunch.images / 16).astype(np.float32)[:, None]
    names = tuple(str(digit) for digit in range(10))
    return Pool(held(inputs), bunch.target.astype(np.int64), names, "scikit-learn digits")
