"""Tables of runs for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ndg.literal import whole_number
from ndg.runs import show
from ndg.runs.query import Sort, check_path, ordering
from ndg.runs.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = (
    *("kind", "name", "status", "parent", "tags", "notes", "started", "ended", "digest", "folder"),
    *("seeds.seed", "config.data.name", "config.model.name", "error"),
    *(show.VALIDATION, show.TEST, show.OWN.format("test"), show.ALIGNED, "results.trial.q.test.selectivity"),
)
"""Columns of a frame by default."""
TIMES: Final = ("started", "ended", "heartbeat")


def stored(columns: Iterable[str], sort: Sort) -> list[str]:
    """Paths to read for these columns and this order.

    Numbers of list elements are left out.
    """
    paths = [*map(check_path, columns), *(path for path, _ in ordering(sort))]
    return [".".join(_before_number(path.split("."))) for path in paths]


def values(documents: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, list[Any]]:
    """Values of the documents by dotted path.

    None where a document has none.
    """
    table: dict[str, list[Any]] = {}
    for row, document in enumerate(documents):
        for column in columns:
            value = RunRecord.figure(document, column)  # type: ignore[arg-type]
            leaves = show.flatten(value, column) if isinstance(value, dict) and value else [(column, value)]
            for path, leaf in leaves:
                cells = table.setdefault(path, [])
                if len(cells) <= row:  # another column may have given it
                    cells += [None] * (row - len(cells)) + [leaf]
    for cells in table.values():
        cells += [None] * (len(documents) - len(cells))
    return table


def frame(ids: Sequence[str], table: dict[str, list[Any]]) -> pd.DataFrame:
    """A row per id.

    Whole numbers and booleans with gaps stay what they are, in columns of the kinds Int64 and boolean.
    """
    import pandas as pd

    columns: dict[str, Any] = dict(table)
    for path, cells in table.items():
        if kind := _kind(cells):
            columns[path] = pd.array(cells, dtype=kind)
    frame = pd.DataFrame(columns, index=pd.Index(ids, name="id"))
    for column in TIMES:
        if column in frame:
            frame[column] = pd.to_datetime(frame[column], utc=True, format="ISO8601")
    return frame


def _kind(cells: list[Any]) -> Any:
    """The pandas kind of a column of whole numbers or of booleans with gaps; else an empty text."""
    kinds = {type(cell) for cell in cells}
    return "Int64" if kinds == {int, type(None)} else "boolean" if kinds == {bool, type(None)} else ""


def _before_number(parts: list[str]) -> list[str]:
    numbers = (i for i, part in enumerate(parts) if i and whole_number(part) is not None)
    return parts[: next(numbers, len(parts))]
