"""The base of all results of studies: rows, frame, document, sentence, notebook view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


class Result(ABC):
    """What a study measured, as rows of plain values. A rate over nothing is None.

    A subclass is a frozen dataclass that gives `rows` and `words`, and `facts` where something holds for all rows.
    """

    @abstractmethod
    def rows(self) -> list[Row]:
        """The rows of the result's table, as dictionaries of plain JSON types."""

    @abstractmethod
    def words(self) -> str:
        """The main finding in one or a few sentences, with its n, interval and control."""

    def facts(self) -> Row:
        """What holds for all rows, in plain JSON types."""
        return {}

    def frame(self) -> pd.DataFrame:
        """`rows` as a pandas.DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def to_dict(self) -> Row:
        """Plain JSON types for the run log: the facts, then the rows."""
        return {**self.facts(), "rows": self.rows()}

    def _repr_html_(self) -> str:
        """The table and the finding, for notebooks."""
        rows = self.rows()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(row.get(name)))}</td>" for name in columns) + "</tr>" for row in rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        return f"{table}<p>{escape(self.words())}</p>"


def _cell(value: Any) -> str:
    """A value as notebooks show it."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
