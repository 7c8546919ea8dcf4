"""Bounds of a small feed-forward network over boxes of inputs, by linear relaxation (CROWN: Zhang et al. 2018).

The network is a list of steps: a pair (weight, bias) of a linear step, or the name of an activation. Bounds are those
of exact arithmetic, computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

Linear = tuple[Float64[np.ndarray, "_ _"], Float64[np.ndarray, " _"]]
Step = Linear | str
Box = Float64[np.ndarray, "box _"]

RELU, SIGMOID = "relu", "sigmoid"


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines below and above an activation between its bounds, `slope * x + offset`."""

    low_slope: Box
    low_offset: Box
    high_slope: Box
    high_offset: Box


def run(steps: Sequence[Step], x: Float64[np.ndarray, "row _"]) -> Float64[np.ndarray, "row _"]:
    """The outputs of the network."""
    for step in steps:
        if isinstance(step, str):
            x = np.maximum(x, 0) if step == RELU else _sigmoid(x)
        else:
            x = x @ step[0].T + step[1]
    return x


def lower(
    steps: Sequence[Step], low: Box, high: Box, directions: Float64[np.ndarray, "direction _"]
) -> tuple[Float64[np.ndarray, "box direction"], Float64[np.ndarray, "box direction _"]]:
    """Lower bounds of `directions @ output` over each box, and their slopes.

    The slopes are by the inputs.
    """
    lines: dict[int, Lines] = {}
    for place, step in enumerate(steps):
        if isinstance(step, str):
            before = [len(other[1]) for other in steps[:place] if not isinstance(other, str)]
            width = before[-1] if before else low.shape[1]
            least, _ = _backward(steps[:place], lines, low, high, np.eye(width))
            most, _ = _backward(steps[:place], lines, low, high, -np.eye(width))
            lines[place] = _relu(least, -most) if step == RELU else _sigmoid_lines(least, -most)
    return _backward(steps, lines, low, high, directions)


def _backward(
    steps: Sequence[Step], lines: dict[int, Lines], low: Box, high: Box, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    slopes = np.repeat(directions[None], len(low), axis=0)
    offset = np.zeros(slopes.shape[:2])
    for place in reversed(range(len(steps))):
        step = steps[place]
        if isinstance(step, str):
            line = lines[place]
            up, down = np.maximum(slopes, 0), np.minimum(slopes, 0)
            offset = offset + np.einsum("bdu,bu->bd", up, line.low_offset)
            offset = offset + np.einsum("bdu,bu->bd", down, line.high_offset)
            slopes = up * line.low_slope[:, None] + down * line.high_slope[:, None]
        else:
            offset = offset + slopes @ step[1]
            slopes = slopes @ step[0]
    least = np.einsum("bdu,bu->bd", np.maximum(slopes, 0), low) + np.einsum("bdu,bu->bd", np.minimum(slopes, 0), high)
    return least + offset, slopes


def _relu(low: Box, high: Box) -> Lines:
    crossing = (low < 0) & (high > 0)
    on = (low >= 0).astype(np.float64)
    width = np.where(crossing, high - low, 1.0)
    high_slope = np.where(crossing, high / width, on)
    high_offset = np.where(crossing, -low * high / width, 0.0)
    low_slope = np.where(crossing, (high > -low).astype(np.float64), on)
    return Lines(low_slope, np.zeros_like(low), high_slope, high_offset)


def _sigmoid_lines(low: Box, high: Box) -> Lines:
    """Chord and tangent where the curve bends one way, else parallels of its least slope through the ends."""
    at_low, at_high = _sigmoid(low), _sigmoid(high)
    least = np.minimum(at_low * (1 - at_low), at_high * (1 - at_high))
    width = high - low
    chord = np.where(width > 1e-9, (at_high - at_low) / np.where(width > 1e-9, width, 1.0), least)
    middle = (low + high) / 2
    at_middle = _sigmoid(middle)
    tangent = at_middle * (1 - at_middle)
    concave, convex = low >= 0, high <= 0
    low_slope = np.where(concave, chord, np.where(convex, tangent, least))
    low_offset = np.where(convex & ~concave, at_middle - tangent * middle, at_low - low_slope * low)
    high_slope = np.where(concave, tangent, np.where(convex, chord, least))
    high_offset = np.where(concave, at_middle - tangent * middle, at_high - high_slope * high)
    return Lines(low_slope, low_offset, high_slope, high_offset)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x))))
    return result
