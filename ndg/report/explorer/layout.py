"""Places of the classes of a graph: one band per layer, neighbours at like heights."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

WIDTH, HEIGHT = 150.0, 30.0
"""Room of a class."""
GAP = 260.0
"""Room between two bands, for edges."""
ROWS = 24
"""Classes in a column at least, before a band gets another column."""
SWEEPS = 4
"""Times that each class moves to the mean height of its neighbours, band by band, from the right and from the left."""

Classes = Int64[np.ndarray, " class"]
Edges = Int64[np.ndarray, " edge"]


def places(
    band: Classes, tails: Edges, heads: Edges
) -> tuple[Float64[np.ndarray, "class 2"], Float64[np.ndarray, " band"]]:
    """Centre of each class, and the left side of each band.

    A band has as many columns as keep it about as wide as it is high. Its classes are sorted by the mean height of
    their neighbours (the barycentre rule of Sugiyama, Tagawa & Toda 1981), then fill the columns row by row.
    """
    count = int(band.max(initial=-1)) + 1
    height = np.zeros(len(band))
    for number in range(count):
        own = np.flatnonzero(band == number)
        height[own] = _centred(len(own))
    degree = np.bincount(tails, minlength=len(band)) + np.bincount(heads, minlength=len(band))
    for sweep in range(SWEEPS):
        for number in range(count) if sweep % 2 else reversed(range(count)):
            own = np.flatnonzero(band == number)
            sums = np.bincount(tails, height[heads], len(band)) + np.bincount(heads, height[tails], len(band))
            mean = np.where(degree > 0, sums / np.maximum(degree, 1), height)
            height[own[np.argsort(mean[own], kind="stable")]] = _centred(len(own))
    centres, left = np.zeros((len(band), 2)), np.zeros(count)
    x = 0.0
    for number in range(count):
        own = np.flatnonzero(band == number)
        own = own[np.argsort(height[own], kind="stable")]
        rows = max(ROWS, int(np.ceil(np.sqrt(len(own) * WIDTH / HEIGHT))))
        columns = max(-(-len(own) // rows), 1)
        rows = max(-(-len(own) // columns), 1)
        row, column = np.divmod(np.arange(len(own)), columns)
        left[number] = x
        centres[own, 0] = x + (column + 0.5) * WIDTH
        centres[own, 1] = (row - (rows - 1) / 2) * HEIGHT
        x += columns * WIDTH + GAP
    return centres, left


def _centred(count: int) -> Float64[np.ndarray, " place"]:
    """Heights of so many classes, from -1 to 1."""
    return (np.arange(count) + 0.5) / max(count, 1) * 2 - 1
