"""Metrics of how a layer's importance is shared among its weights.

With p_i = importance_i / sum: entropy H = -sum p_i log p_i in nats, effective parameters e^H, utilisation e^H / N,
redundancy 1 - H / log N. Where all weights have importance 0 there is no p: such a layer has 0 effective parameters,
Gini 0, coverage 0, and is redundant as a whole. A layer of one weight that is not 0 is used as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from ndg.errors import ShapeError

SHARES = (0.5, 0.8, 0.9)
"""Shares of all importance whose coverage is measured."""
THRESHOLDS = (1e-2, 1e-3)
"""Importance below which a weight counts as unimportant."""

Values = Float64[np.ndarray, " weight"]


@dataclass(frozen=True)
class Metrics:
    """Metrics of the importance of one layer's weights.

    `sparsity_1e2` and `sparsity_1e3` count importance below 0.01 and 0.001, so they alone depend on the scale of the
    weights; `relative_1e2` and `relative_1e3` count importance below that share of the largest, and do not.
    `coverage_x` is the share of the weights that hold x % of the importance, the largest first. All shares are in
    [0, 1].
    """

    weights: int
    entropy: float
    normalised_entropy: float
    effective: float
    utilisation: float
    redundancy: float
    sparsity_1e2: float
    sparsity_1e3: float
    relative_1e2: float
    relative_1e3: float
    gini: float
    coverage_50: float
    coverage_80: float
    coverage_90: float


NAMES = tuple(Metrics.__dataclass_fields__)


def metrics(importance: ArrayLike) -> Metrics:
    """All metrics of the importance of a layer's weights, of any shape."""
    values = np.sort(_checked(importance))
    h = _entropy(values)
    n = len(values)
    normalised = _normalised(h, n, bool(values[-1] > 0))
    effective = exp(h) if values[-1] > 0 else 0.0
    top = float(values[-1])
    relative = [float(np.searchsorted(values, threshold * top) / n) if top > 0 else 1.0 for threshold in THRESHOLDS]
    return Metrics(
        weights=n,
        entropy=h,
        normalised_entropy=normalised,
        effective=effective,
        utilisation=effective / n,
        redundancy=1 - normalised,
        sparsity_1e2=float(np.searchsorted(values, THRESHOLDS[0]) / n),
        sparsity_1e3=float(np.searchsorted(values, THRESHOLDS[1]) / n),
        relative_1e2=relative[0],
        relative_1e3=relative[1],
        gini=_gini(values),
        coverage_50=_coverage(values, SHARES[0]),
        coverage_80=_coverage(values, SHARES[1]),
        coverage_90=_coverage(values, SHARES[2]),
    )


def entropy(importance: ArrayLike) -> float:
    """Shannon entropy of the importance in nats."""
    return _entropy(_checked(importance))


def effective_parameters(importance: ArrayLike) -> float:
    """Number of equally important weights with the same entropy, e^H."""
    values = _checked(importance)
    return exp(_entropy(values)) if values.max() > 0 else 0.0


def redundancy(importance: ArrayLike) -> float:
    """1 - H / log N.

    0.5 means that e^H is the square root of N.
    """
    values = _checked(importance)
    return 1 - _normalised(_entropy(values), len(values), bool(values.max() > 0))


def sparsity(importance: ArrayLike, threshold: float) -> float:
    """Share of the weights with importance below a threshold."""
    return float((_checked(importance) < threshold).mean())


def gini(importance: ArrayLike) -> float:
    """Gini coefficient: 0 for equal importance, 1 - 1/N where one weight has all."""
    return _gini(np.sort(_checked(importance)))


def coverage(importance: ArrayLike, share: float) -> float:
    """Smallest share of the weights that holds this share of the importance."""
    return _coverage(np.sort(_checked(importance)), share)


def lorenz(importance: ArrayLike, points: int = 101) -> tuple[Values, Values]:
    """Lorenz curve: shares of the weights, least important first, and of the importance they hold."""
    values = np.sort(_checked(importance))
    whole = values.sum()
    cumulative = np.concatenate([[0.0], np.cumsum(values)])
    at = np.linspace(0, 1, points)
    held = np.interp(at * len(values), np.arange(len(values) + 1), cumulative)
    return at, held / whole if whole > 0 else at


def compression_potential(layers: Sequence[Metrics]) -> float:
    """1 - sum of effective parameters / sum of weights, over layers."""
    weights = sum(layer.weights for layer in layers)
    return 1 - sum(layer.effective for layer in layers) / weights if weights else 0.0


def mean_redundancy(layers: Sequence[Metrics]) -> float:
    """Mean of the layers' redundancy, each layer once."""
    return float(np.mean([layer.redundancy for layer in layers])) if layers else 0.0


def _checked(importance: Any) -> Values:
    """Importance as one axis of float64.

    ShapeError for none, NaN or negative values.
    """
    values = np.asarray(importance, dtype=np.float64).reshape(-1)
    if not len(values):
        raise ShapeError("metrics are of at least one weight; got none; leave out layers without weights")
    if not np.isfinite(values).all() or values.min() < 0:
        wrong = values[~(np.isfinite(values) & (values >= 0))][0]
        raise ShapeError(
            f"importance is a finite number of at least 0 for each weight; got {wrong}; take absolute values, and look "
            "for NaN or infinity in the weights and activations"
        )
    return values


def _entropy(values: Values) -> float:
    """H = log S - sum w log w / S with S = sum w, of values scaled to at most 1."""
    top = values.max()
    if top <= 0:
        return 0.0
    scaled = values[values > 0] / top
    scaled = scaled[scaled > 0]
    whole = float(scaled.sum())
    return max(log(whole) - float(scaled @ np.log(scaled)) / whole, 0.0)


def _normalised(h: float, n: int, some: bool) -> float:
    if not some:
        return 0.0
    return min(h / log(n), 1.0) if n > 1 else 1.0


def _gini(ordered: Values) -> float:
    n, top = len(ordered), ordered[-1]
    if top <= 0:
        return 0.0
    scaled = ordered / top
    return float(2 * (np.arange(1, n + 1) @ scaled) / (n * scaled.sum()) - (n + 1) / n)


def _coverage(ordered: Values, share: float) -> float:
    if ordered[-1] <= 0:
        return 0.0
    held = np.cumsum(ordered[::-1] / ordered[-1])
    needed = int(np.searchsorted(held, share * held[-1] * (1 - 1e-12))) + 1
    return min(needed, len(ordered)) / len(ordered)
