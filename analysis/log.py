"""What the scripts of this folder share: which runs of the log a table is about."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from ndg import runs
from ndg.errors import NDGError, RunNotFoundError
from ndg.locations import Locations
from ndg.report.tables import Table
from ndg.runs.record import RunRecord


def main(title: str, table: Callable[[list[RunRecord]], Table], kind: str = "align") -> int:
    """Print a table of completed runs: each train run of the log, or the newest align run of a config and criterion."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--markdown", action="store_true", help="as a page of docs/ has it")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--where", metavar="JSON", default="{}", help="a MongoDB query that narrows the runs")
    asked = parser.parse_args()
    where = Locations.choose(runs=asked.runs, store=asked.store)
    try:
        narrowed = json.loads(asked.where)
    except json.JSONDecodeError as error:
        parser.error(f"--where takes a MongoDB query as JSON, in single quotes; got {asked.where!r} ({error})")
    try:
        with runs.open(where.store, local=where.runs) as log:
            complete = {"kind": kind, "status": "COMPLETED"}
            found = log.find({"$and": [complete, narrowed]}, metrics=False)
        if kind == "align":
            newest = {json.dumps([run["name"], run["config"]["criterion"]]): run for run in reversed(found)}
            found = list(newest.values())
            if not found:
                raise RunNotFoundError(f"no completed align run in {where.store}; `make demo` makes three")
        made = table(found)
        print(made.markdown() if asked.markdown else made)
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
