"""Counts of nodes that are on together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from ndg.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Contingency:
    """Counts over `examples` examples for a tile of node pairs.

    `both[i, j]` counts examples with row node i and column node j on, `rows` and `columns` each node alone.
    """

    both: Int64[np.ndarray, "row column"]
    rows: Int64[np.ndarray, " row"]
    columns: Int64[np.ndarray, " column"]
    examples: int

    def cell(self, first: bool, second: bool) -> Int64[np.ndarray, "row column"]:
        """Examples with row node `first` and column node `second`."""
        with_second = self.both if first else self.columns[None, :] - self.both
        rows = self.rows if first else self.examples - self.rows
        return with_second if second else rows[:, None] - with_second

    def __add__(self, other: Contingency) -> Contingency:
        """Counts over both sets of examples, of the same nodes."""
        if self.both.shape != other.both.shape:
            raise ShapeError(
                f"added counts must be over the same nodes: expected {self.both.shape}, got {other.both.shape}; "
                "extract both sets of examples with the same layers"
            )
        return Contingency(
            self.both + other.both, self.rows + other.rows, self.columns + other.columns, self.examples + other.examples
        )
