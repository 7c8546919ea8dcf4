"""Columns of a command line, and tables of runs."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
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
from ndg.runs.show import differences, flatten

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("kind", "name", "status")


def columns(options: Namespace) -> list[str]:
    """Paths of the columns that a table has by --columns and --sort."""
    named = list(options.columns or COLUMNS)
    more = options.sort.removeprefix("-") if options.sort else None
    return [*named, *([more] if more and more not in named and not options.columns else [])]


def text(records: Sequence[RunRecord], paths: Sequence[str], form: str, width: int | None = None) -> str:
    """A row per run as a table, as `csv` or as `md` (Markdown)."""
    heads = ["id", *paths]
    values = [[record.id, *map(record.figure, paths)] for record in records]
    if form == "csv":
        out = io.StringIO()
        lines = [[escape.cell(_cell(value, "", short=False)) for value in row] for row in [heads, *values]]
        csv.writer(out, lineterminator="\n").writerows(lines)
        return out.getvalue().rstrip("\n")
    cells = [[_cell(value, "–", short=form != "md") for value in row] for row in values]
    if form == "md":
        lines = [heads, ["---"] * len(heads), *cells]
        return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
    return terminal.table([heads, *cells], width=width) if cells else "no runs"


def write_parquet(table: pd.DataFrame, path: str) -> Path:
    """Write a frame of runs as Parquet; lists as JSON. Raises MissingPackageError without pyarrow."""
    require("pyarrow", "--parquet", "--csv needs no package")
    import pyarrow as pa
    from pyarrow import parquet as pq

    table = table.copy()
    for name in table:
        kinds = {type(value) for value in table[name]} - {type(None)}
        if kinds & {list, dict} or (len(kinds) > 1 and str in kinds):
            table[name] = [None if value is None else json.dumps(value, ensure_ascii=False) for value in table[name]]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table), buffer)
    return atomic.write(Path(path), buffer.getvalue())


def name_unknown(paths: Iterable[str], records: Sequence[RunRecord]) -> None:
    """Say which of the paths none of the runs has, with the nearest that they have."""
    for path in dict.fromkeys(paths):
        parts = stored_path(path).split(".")
        if parts[0] == "metrics" or any(next(values(record, parts), None) is not MISSING for record in records):
            continue  # lists are read without metrics
        known = {leaf: None for record in records for leaf, _ in flatten(record)}
        if known:
            log.info("none of these runs has %s; %s", path, nearest(path, known))


def compared(records: Sequence[RunRecord], width: int | None = None) -> str:
    """What differs between runs: of their configs first, then of their results."""
    blocks = []
    for section in ("config", "results"):
        lines = [[path, *(_cell(value, "–") for value in values)] for path, *values in differences(records, section)]
        heads = [section, *(record.id.split("-", 2)[-1] for record in records)]
        blocks.append(terminal.table([heads, *lines], width=width) if lines else f"{section}: no difference")
    return "\n\n".join(blocks)


def _cell(value: Any, absent: str, short: bool = True) -> str:
    if value is None:
        return absent
    if isinstance(value, float) and short:
        return f"{value:.6g}"
    return escape.one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
