"""Text for a terminal: its size, and columns that fit it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest

GAP = 2
NARROWEST = 12
"""Columns of the terminal that a text after the first column may be broken to."""


def size() -> tuple[int, int] | None:
    """Columns and lines of the terminal; None for files and pipes."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    columns, lines = shutil.get_terminal_size()
    return columns, lines


def width() -> int | None:
    """Columns of the terminal; None for files and pipes."""
    shape = size()
    return shape and shape[0]


def table(
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[bool] | None = None,
    heads: Sequence[str] | None = None,
    bold: Collection[int] = (),
    color: bool = False,
    width: int | None = None,
) -> str:
    """Rows as aligned columns, `left` or to the right, below underlined `heads`.

    They are wrapped to `width`. Where not even their words fit, rows and columns change places.
    """
    left = [True] * max(map(len, rows), default=0) if left is None else left
    lines = [*([heads] if heads else []), *rows]
    widths = _widths(lines, left, width)
    if width and _total(widths) > width:
        if heads:
            return _on_its_side(heads, rows, width)
        widths = _widths(lines, left, width, least=1)
    return _render(rows, widths, left, heads, bold, color)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _widths(
    lines: Sequence[Sequence[str]], left: Sequence[bool], width: int | None, least: int | None = None
) -> list[int]:
    """Width of each column.

    The widest ones are narrowed to fit, down to `least` or to their longest word.
    """
    from rich.cells import cell_len

    columns = list(zip(*lines, strict=True))
    widths = [max(1, *(cell_len(line) for cell in cells for line in cell.split("\n"))) for cells in columns]
    words = [max((cell_len(word) for cell in cells for word in cell.split()), default=1) for cells in columns]
    lowest = [
        least or (min(word, NARROWEST) if side and i else word)
        for i, (word, side) in enumerate(zip(words, left, strict=True))
    ]
    while width and _total(widths) > width:
        wide = [i for i in range(len(widths)) if widths[i] > lowest[i]]
        if not wide:
            break
        widths[max(wide, key=lambda i: widths[i])] -= 1
    return widths


def _on_its_side(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """The table with a line per head and as many rows as fit."""
    parts, done = [], 0
    while done < len(rows):
        for count in range(len(rows) - done, 0, -1):
            lines = list(zip(heads, *rows[done : done + count], strict=True))
            widths = _widths(lines, [count == 1] * (count + 1), width)
            if count == 1 or _total(widths) <= width:
                break
        parts.append(_render(lines, widths, [True] * (count + 1)))
        done += count
    return "\n\n".join(parts)


def _render(
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    left: Sequence[bool],
    heads: Sequence[str] | None = None,
    bold: Collection[int] = (),
    color: bool = False,
) -> str:
    lines = []
    if heads:
        lines += [_ansi(line, "2", color) for line in _lines(heads, widths, left, above=True)]
        lines.append((" " * GAP).join("─" * space for space in widths))
    for i, row in enumerate(rows):
        lines += [_ansi(line, "1", color and i in bold) for line in _lines(row, widths, left)]
    return "\n".join(lines)


def _lines(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool], above: bool = False) -> Iterator[str]:
    """The lines of one row.

    Free lines of a cell are below its text, or `above`.
    """
    from rich.cells import cell_len

    wrapped = [_wrapped(cell, space) for cell, space in zip(cells, widths, strict=True)]
    height = max(map(len, wrapped))
    wrapped = [[""] * (height - len(cell)) + cell if above else cell for cell in wrapped]
    for parts in zip_longest(*wrapped, fillvalue=""):
        gaps = [" " * (space - cell_len(part)) for part, space in zip(parts, widths, strict=True)]
        padded = [part + gap if side else gap + part for part, gap, side in zip(parts, gaps, left, strict=True)]
        yield (" " * GAP).join(padded).rstrip()


def _wrapped(cell: str, space: int) -> list[str]:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    if "\n" not in cell and cell_len(cell) <= space:
        return [cell]
    console = Console(force_jupyter=False, force_terminal=False)
    return [line.plain for line in Text(cell).wrap(console, space, overflow="fold")]


def _ansi(text: str, code: str, on: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if on else text
