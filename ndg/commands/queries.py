"""Conditions, orders and columns of a command line, and tables of them."""

from __future__ import annotations

import csv
import io
import json
import re
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndg import atomic, escape, terminal
from ndg.errors import MissingPackageError, UserError
from ndg.runs.record import RunRecord

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("kind", "name", "status")
OPERATORS = {"=": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte", "~": "$regex"}

_CONDITION = re.compile(r"([^=<>!~]+)(!=|>=|<=|=|>|<|~)(.*)", re.DOTALL)


def query(where: str | None, conditions: Iterable[str]) -> dict[str, Any]:
    """The query of --where and of words such as `kind=train` and `results.train.test_accuracy>0.9`."""
    parts = [] if where is None else [_json(where)]
    parts += [_condition(word) for word in conditions]
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}


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
    try:
        import pyarrow as pa
        from pyarrow import parquet as pq
    except ImportError:
        raise MissingPackageError("Parquet needs pyarrow: pip install 'ndg[parquet]'; --csv needs no package") from None
    table = table.copy()
    for name in table:
        kinds = {type(value) for value in table[name]} - {type(None)}
        if kinds & {list, dict} or (len(kinds) > 1 and str in kinds):
            table[name] = [None if value is None else json.dumps(value, ensure_ascii=False) for value in table[name]]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table), buffer)
    return atomic.write(Path(path), buffer.getvalue())


def compared(records: Sequence[RunRecord], width: int | None = None) -> str:
    """What differs between runs: of their configs first, then of their results."""
    blocks = []
    for section in ("config", "results"):
        leaves = [dict(_leaves(record.get(section) or {}, section)) for record in records]
        paths = dict.fromkeys(path for of_run in leaves for path in of_run)
        lines = [
            [path, *(_cell(of_run.get(path), "–") for of_run in leaves)]
            for path in paths
            if len({json.dumps(of_run.get(path), sort_keys=True) for of_run in leaves}) > 1
        ]
        heads = [section, *(record.id.split("-", 2)[-1] for record in records)]
        blocks.append(terminal.table([heads, *lines], width=width) if lines else f"{section}: no difference")
    return "\n\n".join(blocks)


def _leaves(value: dict[str, Any], path: str) -> Iterable[tuple[str, Any]]:
    from ndg.runs.show import flatten

    return flatten(value, path)


def _condition(word: str) -> dict[str, Any]:
    """The query of a word such as `name=cnn`, `x>=0.5`, `name~^dig`. Raises UserError."""
    parts = _CONDITION.fullmatch(word)
    if parts is None:
        raise UserError(f"a condition is KEY=VALUE, with = != > >= < <= or ~ (pattern); got {word!r}; as in kind=train")
    path, sign, value = parts.groups()
    return {path.strip(): {OPERATORS[sign]: value if sign == "~" else _value(value)}}


def _value(text: str) -> Any:
    """A number, true, false or null; any other text is itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if value is None or isinstance(value, bool | int | float | str) else text


def _json(text: str) -> dict[str, Any]:
    """The query of --where. Raises UserError."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"the key {twice[0]!r} comes twice; join both by $and")
        return dict(pairs)

    reason = "a query is a mapping"
    try:
        query = json.loads(text, object_pairs_hook=distinct)
    except RecursionError:
        query, reason = None, "it has too many levels"
    except ValueError as error:
        query, reason = None, "a number has too many digits" if "digits" in str(error) else str(error)
    if not isinstance(query, dict):
        example = """'{"kind": "train"}'"""
        raise UserError(f"--where takes a MongoDB query as JSON, such as {example}; got {text[:200]!r} ({reason})")
    return query


def _cell(value: Any, absent: str, short: bool = True) -> str:
    if value is None:
        return absent
    if isinstance(value, float) and short:
        return f"{value:.6g}"
    return escape.one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
