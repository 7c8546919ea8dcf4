"""Table of the rows of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ndg.report.tables import Column, Interval, Table

Row = Mapping[str, Any]
LEVEL = "95 %"


def table(
    title: str,
    rows: Sequence[Row],
    *,
    titles: Mapping[str, str] | None = None,
    leave: Sequence[str] = (),
    ends: Mapping[str, tuple[str, str]] | None = None,
    note: str = "",
) -> Table:
    """Table with one column per key, except the keys in `leave`.

    `x`, `x_low` and `x_high` (or the two keys in `ends[x]`) share one cell. A column is titled by its key or by
    `titles`.
    """
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in leave]
    pairs = {key: (f"{key}_low", f"{key}_high") for key in keys} | dict(ends or {})
    pairs = {key: pair for key, pair in pairs.items() if key in keys and set(pair) <= set(keys)}
    inside = {end for pair in pairs.values() for end in pair}
    shown = [key for key in keys if key not in inside]
    columns = {
        key: Column(
            (titles or {}).get(key, key.replace("_", " ")),
            LEVEL if key in pairs else "",
            left=any(isinstance(row.get(key), str) for row in rows),
        )
        for key in shown
    }
    cells = [{key: _cell(row, key, pairs.get(key)) for key in shown} for row in rows]
    return Table.of(title, columns, cells, note=note)


def _cell(row: Row, key: str, ends: tuple[str, str] | None) -> Any:
    value = row.get(key)
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    if ends is None or value is None:
        return value
    low, high = (row.get(end) for end in ends)
    return value if low is None or high is None else Interval(float(value), float(low), float(high))
