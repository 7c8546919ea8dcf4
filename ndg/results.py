"""The base of all results of studies: rows, frame, document, sentence, notebook view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ndg.errors import ConfigError, nearest
from ndg.escape import html as escape
from ndg.escape import printable
from ndg.plots import Plot, of_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

T = TypeVar("T")
Row = dict[str, Any]

SHOWN = 20
"""Rows that a notebook shows."""
WIDE = 200
"""Characters of a representation."""


class Result(ABC):
    """What a study measured, as rows of plain values. A rate over nothing is None.

    A subclass is a frozen dataclass that gives `rows` and `words`, and `context` where something holds for all rows.

    >>> isinstance(graph.held_out(bits), ndg.Result)
    True
    >>> graph.held_out(bits).to_dict()["examples"]
    300
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Keep the short representation, which dataclasses would replace; `frame` shows the parameters of `rows`."""
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Result.__repr__  # type: ignore[method-assign]
        if "rows" in vars(cls) and "frame" not in vars(cls):
            cls.frame = _frame_of(cls.rows)  # type: ignore[method-assign]

    def __repr__(self) -> str:
        """Type and finding in one line."""
        try:
            finding = shorten(self.words(), WIDE, placeholder=" …")
        except (AttributeError, LookupError, TypeError, ValueError):  # not yet filled in
            finding = "…"
        return f"{type(self).__name__}({printable(finding)})"

    @abstractmethod
    def rows(self) -> list[Row]:
        """The rows of the result's table, as dictionaries of plain JSON types."""

    @abstractmethod
    def words(self) -> str:
        """The main finding in words, with its n, interval and control."""

    def context(self) -> Row:
        """What holds for all rows, in plain JSON types."""
        return {}

    def shown(self) -> list[Row]:
        """The rows as notebooks show them, with the columns that fit."""
        return self.rows()

    def frame(self, *which: Any, **named: Any) -> pd.DataFrame:
        """`rows`, with the same arguments, as a pandas.DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows(*which, **named))

    def plotted(self) -> Plot:
        """Table that `plot` draws: the main figure of each row."""
        return of_rows(type(self).__name__, self.rows())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw `plotted` on matplotlib axes, by default new ones."""
        return self.plotted().plot(ax)

    def to_dict(self) -> Row:
        """Plain JSON types for the run log: the facts, then the rows."""
        return {**self.context(), "rows": self.rows()}

    def _repr_html_(self) -> str:
        """The table and the finding, for notebooks."""
        every = self.shown()
        rows = every[:SHOWN]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(row.get(name)))}</td>" for name in columns) + "</tr>" for row in rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
        more = f"<p>and {len(every) - SHOWN} more rows</p>" if len(every) > SHOWN else ""
        return f"{table}{more}<p>{escape(self.words())}</p>"


def _frame_of(rows: Callable[..., list[Row]]) -> Callable[..., pd.DataFrame]:
    """`Result.frame` with the parameters of these rows, for `help()`."""

    @wraps(Result.frame)
    def frame(self: Result, *which: Any, **named: Any) -> pd.DataFrame:
        return Result.frame(self, *which, **named)

    shown = signature(rows).replace(return_annotation="pd.DataFrame")
    frame.__signature__ = shown  # type: ignore[attr-defined]
    return frame


def plain(value: Any, *names: str) -> Row:
    """Attributes in plain JSON types: tuples as lists."""
    columns = {name: getattr(value, name) for name in names}
    return {name: list(column) if isinstance(column, tuple) else column for name, column in columns.items()}


def named(rows: Iterable[T], name: object, attribute: str = "name") -> T:
    """The first row of that name; ConfigError for an unknown one."""
    rows = list(rows)
    row = next((row for row in rows if getattr(row, attribute) == name), None)
    if row is None:
        names = [str(getattr(row, attribute)) for row in rows]
        raise ConfigError(f"a row has the name of one in the table; got {name!r}; {nearest(name, names)}")
    return row


def mean(values: np.ndarray) -> float | None:
    """The mean of some figures, None of none."""
    return float(values.mean()) if len(values) else None


def _cell(value: Any) -> str:
    """A value as notebooks show it."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
