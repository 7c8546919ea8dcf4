"""`ndg render`, `ndg diff` and `ndg explain`: graphs of runs that there are."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ndg.commands.shared import near, output
from ndg.errors import UserError
from ndg.locations import Locations
from ndg.runs.log import Log
from ndg.runs.record import RunRecord


def render(asked: Namespace, where: Locations) -> int:
    from ndg import runs
    from ndg.report.render import REPORTS
    from ndg.workflows import pictures

    with runs.open(where.store, local=where.runs) as book:
        record = _last(book) if asked.run == "last" else book.get(asked.run)
    if record["kind"] not in ("align", "score"):
        raise UserError(f"{record.id} is a {record['kind']} run; graphs are those of align runs, and of score runs")
    wanted = {kind: getattr(asked, kind) for kind in REPORTS if getattr(asked, kind) is not None}
    for kind, path in (wanted or {"pdf": ""}).items():
        how = {"target": asked.target, "max_nodes": asked.max_nodes, "score": asked.score, "most": asked.top}
        print(near(pictures.draw(record, kind, path, **how)))
    return 0


def _last(book: Log) -> RunRecord:
    """The newest complete run that left a graph, with or without scores of its own."""
    complete = book.find({"kind": {"$in": ["align", "score"]}, "status": "COMPLETED"}, metrics=False)
    drawn = (record for record in complete if record["kind"] == "align" or record.figure("results.annotated"))
    return next(drawn, None) or book.get("last", kind="align")


def diff(asked: Namespace, where: Locations) -> int:
    import pandas as pd

    from ndg import atomic, runs
    from ndg.workflows import diff as diff_workflow

    if asked.bootstraps < 0:
        raise UserError(f"--bootstraps is at least 0; got {asked.bootstraps}")
    with runs.open(where.store, local=where.runs) as book:
        records = [book.get(name, kind="align") for name in asked.run]
    found = diff_workflow.compare(records, where, match=not asked.by_number, bootstraps=asked.bootstraps)
    output(asked, found.text(width=120), dict(found.results))
    if asked.csv:
        Path(asked.csv).mkdir(parents=True, exist_ok=True)
        for name, lines in found.rows.items():
            path = atomic.write(Path(asked.csv) / name, pd.DataFrame(list(lines)).to_csv(index=False))
            if not asked.json:
                print(near(path))
    return 0


def explain(asked: Namespace, where: Locations) -> int:
    from ndg import runs
    from ndg.workflows import reload

    with runs.open(where.store, local=where.runs) as book:
        record = book.get(asked.run, kind="align")
    found, true = reload.explained(record, where, asked.example, asked.target, asked.split)
    told = f"{record.id}, example {asked.example}" + ("" if true is None else f", true class {true}")
    return output(asked, f"{told}\n{found.text()}", {**found.to_dict(), "run": record.id, "true": true})
