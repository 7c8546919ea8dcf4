"""Confidence intervals of rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

Z95 = 1.959963984540054


def wilson(
    successes: np.ndarray | int, trials: np.ndarray | int, z: float = Z95
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """Ends of the 95 % score interval of a rate (Wilson 1927).

    [0, 1] without trials.

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


def exact_paired(first_only: int, second_only: int, n: int) -> tuple[float, float, float]:
    """Exact p-value and 95 % interval of a difference of two paired rates.

    The test is McNemar's, exact and two-sided. The interval joins the Clopper-Pearson intervals of the share of
    discordant pairs and of the first among these, so that it leaves out 0 where p < .05.
    """
    from scipy.special import bdtr

    pairs = first_only + second_only
    share, (low, high) = _exact(pairs, n), _exact(first_only, pairs)
    p = min(1.0, 2 * float(bdtr(min(first_only, second_only), pairs, 0.5))) if pairs else 1.0
    low, high = 2 * low - 1, 2 * high - 1
    return p, low * share[low < 0], high * share[high > 0]


def _exact(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a rate by Clopper & Pearson 1934.

    [0, 1] without trials.
    """
    from scipy.special import betaincinv

    low = float(betaincinv(count, n - count + 1, 0.025)) if count else 0.0
    return low, float(betaincinv(count + 1, n - count, 0.975)) if count < n else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(corrected, 1.0).tolist()


def rate(name: str, count: int, n: int) -> dict[str, float | None]:
    """Columns of a rate with its 95 % Wilson interval; None without trials."""
    ends = map(float, wilson(count, n)) if n else (None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), (count / n if n else None, *ends), strict=True))
