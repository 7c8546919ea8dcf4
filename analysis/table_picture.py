"""A table as pages of matplotlib: rules above and below the headings, columns as wide as their texts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ndg.escape import one_line
from ndg.report.tables import Table, format_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS, LINE = 8.0, 12.0
"""Size of the font, and height of a line."""
GAP, MARGIN = 14.0, 18.0
"""Points between columns, and around the table."""
WIDEST = 44
"""Characters of a cell in one line."""
LINES = 60
"""Lines of a page, below its headings."""
FINE = 4
"""Pixels of a point where texts are measured."""

Lines = list[list[str]]
"""The lines of each cell of a row."""


def pages(table: Table) -> Iterator[Figure]:
    """A figure for each `LINES` lines, as large as its text; of several, the title says which rows each shows."""
    ends = _ends(table)
    for start, end in pairwise([0, *ends]):
        shown = ", ".join(filter(None, [table.title, f"rows {start + 1:,} to {end:,} of {len(table.rows):,}"]))
        strong = frozenset(place - start for place in table.strong)
        title = shown if len(ends) > 1 else table.title
        yield _page(replace(table, rows=table.rows[start:end], strong=strong, title=title))


def _ends(table: Table) -> list[int]:
    """Where each page ends; a row is not divided."""
    ends, lines = [], 0
    for place, row in enumerate(table.rows):
        height = max(map(len, _wrapped(list(map(format_cell, row, table.columns)))))
        if lines and lines + height > LINES:
            ends.append(place)
            lines = 0
        lines += height
    return [*ends, len(table.rows)]


def _page(table: Table) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    head = _wrapped([column.title + (f" ({column.unit})" if column.unit else "") for column in table.columns])
    body = [_wrapped(list(map(format_cell, row, table.columns))) for row in table.rows]
    figure = Figure(dpi=72 * FINE)
    measure = FigureCanvasAgg(figure).get_renderer()
    widths = [
        max(_width(measure, text, bold) for bold, row in _rows(head, body, table.strong) for text in row[place])
        for place in range(len(table.columns))
    ]
    whole = sum(widths) + GAP * (len(widths) - 1)
    letters = max(40, int(whole / _width(measure, "n", False)))
    title, note = (textwrap.wrap(one_line(text), letters) for text in (table.title, table.note))
    heights = [LINE * max(map(len, row)) for row in [head, *body]]
    height = 2 * MARGIN + LINE * (len(title) + len(note)) + sum(heights) + 3 * LINE / 2
    long = max((_width(measure, text, True) for text in [*title, *note]), default=0.0)
    width = 2 * MARGIN + max(whole, long)
    figure.set_size_inches(width / 72, height / 72)

    def write(x: float, y: float, text: str, **how: Any) -> None:
        figure.text(x / width, 1 - (y + POINTS) / height, text, fontsize=POINTS, va="baseline", parse_math=False, **how)

    def rule(y: float, heavy: bool) -> None:
        ends = MARGIN / width, (MARGIN + whole) / width
        figure.add_artist(_line(ends, 1 - y / height, 1.0 if heavy else 0.5))

    y = MARGIN
    for text in title:
        write(MARGIN, y, text, weight="bold")
        y += LINE
    rule(y + LINE / 4, True)
    y += LINE / 2
    for number, (bold, row) in enumerate(_rows(head, body, table.strong)):
        x = MARGIN
        for cell, wide, column in zip(row, widths, table.columns, strict=True):
            for place, text in enumerate(cell):
                side = {"x": x, "ha": "left"} if column.left else {"x": x + wide, "ha": "right"}
                write(y=y + LINE * place, text=text, weight="bold" if bold else "normal", **side)
            x += wide + GAP
        y += heights[number]
        if number == 0:
            rule(y + LINE / 4, False)
            y += LINE / 2
    rule(y + LINE / 4, True)
    y += LINE / 2
    for text in note:
        write(MARGIN, y, text, color="#4a5563")
        y += LINE
    return figure


def _rows(head: Lines, body: Sequence[Lines], strong: frozenset[int]) -> Iterator[tuple[bool, Lines]]:
    """Whether each row is bold, and its cells: the headings first."""
    yield True, head
    for place, row in enumerate(body):
        yield place in strong, row


def _wrapped(cells: Sequence[str]) -> Lines:
    return [textwrap.wrap(one_line(cell), WIDEST) or [""] for cell in cells]


def _width(measure: Any, text: str, bold: bool) -> float:
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=POINTS, weight="bold" if bold else "normal")
    return float(measure.get_text_width_height_descent(text, font, ismath=False)[0]) / FINE


def _line(ends: tuple[float, float], y: float, width: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D(ends, (y, y), color="#1c2430", linewidth=width)
