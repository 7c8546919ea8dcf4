"""Text for a terminal: its size, and columns that fit it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence

GAP = 2
NARROWEST = 12
"""Columns of the terminal that a text after the first column may be broken to."""


def size() -> tuple[int, int] | None:
    """Columns and lines of the terminal; None where stdout is a file or a pipe."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    columns, lines = shutil.get_terminal_size()
    return columns, lines


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
    """Width of each column; the widest ones are narrowed to fit, down to `least` or to their longest word."""
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
    """The table with a line per head, as many rows side by side as fit, at least one."""
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
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, show_header=heads is not None, header_style="dim")
    for head, space, side in zip(heads or widths, widths, left, strict=True):
        grid.add_column(Text(str(head)), width=space, justify="left" if side else "right", overflow="fold")
    if heads:
        grid.add_row(*("─" * space for space in widths))
    for i, row in enumerate(rows):
        grid.add_row(*map(Text, row), style="bold" if i in bold else "")
    total, out = sum(widths) + GAP * len(widths), io.StringIO()
    how = {"color_system": "standard", "no_color": False} if color else {"color_system": None}
    Console(file=out, width=total, force_terminal=color, highlight=False, emoji=False, **how).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))
