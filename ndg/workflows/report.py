"""Reports of logged runs, from their folders alone."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ndg.errors import ConfigError, RenderError
from ndg.graph.ndg import NDG
from ndg.paths import file_of
from ndg.progress import log
from ndg.report.explorer.page import page as explorer_page
from ndg.report.explorer.table import tabulate
from ndg.report.html import Picture, Report
from ndg.report.objects import ROWS, write
from ndg.report.render import look_of, svg
from ndg.report.sections import held_out
from ndg.report.tables import Table
from ndg.runs.record import RunRecord
from ndg.workflows import seen
from ndg.workflows.pictures import GRAPH, NAME, place_of

NAMES = {"html": "summary.html", "pdf": "summary.pdf", "md": "summary.md"}
"""File of each format in the folder of the first run."""
SHOWN = ("trial", "interchange", "edges", "edges_tried", "minimal", "scores", "graph", "accuracy", "data", "causal")
"""Stages that have sections of their own."""


def reported(records: Sequence[RunRecord], kind: str, path: str | Path = "") -> Path:
    """Write the report of a run, or of several side by side; return the path."""
    target = file_of(path or place_of(records[0], NAMES[kind]), NAMES[kind], "the file of a report")
    if target.suffix.lower() != f".{kind}":
        raise ConfigError(
            f"--{kind} writes a file that ends in .{kind}; got {target.name!r}; rename it, or use its option"
        )
    several = len(records) > 1
    title = f"{len(records)} runs side by side" if several else f"Report of {records[0]['name']}"
    reports = [of_run(record, title if not several else record.id, whole=not several) for record in records]
    return write(target, title, reports)


def of_run(record: RunRecord, title: str, whole: bool = True) -> Report:
    """Report of one run; without `whole` its figures alone."""
    folder = record.folder
    record, config = record.loaded(), _text(folder / "config.yaml")
    if not whole:
        return Report(title, record, config=config)
    path = folder / GRAPH
    graph = NDG.load(path) if path.is_file() else None
    examples = seen.of_run(record)
    explorer = "" if graph is None else explorer_page(tabulate(graph, title=record["name"], examples=examples))
    return Report(
        title,
        record,
        pictures=[] if graph is None else _pictures(record, graph),
        edges=_edges(folder / "edges.csv"),
        split=held_out(record),
        rules="" if graph is None else graph.rules(limit=40),
        config=config,
        explorer_page=explorer,
        seen=examples,
        tables=_tables(record),
        graph=graph,
    )


def _pictures(record: RunRecord, graph: NDG) -> list[Picture]:
    """The picture that the run drew, or a new one."""
    drawn = record.folder / f"{NAME}.svg"
    try:
        return [Picture.of(_text(drawn) or svg(graph, look_of(graph, record)))]
    except RenderError as error:
        log.warning("no picture: %s", error)
        return []


def _edges(path: Path) -> list[dict[str, Any]]:
    """Held-out rows of the implications, as `NDG.evaluate` gives them."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: value.removeprefix("'") if key in ENDS else _number(value) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


ENDS = ("antecedent", "consequent")


def _number(text: str) -> float | None:
    return float(text) if text else None


def _tables(record: RunRecord) -> list[Table]:
    """Tables of the stages without a section of their own: rows under `rows` or `networks`."""
    tables = []
    for stage, found in (record.get("results") or {}).items():
        for name, rows in _rows(stage, found, 0) if stage not in SHOWN[:-1] else ():
            title = re.sub(r"[._]", " ", name)
            more = f"The first {ROWS} of {len(rows):,} rows." if len(rows) > ROWS else ""
            tables.append(Table.of_rows(title, rows[:ROWS], note=more))
    return tables


def _rows(name: str, value: Any, depth: int) -> list[tuple[str, list[dict[str, Any]]]]:
    """Lists of flat rows inside a result, with their paths."""
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        flat = [{key: cell for key, cell in row.items() if not isinstance(cell, Mapping | list)} for row in value]
        return [(name.removesuffix(".rows"), flat)]
    if isinstance(value, Mapping) and depth < 3:
        return [found for key, part in value.items() for found in _rows(f"{name}.{key}", part, depth + 1)]
    return []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
