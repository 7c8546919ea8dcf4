"""Damage estimated from first-order effects and few ablations.

First-order effects f are wrong by a factor r shared by the units of a layer, and by an error of each unit. Ablation on
m examples measures that error with noise:

    e_u = mean over the m examples of (D - r f) / s_u,        s_u the mean size of f
    estimate_u = r mean f + s_u k e_u,                        k = T / (T + V)

V is the variance of e_u over the choice of examples, T the variance of the errors of the units (shrinkage as in Efron &
Morris 1973). Standard errors include the remaining variance, the uncertainty of r, and the random directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

PRIOR = 10
"""Weight, in units, of the variances over all layers in those of one layer."""

FLOOR = 0.02
"""Smallest share of the squared errors attributed to the units."""

FAINT = 0.03
"""Weight of the size of a unit's change, relative to its effect, in the size of its errors."""

WIDER = 1.5
"""Factor on standard errors: tails are heavier than those of a normal distribution (`benchmarks.error_coverage`)."""

Units = Float64[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Measurements of a layer.

    For all units: mean first-order effect `first`, its mean size and variance over draws, and the mean size of the
    `change`. For the `ablated` units: `damage` and first-order `effects` on the share `drawn` of all examples.
    """

    first: Units
    size: Units
    variance: Units
    change: Units
    ablated: Bool[np.ndarray, " unit"]
    damage: Float64[np.ndarray, "ablated example"]
    effects: Float64[np.ndarray, "ablated example"]
    drawn: float


@dataclass(frozen=True, eq=False)
class _Fit:
    """Factor of a layer, errors of its units, and their variances."""

    ratio: float
    doubt: float
    errors: Float64[np.ndarray, " ablated"]
    noise: float
    own: float
    sizes: Units
    ablated: int


def estimate(layers: Sequence[Evidence]) -> list[tuple[Units, Units]]:
    """Estimates and standard errors of the units of each layer."""
    fits = [_fit(evidence) for evidence in layers]
    ablated = sum(fit.ablated for fit in fits)
    pooled = [
        sum(getattr(fit, name) * fit.ablated for fit in fits) / max(ablated, 1) for name in ("doubt", "noise", "own")
    ]
    return [_estimate(evidence, fit, *pooled) for evidence, fit in zip(layers, fits, strict=True)]


def _fit(evidence: Evidence) -> _Fit:
    total, changes = evidence.size.sum(), evidence.change.sum()
    sizes = evidence.size + evidence.change * (FAINT * (total / changes if total and changes else 1.0))
    of, (_, examples) = sizes[evidence.ablated], evidence.damage.shape
    known = of > 0
    damage, effects = (values[known] / of[known, None] for values in (evidence.damage, evidence.effects))
    squares = float((effects**2).sum())
    ratio = float((damage * effects).sum()) / squares if squares else 1.0
    rest = damage - ratio * effects
    errors = np.zeros(len(of))
    errors[known] = rest.mean(axis=1)
    if not known.any() or examples < 2:
        return _Fit(ratio, 0.0, errors, 0.0, 0.0, sizes, 0)
    left = 1 - evidence.drawn
    noise = float(rest.var(axis=1, ddof=1).mean()) / examples * left
    squared = float((errors[known] ** 2).mean())
    pulls = (effects * rest).sum(axis=0)  # contribution of each example to the ratio
    scale = (squares * ratio) ** 2
    doubt = examples / (examples - 1) * float((pulls**2).sum()) / scale * left if scale else 0.0
    return _Fit(ratio, doubt, errors, noise, max(squared - noise, FLOOR * squared), sizes, int(known.sum()))


def _estimate(evidence: Evidence, fit: _Fit, doubt: float, noise: float, own: float) -> tuple[Units, Units]:
    share = fit.ablated / (fit.ablated + PRIOR)
    noise, own = share * fit.noise + (1 - share) * noise, share * fit.own + (1 - share) * own
    both = noise + own
    trust = np.where(evidence.ablated, own / both if both else 0.0, 0.0)
    values = fit.ratio * evidence.first
    values[evidence.ablated] += (fit.sizes * trust)[evidence.ablated] * fit.errors
    common = max(fit.doubt, doubt) * (fit.ratio * evidence.first * (1 - trust)) ** 2
    alone = np.where(evidence.ablated, trust * noise, own) * fit.sizes**2
    return values, WIDER * np.sqrt(alone + common + fit.ratio**2 * evidence.variance)
