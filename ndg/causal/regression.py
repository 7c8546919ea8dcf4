"""Multinomial logistic regression on signs, with L1, with a mask, or with whole-number weights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64

STEPS = 2000
CLOSE = 1e-7
"""Relative change of weights at which the fit ends."""

ROUND_STEPS = 300

Signs = Float64[np.ndarray, "example unit"]
Labels = Int64[np.ndarray, " example"]
Weights = Float64[np.ndarray, "label unit"]
Bias = Float64[np.ndarray, " label"]


def fit(
    signs: Signs,
    label: Labels,
    labels: int,
    l1: float | int,
    kept: Bool[np.ndarray, "label unit"] | None = None,
    start: tuple[Weights, Bias] | None = None,
) -> tuple[Weights, Bias]:
    """Weights and bias that minimise mean cross-entropy + `l1` * the sum of absolute weights.

    Proximal gradient steps with momentum and restarts (FISTA: Beck & Teboulle 2009; O'Donoghue & Candes 2015). Weights
    outside `kept` are 0. The bias is not penalised.
    """
    design = np.hstack([signs, np.ones((len(signs), 1))])
    weights = np.zeros((labels, design.shape[1]))
    if start is not None:
        weights = np.hstack([start[0], start[1][:, None]])
    mask = np.ones(weights.shape)
    if kept is not None:
        mask[:, :-1] = kept
        weights = weights * mask
    penalty = np.full(weights.shape, float(l1))
    penalty[:, -1] = 0
    step = 2 / float(
        np.linalg.eigvalsh(design.T @ design / len(design))[-1]
    )  # cross-entropy curves by at most a half of it
    ahead, momentum = weights, 1.0
    for _ in range(STEPS):
        _, gradient = _loss(design, label, ahead)
        moved = (ahead - step * gradient) * mask
        moved = np.sign(moved) * np.maximum(np.abs(moved) - step * penalty, 0)
        change = moved - weights
        if ((ahead - moved) * change).sum() > 0:
            momentum = 1.0  # uphill: start the momentum again
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = moved + (momentum - 1) / following * change
        weights, momentum = moved, following
        if np.linalg.norm(change) <= CLOSE * max(float(np.linalg.norm(weights)), 1e-12):
            break
    return weights[:, :-1].copy(), weights[:, -1].copy()


def rounded(signs: Signs, label: Labels, weights: Weights, bias: Bias, largest: int) -> tuple[Weights, Bias]:
    """Whole weights from `-largest` to `largest`, and a bias to match.

    One scale of the weights is left out.

    Gradients of the rounded weights move the real ones (straight-through: Bengio, Leonard & Courville 2013), by Adam.
    The best rounding met is returned.
    """
    top = float(np.abs(weights).max())
    if top == 0:
        return weights, bias
    scale, kept = top / (largest + 0.5), weights != 0
    design = np.hstack([signs, np.ones((len(signs), 1))])
    real = np.hstack([weights / scale, (bias / scale)[:, None]])
    first, second = np.zeros(real.shape), np.zeros(real.shape)
    best: tuple[float, np.ndarray] = (np.inf, real)
    for step in range(1, ROUND_STEPS + 1):
        whole = real.copy()
        whole[:, :-1] = np.clip(np.round(real[:, :-1]), -largest, largest) * kept
        loss, gradient = _loss(design, label, whole * scale)
        if loss < best[0]:
            best = loss, whole
        gradient = gradient * scale
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        real = real - 0.02 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        real[:, :-1] = np.clip(real[:, :-1], -largest - 0.49, largest + 0.49) * kept
    return best[1][:, :-1], best[1][:, -1]


def _loss(design: np.ndarray, label: Labels, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy, and its gradient."""
    logits = design @ weights.T
    logits -= logits.max(axis=1, keepdims=True)
    rows = np.arange(len(label))
    true = logits[rows, label]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1)
    loss = float(np.mean(np.log(total) - true))
    logits /= total[:, None]
    logits[rows, label] -= 1
    return loss, logits.T @ design / len(design)
