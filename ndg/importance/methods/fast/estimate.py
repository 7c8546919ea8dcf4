"""What a layer's units would do if ablated on all examples, from first-order effects on all and ablation on few.

First-order effects f are off by a factor that the units of a layer share, r, and by what is the unit's own. Ablation on
m examples tells the second with noise:

    e_u = mean over the m examples of (D - r f) / s_u,        s_u the mean size of f
    estimate_u = r mean f + s_u k e_u,                        k = T / (T + V)

V is the variance of e_u by the choice of examples, T that of the units' own errors (Efron & Morris 1973: the noisy mean
is drawn to what the layer's units share). So ablation that is noisier than first-order effects are wrong is hardly
used, and the other way round. Standard errors hold the rest of both, the doubt about r, and the draws of directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

PRIOR = 10
"""Units that the variances of all layers together count for in those of one."""

FLOOR = 0.02
"""Share of the units' squared errors that is at least their own."""

FAINT = 0.03
"""Weight of the size of a unit's change beside its effect, in the size of its errors."""

Units = Float64[np.ndarray, " unit"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a layer. Of all units: mean first-order effect `first`, its mean size, the variance of `first`
    by draws, and mean size of the `change`. Of the `ablated` ones: `damage` and first-order `effects`, example by
    example, where `drawn` is the share of all examples that these are."""

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
    """The common factor of a layer and the relative variance of it; the errors of its ablated units, and their variance
    by examples and of their own; the sizes of its units, and how many told."""

    ratio: float
    doubt: float
    errors: Float64[np.ndarray, " ablated"]
    noise: float
    own: float
    sizes: Units
    told: int


def estimate(layers: Sequence[Evidence]) -> list[tuple[Units, Units]]:
    """Estimates and standard errors of each layer's units."""
    fits = [_fit(evidence) for evidence in layers]
    told = sum(fit.told for fit in fits)
    pooled = [sum(getattr(fit, name) * fit.told for fit in fits) / max(told, 1) for name in ("doubt", "noise", "own")]
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
    pulls = (effects * rest).sum(axis=0)  # what each example has to say about the ratio
    scale = (squares * ratio) ** 2
    doubt = examples / (examples - 1) * float((pulls**2).sum()) / scale * left if scale else 0.0
    return _Fit(ratio, doubt, errors, noise, max(squared - noise, FLOOR * squared), sizes, int(known.sum()))


def _estimate(evidence: Evidence, fit: _Fit, doubt: float, noise: float, own: float) -> tuple[Units, Units]:
    share = fit.told / (fit.told + PRIOR)
    noise, own = share * fit.noise + (1 - share) * noise, share * fit.own + (1 - share) * own
    both = noise + own
    trust = np.where(evidence.ablated, own / both if both else 0.0, 0.0)
    values = fit.ratio * evidence.first
    values[evidence.ablated] += (fit.sizes * trust)[evidence.ablated] * fit.errors
    common = (fit.doubt + doubt) / 2 * (fit.ratio * evidence.first * (1 - trust)) ** 2
    alone = np.where(evidence.ablated, trust * noise, own) * fit.sizes**2
    return values, np.sqrt(alone + common + fit.ratio**2 * evidence.variance)
