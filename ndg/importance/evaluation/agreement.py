"""Agreement of two scores of the same units, pooled and within layers.

Pooled over layers, a score can agree only because it ranks the layers; a null that knows the mean of each layer shows
this. Intervals are 95 % percentile intervals over bootstrap draws of units. All scores of the same units use the same
draws, so differences between them are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from ndg import seeds
from ndg.errors import ShapeError
from ndg.importance.scores import Scores
from ndg.results import Result

DRAWS = 1000
FEWEST = 3
"""Smallest number of units for a correlation."""
NULL = "layer mean"
AT_ONCE = 1 << 22
STATISTICS = ("pearson", "spearman", "kendall")

Values = Float64[np.ndarray, " unit"]
Counts = Int64[np.ndarray, "draw unit"]
Draws = Float64[np.ndarray, " draw"]
Drawn = Float64[np.ndarray, "#draw unit"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Correlation over `n` units with its 95 % interval."""

    value: float | None
    n: int
    draws: Draws = field(default_factory=lambda: np.zeros(0))

    @property
    def low(self) -> float | None:
        return self._end(2.5)

    @property
    def high(self) -> float | None:
        return self._end(97.5)

    def _end(self, percent: float) -> float | None:
        known = self.draws[~np.isnan(self.draws)]
        return float(np.percentile(known, percent)) if self.value is not None and len(known) else None

    def columns(self, name: str) -> dict[str, Any]:
        """The estimate and its interval as columns."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True, eq=False)
class Agreement(Result):
    """Agreement of the absolute values of `score` and `truth`.

    `pooled` and `within` map pearson, spearman and kendall to estimates; Kendall's tau-b has no interval. `layers` has
    the correlations of each layer, `left_out` the reason for layers without one.
    """

    score: str
    truth: str
    pooled: Mapping[str, Estimate]
    within: Mapping[str, Estimate]
    layers: Mapping[str, Mapping[str, float | int]]
    left_out: Mapping[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """Rows over all units, within layers, and for each layer."""
        return [
            {"where": "pooled", **_flat(self.pooled)},
            {"where": "within", **_flat(self.within)},
            *({"where": layer, **figures} for layer, figures in self.layers.items()),
            *({"where": layer, "left_out": why} for layer, why in self.left_out.items()),
        ]

    def words(self) -> str:
        """The rank correlation over all units and within layers, with intervals."""
        pooled, within = self.pooled["spearman"], self.within["spearman"]
        return (
            f"{self.score} and {self.truth}: rank correlation {_text(pooled)} over {pooled.n} units, {_text(within)} "
            f"within layers."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "score": self.score,
            "truth": self.truth,
            "pooled": {name: estimate.to_dict() for name, estimate in self.pooled.items()},
            "within": {name: estimate.to_dict() for name, estimate in self.within.items()},
            "layers": [{"layer": layer, **figures} for layer, figures in self.layers.items()],
            "left_out": [{"layer": layer, "why": why} for layer, why in self.left_out.items()],
        }


def _text(estimate: Estimate) -> str:
    if estimate.value is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def agreement(score: Scores, truth: Scores, *, seed: int = 0, draws: int = DRAWS) -> Agreement:
    """Agreement of two scores on their common layers, else ShapeError."""
    layers = [layer for layer in truth.layers if layer in score.values]
    if not layers:
        raise ShapeError(
            f"scores are compared on the layers that both have; {score.method} has {', '.join(score.layers)}, "
            f"{truth.method} has {', '.join(truth.layers)}; score the same layers"
        )
    pairs = {layer: (np.abs(score[layer]), np.abs(truth[layer])) for layer in layers}
    for layer, (first, second) in pairs.items():
        if len(first) != len(second):
            raise ShapeError(
                f"scores are compared unit by unit; layer {layer!r} has {len(first)} units by {score.method} and "
                f"{len(second)} by {truth.method}; score the same network"
            )
    left_out = {layer: why for layer, (first, second) in pairs.items() if (why := _undefined(first, second))}
    compared = [layer for layer in layers if layer not in left_out]
    each = {layer: _drawn(*pairs[layer], (seed, "unit", layer), draws) for layer in compared}
    first, second = map(np.concatenate, zip(*pairs.values(), strict=True))
    return Agreement(
        score=score.method,
        truth=truth.method,
        pooled=_drawn(first, second, (seed, "units"), draws),
        within={name: _mean([correlations[name] for correlations in each.values()]) for name in STATISTICS},
        layers={
            layer: {
                "units": len(pairs[layer][0]),
                **{name: estimate.value for name, estimate in correlations.items() if estimate.value is not None},
            }
            for layer, correlations in each.items()
        },
        left_out=left_out,
    )


def null_of(truth: Scores) -> Scores:
    """Score that only knows the mean of each layer."""
    means = {layer: np.full(len(truth[layer]), np.abs(truth[layer]).mean()) for layer in truth.layers}
    return replace(truth, method=NULL, values=means, errors={}, facts={})


def margin(first: Estimate, second: Estimate) -> Estimate:
    """Paired difference of two correlations over the same units."""
    if first.value is None or second.value is None:
        return Estimate(None, first.n)
    paired = len(first.draws) == len(second.draws) and first.n == second.n
    return Estimate(first.value - second.value, first.n, first.draws - second.draws if paired else np.zeros(0))


def averaged(estimates: Sequence[Estimate]) -> Estimate:
    """Mean over networks with separate units, undefined if one is."""
    n = sum(estimate.n for estimate in estimates)
    if not estimates or any(estimate.value is None for estimate in estimates):
        return Estimate(None, n)
    value = sum(float(estimate.value or 0.0) for estimate in estimates) / len(estimates)
    drawn = {len(estimate.draws) for estimate in estimates}
    draws = np.mean([estimate.draws for estimate in estimates], axis=0) if len(drawn) == 1 else np.zeros(0)
    return Estimate(value, n, draws)


def pearson(first: Values, second: Values) -> float | None:
    """Pearson correlation, None if undefined."""
    return _value(_correlation(first[None], second[None], np.ones((1, len(first)), np.int64))[0])


def spearman(first: Values, second: Values) -> float | None:
    """Spearman correlation with shared ranks for ties, None if undefined."""
    once = np.ones((1, len(first)), np.int64)
    return _value(_correlation(_ranks(first, once), _ranks(second, once), once)[0])


def kendall(first: Values, second: Values) -> float | None:
    """Kendall's tau-b, None if undefined."""
    from scipy.stats import kendalltau

    return None if _undefined(first, second) else _value(np.float64(kendalltau(first, second).statistic))


def _drawn(first: Values, second: Values, purpose: tuple[Any, ...], draws: int) -> dict[str, Estimate]:
    """Correlations of two scores, and those of bootstrap draws of units."""
    n = len(first)
    if _undefined(first, second):
        return {name: Estimate(None, n) for name in STATISTICS}
    generator = seeds.generator(purpose[0], "agreement", *purpose[1:])
    drawn = np.zeros((2, draws))
    at_once = max(1, AT_ONCE // n)
    for start in range(0, draws, at_once):
        part = slice(start, min(start + at_once, draws))
        counts = generator.multinomial(n, np.full(n, 1 / n), size=part.stop - start)
        drawn[0, part] = _correlation(first[None], second[None], counts)
        drawn[1, part] = _correlation(_ranks(first, counts), _ranks(second, counts), counts)
    return {
        "pearson": Estimate(pearson(first, second), n, drawn[0]),
        "spearman": Estimate(spearman(first, second), n, drawn[1]),
        "kendall": Estimate(kendall(first, second), n),
    }


def _mean(estimates: list[Estimate]) -> Estimate:
    """Mean over layers weighted by units, for draws over the defined ones."""
    known = [estimate for estimate in estimates if estimate.value is not None]
    n = sum(estimate.n for estimate in known)
    if not n:
        return Estimate(None, 0)
    value = sum(estimate.n * float(estimate.value or 0.0) for estimate in known) / n
    if not all(len(estimate.draws) for estimate in known):
        return Estimate(value, n)
    stacked = np.stack([estimate.draws for estimate in known])
    weights = np.array([estimate.n for estimate in known])[:, None] * ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return Estimate(value, n, np.nansum(stacked * weights, axis=0) / weights.sum(axis=0))


def _correlation(first: Drawn, second: Drawn, counts: Counts) -> Draws:
    """Pearson correlation with integer weights per unit, NaN if undefined."""
    n = counts.sum(axis=1, keepdims=True)
    deviations = [each - (counts * each).sum(axis=1, keepdims=True) / n for each in (first, second)]
    sizes = [np.sqrt((counts * each**2).sum(axis=1)) for each in deviations]
    least = [1e-12 * np.sqrt((counts * each**2).sum(axis=1)) for each in (first, second)]
    product = (counts * deviations[0] * deviations[1]).sum(axis=1)
    defined = (sizes[0] > least[0]) & (sizes[1] > least[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(defined, np.clip(product / (sizes[0] * sizes[1]), -1, 1), np.nan)


def _ranks(values: Values, counts: Counts) -> Float64[np.ndarray, "draw unit"]:
    """Mean rank of each unit with integer weights, without sorting per draw."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    groups = np.add.reduceat(counts[:, order], begins, axis=1)
    ranks = np.cumsum(groups, axis=1) - groups + (groups + 1) / 2
    mean_ranks = np.empty(counts.shape)
    mean_ranks[:, order] = np.repeat(ranks, np.diff(np.append(begins, len(values))), axis=1)
    return mean_ranks


def _undefined(first: Values, second: Values) -> str:
    """Reason why two scores have no correlation, or an empty text."""
    if len(first) < FEWEST:
        return f"{len(first)} unit{'s' * (len(first) > 1)}"
    if (first == first[0]).all():
        return "all units score the same"
    return "all units have the same damage" if (second == second[0]).all() else ""


def _value(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)


def _flat(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    columns: dict[str, Any] = {"units": max(estimate.n for estimate in estimates.values())}
    for name, estimate in estimates.items():
        columns |= estimate.columns(name)
    return columns
