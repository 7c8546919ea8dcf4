"""Confidence intervals of rates."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

Z95 = 1.959963984540054


def wilson(
    successes: np.ndarray | int, trials: np.ndarray | int, z: float = Z95
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """Ends of the 95 % score interval of a rate (Wilson 1927); [0, 1] without trials.

    `z` is the normal quantile; `successes` and `trials` are counts of the same shape.
    """
    n = np.asarray(trials, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.asarray(successes, dtype=np.float64) / n
        middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
        low = np.where(n > 0, np.where(rate <= 0, 0.0, np.maximum(middle - half, 0.0)), 0.0)
        high = np.where(n > 0, np.where(rate >= 1, 1.0, np.minimum(middle + half, 1.0)), 1.0)
    return low, high
