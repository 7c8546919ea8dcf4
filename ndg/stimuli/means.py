"""Mean inputs, and ranges of features, where a node is on and where it is off."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from ndg.stimuli.png import thumbnail
from ndg.stimuli.result import FeatureRange

LISTED = 12
"""Features of a table that are shown, the most different first."""


class Means:
    """Sums of inputs where each node is on, and all rows of a table."""

    def __init__(self, nodes: int) -> None:
        self._on: np.ndarray | None = None
        self._counts = np.zeros(nodes, np.int64)
        self._examples = 0
        self._whole: np.ndarray | None = None
        self._rows: list[np.ndarray] = []
        self._shape: tuple[int, ...] = ()
        self.low, self.high = np.inf, -np.inf

    def add(self, inputs: Tensor, holds: Bool[np.ndarray, "row node"]) -> None:
        flat = inputs.flatten(1).cpu().numpy()
        self._shape = tuple(inputs.shape[1:])
        if len(self._shape) == 1:
            self._rows.append(flat)
        on = holds.T.astype(np.float32) @ flat
        self._on = on.astype(np.float64) if self._on is None else self._on + on
        whole = flat.sum(axis=0, dtype=np.float64)
        self._whole = whole if self._whole is None else self._whole + whole
        self._counts += holds.sum(axis=0)
        self._examples += len(flat)
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))

    def images(self, column: int, on: bool) -> tuple[str, str]:
        """Thumbnails of the mean images where a node has this value, and where not.

        Empty over nothing.
        """
        if self._on is None or self._whole is None:
            return "", ""
        sums = {True: (self._on[column], int(self._counts[column]))}
        sums[False] = self._whole - sums[True][0], self._examples - sums[True][1]
        means = (sums[value] for value in (on, not on))
        first, second = (
            thumbnail((total / count).reshape(self._shape), self.low, self.high) if count else ""
            for total, count in means
        )
        return first, second

    def features(self) -> np.ndarray | None:
        """All rows of a table."""
        return np.concatenate(self._rows) if self._rows else None


def ranges(table: np.ndarray, holds: Bool[np.ndarray, " row"]) -> tuple[FeatureRange, ...]:
    """Ranges of the features that differ most."""
    ends = []
    for part in (table[holds], table[~holds]):
        ends.append(np.quantile(part, [0.05, 0.5, 0.95], axis=0).T.tolist() if len(part) else [None] * table.shape[1])
    ranges = [
        FeatureRange(f"feature {place}", *(None if side is None else tuple(side) for side in pair))
        for place, pair in enumerate(zip(*ends, strict=True))
    ]
    return tuple(sorted(ranges, key=lambda each: -each.shift)[:LISTED])
