"""Ablation of all units on few examples, helped by what all examples tell: regression, representatives, two rounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.vq import kmeans2

from benchmarks.cheap import Estimate, Measured, projected

Draw = np.random.Generator


def log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 1e-9))


def few(found: Measured, share: float, spent: float = 0.0) -> int:
    """On how many examples all units can be ablated, after passes of so many were spent."""
    units, examples = found.shape
    return max(1, min(examples, round(share * examples - spent / units)))


def _strength(found: Measured) -> np.ndarray:
    """Root mean square of the activation."""
    return np.sqrt((found.activation**2).mean(axis=1))


def regressed(found: Measured, noisy: np.ndarray, spread: np.ndarray, by: Sequence[np.ndarray]) -> np.ndarray:
    """Log damage drawn to its regression on other logs, layer by layer; `spread` is the variance of the noise of it."""
    result = noisy.copy()
    for rows in found.layers:
        known = np.arange(rows.start, rows.stop)[noisy[rows] > 0]
        if len(known) < len(by) + 3:
            continue
        design = np.stack([*(log(one[known]) for one in by), np.ones(len(known))], axis=1)
        target = log(noisy[known])
        expected = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        rest = target - expected
        noise = float(np.median(spread[known]))
        own = max(float(rest.var()) - noise, 0.05 * float(rest.var()))
        result[known] = np.exp(expected + own / (own + noise) * rest) if own + noise else noisy[known]
    return result


def _noise(damage: np.ndarray) -> np.ndarray:
    """Variance of the log of the mean over few examples."""
    many = damage.shape[1]
    mean = np.maximum(damage.mean(axis=1), 1e-9)
    return damage.var(axis=1, ddof=1) / many / mean**2 if many > 1 else np.full(len(damage), 0.5)


def with_activation(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Random examples; log damage drawn to its regression on the log of the activation."""
    chosen = draw.permutation(found.shape[1])[: few(found, share, found.shape[1])]
    damage = found.damage[:, chosen]
    return regressed(found, damage.mean(axis=1), _noise(damage), [_strength(found)])


def nearest(points: np.ndarray, many: int, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """The points nearest to the centres of so many clusters, and the share of each cluster (k-means)."""
    points = (points - points.mean(axis=0)) @ draw.normal(size=(points.shape[1], 40))
    if many == 1:
        return np.array([(points**2).sum(axis=1).argmin()]), np.ones(1)
    centres, _ = kmeans2(points, many, minit="++", seed=draw)
    apart = ((points[:, None] - centres[None]) ** 2).sum(axis=2)
    return apart.argmin(axis=0), np.bincount(apart.argmin(axis=1), minlength=many) / len(points)


def _representatives(found: Measured, many: int, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """Examples by clusters of log activations."""
    return nearest(log(found.activation + 1e-3 * found.activation.mean(axis=1, keepdims=True)).T, many, draw)


def clustered(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Representatives by k-means on activations, weighted by their clusters."""
    chosen, weights = _representatives(found, few(found, share, found.shape[1]), draw)
    return found.damage[:, chosen] @ weights


def clustered_with_activation(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """The same, drawn to the regression on the activation."""
    chosen, weights = _representatives(found, few(found, share, found.shape[1]), draw)
    damage = found.damage[:, chosen]
    return regressed(found, damage @ weights, _noise(damage), [_strength(found)])


def with_gndi(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Random examples; drawn to the regression on the activation and on G-NDI by one direction of all examples."""
    examples = found.shape[1]
    gndi = projected(found.plain, 1, draw, found.classes)[0].mean(axis=1)
    chosen = draw.permutation(examples)[: few(found, share, 3 * examples)]
    damage = found.damage[:, chosen]
    return regressed(found, damage.mean(axis=1), _noise(damage), [_strength(found), gndi])


def ratio_to_gndi(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Damage on random examples, times G-NDI of all examples over G-NDI of those."""
    examples = found.shape[1]
    many = few(found, share, 3 * examples)
    chosen = draw.permutation(examples)[:many]
    whole, part = (
        projected(found.plain, 1, draw, found.classes)[0].mean(axis=1),
        np.linalg.norm(found.plain[:, chosen], axis=2),
    )
    damage = found.damage[:, chosen].mean(axis=1)
    return damage * (whole + 1e-9) / (part.mean(axis=1) + 1e-9)


def own_examples(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Each unit on examples of its own, drawn in proportion to its activation, and weighted back."""
    examples = found.shape[1]
    many = few(found, share, examples)
    chances = found.activation + 0.2 * found.activation.mean(axis=1, keepdims=True) + 1e-12
    chances = chances / chances.sum(axis=1, keepdims=True)
    cumulated = chances.cumsum(axis=1)
    drawn = np.stack([np.searchsorted(row, draw.random(many) * row[-1]) for row in cumulated])
    weighted = np.take_along_axis(found.damage / chances, drawn, axis=1)
    return weighted.mean(axis=1) / examples


def two_rounds(found: Measured, share: float, draw: Draw) -> np.ndarray:
    """Half of the cost on all units, the other half on the quarter of them whose neighbours in rank are nearest."""
    examples = found.shape[1]
    many = few(found, share)
    half = max(1, many // 2)
    order = draw.permutation(examples)
    values = found.damage[:, order[:half]].mean(axis=1)
    more = min(examples, half + 4 * (many - half))
    for rows in found.layers:
        layer = np.arange(rows.start, rows.stop)
        ranked = layer[np.argsort(values[layer])]
        gaps = np.diff(log(values[ranked]), prepend=-np.inf, append=np.inf)
        open_ = ranked[np.argsort(np.minimum(gaps[:-1], gaps[1:]))[: len(layer) // 4]]
        values[open_] = found.damage[np.ix_(open_, order[:more])].mean(axis=1)
    return values


def completed(found: Measured, share: float, draw: Draw, rank: int = 3) -> np.ndarray:
    """Each unit on random examples of its own, the rest by a matrix of low rank that fits them (alternating ridge
    regressions of logs)."""
    units, examples = found.shape
    many = few(found, share)
    seen = np.zeros((units, examples), dtype=bool)
    for unit in range(units):
        seen[unit, draw.permutation(examples)[:many]] = True
    logs = log(found.damage + 1e-3 * found.damage[seen].mean())
    left, right = np.zeros((units, rank + 1)), draw.normal(size=(examples, rank + 1)) / 10
    centre = logs[seen].mean()
    right[:, -1] = 1
    for _ in range(8):
        for mine, others, mask, values in ((left, right, seen, logs), (right, left, seen.T, logs.T)):
            for row in range(len(mine)):
                of = others[mask[row]]
                mine[row] = np.linalg.solve(of.T @ of + np.eye(rank + 1), of.T @ (values[row][mask[row]] - centre))
    return np.exp(left @ right.T + centre).mean(axis=1)


WAYS: dict[str, Estimate] = {
    "random examples, regression on activation": with_activation,
    "random examples, regression on activation and G-NDI": with_gndi,
    "random examples, ratio to G-NDI": ratio_to_gndi,
    "representatives by k-means": clustered,
    "representatives, regression on activation": clustered_with_activation,
    "own examples by activation": own_examples,
    "two rounds": two_rounds,
    "low-rank completion": completed,
}
