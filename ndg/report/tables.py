"""Tables as frozen rows with units, rendered as plain text, Markdown or HTML."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ndg import terminal
from ndg.errors import ShapeError
from ndg.escape import csv as csv_text
from ndg.escape import html as escape
from ndg.escape import one_line
from ndg.plots import Plot, of_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASH = "–"
LEVEL = "95 %"


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


Cell = str | bool | int | float | Interval | None


@dataclass(frozen=True)
class Column:
    """Title, unit and format of a column: decimal places, alignment."""

    title: str
    unit: str = ""
    digits: int = 3
    left: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of one cell per column.

    `strong` are the indices of bold rows.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    strong: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ShapeError(f"a row has one cell per column: expected {len(self.columns)}, got {len(row)}: {row}")

    @classmethod
    def of(cls, title: str, columns: Mapping[str, Column], rows: Sequence[Mapping[str, Any]], **facts: Any) -> Table:
        """Table from dictionaries; missing keys are unknown cells."""
        cells = tuple(tuple(row.get(key) for key in columns) for row in rows)
        return cls(title, tuple(columns.values()), cells, **facts)

    @classmethod
    def of_rows(
        cls,
        title: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        titles: Mapping[str, str] | None = None,
        leave: Sequence[str] = (),
        ends: Mapping[str, tuple[str, str]] | None = None,
        note: str = "",
    ) -> Table:
        """Table of a study's rows, without the keys in `leave`.

        `x`, `x_low` and `x_high` (or the two keys in `ends[x]`) share one cell. A column is titled by its key or by
        `titles`.
        """
        keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in leave]
        pairs = {key: (f"{key}_low", f"{key}_high") for key in keys} | dict(ends or {})
        pairs = {key: pair for key, pair in pairs.items() if key in keys and set(pair) <= set(keys)}
        inside = {end for pair in pairs.values() for end in pair}
        columns = {
            key: Column(
                (titles or {}).get(key, key.replace("_", " ")),
                LEVEL if key in pairs else "",
                left=any(isinstance(row.get(key), str) for row in rows),
            )
            for key in keys
            if key not in inside
        }
        cells = [{key: _row_cell(row, key, pairs.get(key)) for key in columns} for row in rows]
        return cls.of(title, columns, cells, note=note)

    def __str__(self) -> str:
        return self.text()

    def text(self, *, color: bool = False, width: int | None = None, fit: bool = False) -> str:
        """Text with aligned columns and a note wrapped to `width`.

        With `fit` the table is, too.
        """
        color = color and not os.environ.get("NO_COLOR")
        heads, cells = self._texts()
        sides = [column.left for column in self.columns]
        grid = terminal.table(
            cells, heads=heads, left=sides, bold=self.strong, color=color, width=width if fit else None
        )
        title, note = one_line(self.title), one_line(self.note)
        lines = [f"\x1b[1m{title}\x1b[0m" if color else title] if title else []
        whole = width or max(map(len, grid.splitlines()[1:2]), default=0)  # the line below the heads
        return "\n".join([*lines, grid, *textwrap.wrap(note, whole if fit else max(whole, 40))])

    def markdown(self) -> str:
        """Markdown with the note below and without the title."""

        def line(values: Sequence[str]) -> str:
            return f"| {' | '.join(value.replace('|', chr(92) + '|') for value in values)} |"

        heads, cells = self._texts()
        rulers = [":---" if column.left else "---:" for column in self.columns]
        lines = [line(heads), line(rulers), *map(line, cells)]
        return "\n".join(lines + (["", self.note] if self.note else []))

    def plotted(self) -> Plot:
        """Plot of the main figure of each row.

        That is the first one with an interval, else the first fraction or number.
        """
        rows = [dict(_plain(self.columns, row)) for row in self.rows]
        return of_rows(self.title, rows)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw `plotted` on matplotlib axes, by default new ones."""
        return self.plotted().plot(ax)

    def latex(self) -> str:
        """LaTeX tabular of the booktabs package, with title and note as comments."""
        heads, cells = self._texts()
        sides = "".join("l" if column.left else "r" for column in self.columns)
        lines = [" & ".join(map(_latex, line)) + r" \\" for line in [heads, *cells]]
        notes = [f"% {one_line(text)}" for text in (self.title, self.note) if text]
        body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
        return "\n".join([*notes, rf"\begin{{tabular}}{{{sides}}}", *body, r"\end{tabular}", ""])

    def csv(self, raw: bool = False) -> str:
        """CSV with a column for each figure and end of its interval.

        `raw` is that of `NDG.to_csv`.
        """
        import pandas as pd

        rows = [dict(_plain(self.columns, row)) for row in self.rows]
        heads = None if rows else list(dict(_plain(self.columns, (None,) * len(self.columns))))
        return csv_text(pd.DataFrame(rows, columns=heads), raw)

    def _texts(self) -> tuple[list[str], list[list[str]]]:
        heads = [one_line(column.title) + (f" ({column.unit})" if column.unit else "") for column in self.columns]
        return heads, [list(map(format_cell, row, self.columns)) for row in self.rows]

    def html(self) -> str:
        """One HTML `figure`, escaped, without styles."""
        heads, body = "", []
        sides = [" class=left" if column.left else "" for column in self.columns]
        for side, column in zip(sides, self.columns, strict=True):
            unit = f" <small>{escape(column.unit)}</small>" if column.unit else ""
            heads += f"<th{side}>{escape(column.title)}{unit}</th>"
        for i, row in enumerate(self.rows):
            cells = zip(sides, map(_html_cell, row, self.columns), strict=True)
            line = "".join(f"<td{side}>{cell}</td>" for side, cell in cells)
            body.append(f"<tr{' class=strong' if i in self.strong else ''}>{line}</tr>")
        caption = f"<figcaption>{escape(self.title)}</figcaption>" if self.title else ""
        note = f"<p class=note>{escape(self.note)}</p>" if self.note else ""
        inner = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        return f"<figure class=table>{caption}<div class=scroll>{inner}</div>{note}</figure>"


def _plain(columns: Sequence[Column], row: Sequence[Cell]) -> Iterator[tuple[str, Any]]:
    """Cells by column, an interval as three."""
    for place, (column, cell) in enumerate(zip(columns, row, strict=True)):
        name = column.title + (f" ({column.unit})" if column.unit and column.unit != LEVEL else "") or f"column {place}"
        if isinstance(cell, Interval):
            yield from {name: cell.value, f"{name}_low": cell.low, f"{name}_high": cell.high}.items()
        else:
            yield name, cell


_LATEX = {sign: rf"\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "¬": r"$\lnot$",
    "→": r"$\to$",
    "–": "--",
    "±": r"$\pm$",
}


def _latex(text: str) -> str:
    """Text of a LaTeX cell."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _row_cell(row: Mapping[str, Any], key: str, ends: tuple[str, str] | None) -> Any:
    value = row.get(key)
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    if ends is None or value is None:
        return value
    low, high = (row.get(end) for end in ends)
    return value if low is None or high is None else Interval(float(value), float(low), float(high))


def format_cell(cell: Cell, column: Column) -> str:
    """Plain text of a cell, a dash if unknown."""
    if cell is None:
        return DASH
    if isinstance(cell, str):
        return one_line(cell)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Interval):
        return f"{_number(cell.value, column.digits)} {_ends(cell, column)}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return _number(float(cell), column.digits, tiny=True)


def _number(value: float, digits: int, tiny: bool = False) -> str:
    """Number with fixed digits; scientific if `tiny` and rounded to zero."""
    if not math.isfinite(value):
        return DASH
    if tiny and value and abs(value) < 0.5 * 10.0**-digits:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}"


def _ends(cell: Interval, column: Column) -> str:
    return f"[{_number(cell.low, column.digits)}, {_number(cell.high, column.digits)}]"


def _html_cell(cell: Cell, column: Column) -> str:
    if isinstance(cell, Interval):
        return f"{_number(cell.value, column.digits)} <small>{_ends(cell, column)}</small>"
    return escape(format_cell(cell, column))
