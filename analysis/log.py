"""Selection of runs for the scripts of this folder."""

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
    """Print a table of train runs or of the newest align runs."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--runs", metavar="DIR", help="folder of the runs (else NDG_RUNS, else runs)")
    parser.add_argument("--store", metavar="URI", help="run log (else NDG_STORE, else RUNS/ndg.db)")
    parser.add_argument("--where", metavar="JSON", default="{}", help="a MongoDB query that narrows the runs")
    args = parser.parse_args()
    locations = Locations.choose(runs=args.runs, store=args.store)
    try:
        query = json.loads(args.where)
    except json.JSONDecodeError as error:
        parser.error(f"--where takes a MongoDB query as JSON, in single quotes; got {args.where!r} ({error})")
    try:
        with runs.open(locations.store, local=locations.runs) as log:
            complete = {"kind": kind, "status": "COMPLETED"}
            records = log.find({"$and": [complete, query]}, metrics=False)
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
