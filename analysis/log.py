"""Runs of the log for the scripts of this folder, read by `Log.frame` alone."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from ndg import runs
from ndg.errors import NDGError, OutputError, RunNotFoundError
from ndg.locations import Locations
from ndg.progress import log as messages
from ndg.report.tables import Table
from ndg.runs import conditions, long_values
from ndg.runs.log import Log
from ndg.runs.plain import stored_path
from ndg.runs.query import ids_with
from ndg.runs.record import RunRecord

COLUMNS: Final = ("kind", "name", "status", "parent", "host", "folder", "device", "training_digest", "seeds", "config")
"""Columns that every script reads."""


def main(title: str, table: Callable[[list[RunRecord]], Table], kind: str = "align") -> int:
    """Print a table of train runs or of the newest align runs."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--where", metavar="JSON", default="{}", help="a MongoDB query that narrows the runs")
    args = parser.parse_args()
    locations = Locations.choose(runs=args.runs, store=args.store)
    try:
        query = conditions.query(args.where, [f"kind={kind}", "status=COMPLETED"])
        with runs.open(locations.store, local=locations.runs) as log:
            records = documents(log, query)
        if kind == "align":
            newest = {json.dumps([run["name"], run["config"]["criterion"]]): run for run in reversed(records)}
            records = list(newest.values())
            if not records:
                raise RunNotFoundError(f"no completed align run in {locations.store}; `make demo` makes three")
        result = table(records)
        print(result.markdown() if args.markdown else result)
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def documents(
    log: Log, where: Mapping[str, Any], results: Iterable[str] = ("results",), limit: int | None = None
) -> list[RunRecord]:
    """The usual columns and some results of runs as documents, newest first.

    A run whose long values cannot be read is left out with a warning.
    """
    frame = log.frame(where, limit=limit, columns=[*COLUMNS, *results])
    cells = {str(name): frame[name].astype(object).tolist() for name in frame}
    records = []
    for place, id in enumerate(frame.index.tolist()):
        record = nested({"_id": id} | {path: cells[path][place] for path in cells})
        try:
            records.append(RunRecord(long_values.whole(record, Path(record["folder"]))))
        except OutputError as error:
            messages.warning("run %s is left out: %s", id, error)
    return records


def named(log: Log, name: str, kind: str) -> RunRecord:
    """The run of a kind with an id, a part of one, or `last`, without its results.

    Raises RunNotFoundError.
    """
    of_kind: dict[str, Any] = {"kind": kind}
    if name in ("last", f"last:{kind}"):
        records = documents(log, of_kind, (), limit=1) or documents(log, of_kind, ())[:1]  # the newest may be damaged
    else:
        tries = (documents(log, {**of_kind, "_id": part}, ()) for part in (name, *ids_with(name)))
        records = next(filter(None, tries), [])
    if len(records) == 1:
        return records[0]
    if records:
        ids = ", ".join(record.id for record in records[:3])
        raise RunNotFoundError(
            f"{name!r} must name one {kind} run; it fits {len(records)}, such as {ids}; type more of the id"
        )
    raise RunNotFoundError(f"no {kind} run in {log.uri} is named {name!r}; `ndg runs kind={kind}` lists them")


def nested(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted path as dictionaries.

    A dictionary without any value is left out: a frame has its columns if another run has it.
    """
    document: dict[str, Any] = {}
    for path, value in cells.items():
        *before, last = stored_path(path).split(".")
        home = document
        for key in before:
            if not isinstance(home.get(key), dict):
                home[key] = {}
            home = home[key]
        if not isinstance(home.get(last), dict):
            home[last] = None if _is_missing(value) else value
    return {key: value for key, value in document.items() if not isinstance(value, dict) or not value or _pruned(value)}


def _pruned(branch: dict[str, Any]) -> bool:
    """Whether a dictionary has a value; those in it that have none are taken out."""
    for key in [key for key, value in branch.items() if isinstance(value, dict) and value]:
        if not _pruned(branch[key]):
            del branch[key]
    return any(value is not None for value in branch.values())


def _is_missing(value: Any) -> bool:
    return not isinstance(value, list | dict) and bool(pd.isna(value))
