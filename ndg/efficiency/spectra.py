"""Dimension of activations, from the eigenvalues of their covariance.

    k99                  fewest principal directions with 99 % of the variance
    effective rank       e^H of the eigenvalues' shares (Roy & Vetterli 2007, of the covariance)
    participation ratio  (sum of eigenvalues)^2 / sum of squared eigenvalues

All are 0 where nothing varies, else between 1 and the number of units.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np
from jaxtyping import Float64

SHARE = 0.99


@dataclass(frozen=True)
class Spectrum:
    """Measures of the dimension of activations."""

    k99: int
    effective_rank: float
    participation: float


def spectrum(covariance: Float64[np.ndarray, "unit unit"]) -> Spectrum:
    """Measures of the eigenvalues of a covariance."""
    values = np.linalg.eigvalsh(covariance)[::-1]
    values = np.maximum(values, 0)
    if values[0] <= 0:
        return Spectrum(0, 0.0, 0.0)
    scaled = values / values[0]
    whole = float(scaled.sum())
    k99 = int(np.searchsorted(np.cumsum(scaled), SHARE * whole * (1 - 1e-12))) + 1
    some = scaled[scaled > 0]
    entropy = log(whole) - float(some @ np.log(some)) / whole
    return Spectrum(min(k99, len(values)), exp(max(entropy, 0.0)), whole**2 / float(scaled @ scaled))
