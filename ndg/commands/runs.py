"""`ndg runs`, `show`, `sync`, `render`, `report`, `diff` and `explain`: logged runs and their graphs."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from pathlib import Path

from ndg import terminal
from ndg.commands import edit, queries
from ndg.commands.shared import check_log, near, output, say
from ndg.errors import RunNotFoundError, UserError
from ndg.locations import Locations
from ndg.progress import log as messages
from ndg.runs import conditions
from ndg.runs.log import LIST, NEWEST, Log
from ndg.runs.record import RunRecord
from ndg.runs.selection import Selection

WIDE = 120
"""Characters of a sentence's line in a file or a pipe."""
GRAPHS = {"align": None, "score": "results.annotated", "edges": None, "causal": "results.causal.causal_graph"}
"""Kinds of runs that leave a graph, and the result without which one did not."""


def runs(options: Namespace, where: Locations) -> int:
    """List logged runs, newest first."""
    from ndg import runs
    from ndg.runs import show

    if options.condition[:1] == ["export"]:
        options.condition, options.uri = options.condition[1:], None
        return edit.export(options, where)
    limit, sort, columns = options.limit, options.sort, options.columns
    if limit is not None and limit < 1:
        raise UserError(f"--limit is at least 1; got {limit}")
    if sort:
        sort = "-" * sort.startswith("-") + conditions.field(sort.removeprefix("-"))
    columns = columns and [path for path in map(conditions.field, columns) if path != "_id"]  # the id stands first
    query = conditions.query(options.where, options.condition)
    named = [*(columns or ()), *Selection(query, sort).names]
    with runs.open(where.store, local=where.runs) as log:
        if options.parquet or (options.csv and not options.json):
            table = log.frame(query, sort or NEWEST, limit, columns)
            check_log(where, log, len(table))
            queries.name_unknown(named, log.find(query if len(table) else None, limit=5, metrics=False))
            say(near(queries.write_parquet(table, options.parquet)) if options.parquet else queries.csv(table))
            return 0
        records = log.find(query, sort or NEWEST, limit or LIST + 1, metrics=options.json)
        check_log(where, log, len(records))
        queries.name_unknown(named, records or log.find(limit=5, metrics=False))
    if more := limit is None and len(records) > LIST:
        records = records[:LIST]
    width = None if options.md else terminal.width()
    if columns or sort:
        text = queries.text(records, queries.columns(columns, sort), options.md, width)
    else:
        text = queries.markdown(show.cells(records)) if options.md else show.table(records, width=width)
    code = output(options, text, records)
    if more:
        messages.info("these are %d; there are more: --limit N, or --csv for all", LIST)
    return code


def compare(options: Namespace, where: Locations) -> int:
    """Show what differs between runs: configs first, then results."""
    from ndg import runs

    if len(options.run) < 2:
        raise UserError(f"two or more runs are compared; got {len(options.run)}; name another (`ndg runs` lists them)")
    with runs.open(where.store, local=where.runs) as log:
        records = [log.get(name) for name in options.run]
    return output(options, queries.compared(records, terminal.width(), options.all), records)


def best(options: Namespace, where: Locations) -> int:
    """Show the run with the highest value of a metric."""
    from ndg import runs

    query = {"$and": [conditions.query(options.where, options.condition), {options.metric: {"$gte": -1e300}}]}
    with runs.open(where.store, local=where.runs) as log:
        records = log.find(query, f"-{options.metric}", 1)
    if not records:
        raise RunNotFoundError(f"no run has a number at {options.metric}; `ndg show last --all` lists paths")
    text = f"{records[0].id}\n{options.metric}  {records[0].figure(options.metric)}"
    return output(options, text, records[0])


def show(options: Namespace, where: Locations) -> int:
    """Show the chief figures of a run, or all with --all."""
    from ndg import runs
    from ndg.runs import show

    with runs.open(where.store, local=where.runs) as log:
        record = log.get(options.run)
    shape = terminal.size()
    width = shape and shape[0]
    if options.json:
        return output(options, "", record)
    if options.config or options.results is not None:
        section = "config" if options.config else ".".join(filter(None, ["results", options.results]))
        return output(options, show.leaves(record, section, width), record)
    if options.all:
        return output(options, show.text(record, width=width), record)
    return output(options, show.screen(record, _figures(record, width), *(shape or ())), record)


def sync(options: Namespace, where: Locations) -> int:
    """Bring runs from their folder into a run log that lacks them."""
    from ndg import runs

    with runs.open(where.store) as log:
        taken = log.adopt(where.runs)
        text = "\n".join([f"{id} is now in {log.uri}" for id in taken]) or f"{log.uri} is up to date with {where.runs}"
    return output(options, text, taken)


def _figures(record: RunRecord, width: int | None) -> str:
    """The chief figures of an alignment or a scoring, else the verdict."""
    from ndg.report import findings, sections
    from ndg.report.answers import answers

    if headline := findings.headline(record):
        return terminal.table(headline, width=width)
    if said := answers(record):
        return "\n".join(textwrap.fill(f"{one.question} {one.sign}: {one.sentence}", width or WIDE) for one in said)
    return "\n".join(table.text(width=width, fit=True) for table in sections.scores(record))


def render(options: Namespace, where: Locations) -> int:
    """Draw or export the graph of a run."""
    from ndg.report.render import REPORTS
    from ndg.workflows import pictures

    record = _with_graph(options.run, where)
    files = {kind: getattr(options, kind) for kind in REPORTS if getattr(options, kind) is not None}
    style = {name: getattr(options, name) for name in ("fill", "verdict", "full", "hide_equivalent")}
    bounds = {"min_precision": options.min_precision, "layers": options.layers, "labels": not options.no_labels}
    for kind, path in (files or {"pdf": ""}).items():
        how = {"target": options.target, "max_nodes": options.max_nodes, "score": options.score, "most": options.top}
        say(near(pictures.draw(record, kind, path, **how, **bounds, **style, raw_csv=options.raw_csv)))
    return 0


def explore(options: Namespace, where: Locations) -> int:
    """Write the graph of a run as a page to explore."""
    from ndg.workflows import pictures

    say(near(pictures.explored(_with_graph(options.run, where), options.out or "", score=options.score)))
    return 0


def report(options: Namespace, where: Locations) -> int:
    """Write the report of a run, or of several side by side."""
    from ndg import runs
    from ndg.workflows import report as report_workflow

    with runs.open(where.store, local=where.runs) as log:
        records = [log.get(name) for name in options.run]
    kinds = {kind: path for kind in report_workflow.NAMES if (path := getattr(options, kind)) is not None}
    for kind, path in (kinds or {"html": ""}).items():
        say(near(report_workflow.reported(records, kind, path)))
    return 0


def _with_graph(name: str, where: Locations) -> RunRecord:
    """The run of that name, which has a graph."""
    from ndg import runs

    with runs.open(where.store, local=where.runs) as log:
        record = _last(log) if name == "last" else log.get(name)
    if record["kind"] not in GRAPHS:
        raise UserError(f"{record.id} is a {record['kind']} run; only {' and '.join(GRAPHS)} runs have graphs")
    return record


def _last(log: Log) -> RunRecord:
    """The newest complete run with a graph."""
    complete = log.find({"kind": {"$in": list(GRAPHS)}, "status": "COMPLETED"}, metrics=False)
    drawn = (record for record in complete if (figure := GRAPHS[record["kind"]]) is None or record.figure(figure))
    return next(drawn, None) or log.get("last", kind="align")


def diff(options: Namespace, where: Locations) -> int:
    """Compare the graphs of align runs edge by edge."""
    import pandas as pd

    from ndg import atomic, escape, runs
    from ndg.workflows import diff as diff_workflow

    if options.bootstraps < 0:
        raise UserError(f"--bootstraps is at least 0; got {options.bootstraps}")
    with runs.open(where.store, local=where.runs) as log:
        records = [log.get(name, kind="align") for name in options.run]
    findings = diff_workflow.compare(records, where, match=not options.by_number, bootstraps=options.bootstraps)
    output(options, findings, dict(findings.results))
    if options.csv:
        with atomic.reporting(options.csv):
            Path(options.csv).mkdir(parents=True, exist_ok=True)
        for name, lines in findings.rows.items():
            path = atomic.write(Path(options.csv) / name, escape.csv(pd.DataFrame(list(lines)), options.raw_csv))
            if not options.json:
                say(near(path))
    return 0


def explain(options: Namespace, where: Locations) -> int:
    """Explain the prediction for one example by the graph of an align run."""
    from ndg import runs
    from ndg.graph.rules import class_text
    from ndg.workflows import reload

    with runs.open(where.store, local=where.runs) as log:
        record = log.get(options.run, kind="align")
    explanation, label = reload.explained(record, where, options.example, options.target, options.split)
    title = f"{record.id}, example {options.example}"
    title += "" if label is None else f", true {class_text(label, explanation.class_names)}"
    document = {**explanation.to_dict(), "run": record.id, "true": label}
    return output(options, f"{title}\n{explanation.text()}", document)
