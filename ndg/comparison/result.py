"""What every study of this room gives: rows of plain values, as a list, a frame or a document."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def mean(values: np.ndarray) -> float | None:
    """The mean of some figures, None of none."""
    return float(values.mean()) if len(values) else None


class Result(ABC):
    """Rows of plain JSON types, None where a rate is over nothing; `facts` say what they are over."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """One dictionary per row."""

    @abstractmethod
    def facts(self) -> Row:
        """What is true of all rows, in plain JSON types."""

    def frame(self) -> pd.DataFrame:
        """`rows` as a pandas.DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def to_dict(self) -> Row:
        """Plain JSON types for the run log."""
        return {**self.facts(), "rows": self.rows()}
