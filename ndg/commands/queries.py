"""Columns of a command line, and tables of runs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndg import atomic, escape, terminal
from ndg.errors import nearest
from ndg.extras import require
from ndg.progress import log
from ndg.runs.matching import MISSING, values
from ndg.runs.plain import stored_path
from ndg.runs.record import RunRecord
from ndg.runs.show import cut, differences, flatten

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("kind", "name", "status")
ABSENT = "–"
MOST = 30
"""Differing results above which a comparison shows the chief figures."""


def columns(named: Sequence[str] | None, sort: str | None) -> list[str]:
    """Paths of the columns that a table has by --columns and --sort."""
    more = (sort or "_id").removeprefix("-")
    return list(named) if named else [*COLUMNS, *([more] if more not in (*COLUMNS, "_id") else [])]


def text(records: Sequence[RunRecord], paths: Sequence[str], md: bool, width: int | None = None) -> str:
    """A row per run as a table, or as Markdown."""
    heads = ["id", *paths]
    cells = [[record.id, *(_cell(record.figure(path), short=not md) for path in paths)] for record in records]
    if md:
        return markdown([heads, *cells])
    return terminal.table([heads, *cells], width=width) if cells else "no runs"


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table; the first one has the heads."""
    heads, *rows = cells
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def csv(table: pd.DataFrame) -> str:
    """A frame of runs as CSV; lists as JSON."""
    return escape.csv(_plain(table).reset_index()).rstrip("\n")


def write_parquet(table: pd.DataFrame, path: str) -> Path:
    """Write a frame of runs as Parquet; lists as JSON. Raises MissingPackageError without pyarrow."""
    require("pyarrow", "--parquet", "--csv needs no package")
    import pyarrow as pa
    from pyarrow import parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(_plain(table)), buffer)
    return atomic.write(Path(path), buffer.getvalue())


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """The frame with JSON in place of lists and of mixed values."""
    table = table.copy()
    for name in table:
        cells = [None if isinstance(value, float) and value != value else value for value in table[name]]
        kinds = {type(value) for value in cells} - {type(None)}
        if kinds & {list, dict} or (len(kinds) > 1 and str in kinds):
            table[name] = [None if value is None else json.dumps(value, ensure_ascii=False) for value in cells]
    return table


def name_unknown(paths: Iterable[str], records: Sequence[RunRecord]) -> None:
    """Say which of the paths none of the runs has, with the nearest that they have."""
    for path in dict.fromkeys(paths):
        parts = stored_path(path).split(".")
        if parts[0] == "metrics" or any(next(values(record, parts), None) is not MISSING for record in records):
            continue  # lists are read without metrics
        known = {leaf: None for record in records for leaf, _ in flatten(record)}
        if known:
            log.info("none of these runs has %s; %s", path, nearest(path, known))


def compared(records: Sequence[RunRecord], width: int | None = None, whole: bool = False) -> str:
    """What differs between runs: of their configs first, then of their results.

    Of many results the chief figures, unless the `whole` is asked for.
    """
    blocks = []
    for section in ("config", "results"):
        lines = [[path, *(cut(_cell(value)) for value in values)] for path, *values in differences(records, section)]
        more = ""
        if section == "results" and len(lines) > MOST and not whole:
            more = f"\n\n{len(lines)} results differ; --all shows each"
            lines = _chief(records) or lines[:MOST]
        heads = [section, *(record.id.split("-", 2)[-1] for record in records)]
        blocks.append((terminal.table([heads, *lines], width=width) if lines else f"{section}: no difference") + more)
    return "\n\n".join(blocks)


def _chief(records: Sequence[RunRecord]) -> list[list[str]]:
    """Name and value by run of the chief figures of alignments."""
    from ndg.report import findings

    of_runs = [
        {name: f"{value} ({remark})" if remark else value for name, value, remark in findings.headline(record)}
        for record in records
    ]
    names = dict.fromkeys(name for figures in of_runs for name in figures)
    return [[name, *(figures.get(name, ABSENT) for figures in of_runs)] for name in names]


def _cell(value: Any, short: bool = True) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, float) and short:
        return f"{value:.6g}"
    return escape.one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
