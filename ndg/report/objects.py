"""Reports of graphs, results and runs, from Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ndg import atomic
from ndg.errors import ConfigError, RenderError, check_kind, nearest
from ndg.graph.ndg import NDG
from ndg.paths import path_of
from ndg.progress import log
from ndg.report import markdown, pdf, side_by_side
from ndg.report.explorer.page import page as explorer_page
from ndg.report.explorer.table import tabulate
from ndg.report.html import Picture, Report, page
from ndg.report.render import look_of, svg
from ndg.report.tables import Table
from ndg.results import Result
from ndg.stimuli.result import Examples

SPLIT = "test"
ROWS = 40
"""Rows of a result that a report shows."""

HOMES: dict[str, Callable[[Any], tuple[str, ...]]] = {
    "TrialResult": lambda result: ("trial", result.key, result.split or SPLIT),
    "HeldOut": lambda result: ("edges", SPLIT),
    "EdgeTrials": lambda result: ("edges_tried", result.split or SPLIT),
    "InterchangeResult": lambda result: ("interchange", result.split or SPLIT),
    "MinimalResult": lambda result: ("minimal", result.split or SPLIT),
    "InterchangeAccuracy": lambda result: ("causal", "interchange_accuracy"),
    "Compression": lambda result: ("compress",),
}
"""Place of a result in a run document, where the sections of a report look for it, by its type (they import torch)."""


def report(*parts: Any, path: str | os.PathLike[str], title: str = "Report") -> Path:
    """Write a report of graphs, results, tables and run documents.

    Return its path.

    The suffix chooses the format: .html, .md or .pdf. It begins with the verdict, as far as the parts answer its
    questions: a trial, held-out figures (`graph.held_out(bits)`), trials of edges, interchange accuracy, a compression.
    Several run documents, and nothing else, stand side by side.

    Raises ConfigError for another suffix, or for a part of another kind.
    """
    check_kind(title, str, "a title is text", "leave it out for none")
    target = path_of(path, "the file of a report")
    form = target.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        endings = ", ".join(f".{name}" for name in FORMATS)
        remedy = "name a file in this folder" if target.is_dir() else nearest(form, FORMATS)
        raise ConfigError(f"a report ends in one of {endings}; got {target.name!r}; {remedy}")
    if not parts:
        raise ConfigError("a report is of at least one graph, result, table or run; got none; pass some")
    if len(parts) > 1 and all(isinstance(part, Mapping) for part in parts):
        return write(target, title, [Report(str(part.get("name") or title), part) for part in parts])
    return write(target, title, [of_parts(title, parts)])


def write(path: Path, title: str, reports: list[Report]) -> Path:
    """Write one report, or several side by side, in the format of the suffix."""
    return atomic.write(path, FORMATS[path.suffix.lower().removeprefix(".")](title, reports))


def of_parts(title: str, parts: tuple[Any, ...]) -> Report:
    """Report of graphs, results and tables; ConfigError for another part."""
    record: dict[str, Any] = {"results": {}}
    content: dict[str, list[Any]] = {"pictures": [], "seen": [], "tables": [], "plots": [], "words": []}
    more: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Mapping):
            record = {**record, **part, "results": {**record["results"], **(part.get("results") or {})}}
        elif isinstance(part, NDG):
            more = _graph(part, record, content)
        elif isinstance(part, Examples):
            content["seen"].append(part)
        elif isinstance(part, Table):
            content["tables"].append(part)
        elif isinstance(part, Result):
            _result(part, record, content)
        else:
            raise ConfigError(
                "a report is of graphs (ndg.NDG), results of studies, tables and run documents; got "
                f"{type(part).__name__}; leave it out"
            )
    fields: dict[str, Any] = content | more
    return Report(title, record, **fields)


def _graph(graph: NDG, record: dict[str, Any], content: dict[str, list[Any]]) -> dict[str, Any]:
    """Facts, picture and explorer of a graph."""
    record["results"]["graph"] = {
        "digest": graph.digest,
        "criterion": graph.criterion,
        "layers": [{"layer": layer.name, "units": layer.units} for layer in graph.nodes.layers],
        "examples": graph.examples,
        "implications": len(graph),
        **graph.stats().to_dict(),
    }
    record["results"].setdefault("data", {"classes": graph.nodes.labels or None})
    try:
        content["pictures"].append(Picture.of(svg(graph, look_of(graph, record))))
    except RenderError as error:
        log.warning("no picture: %s", error)
    return {"explorer_page": explorer_page(tabulate(graph)), "rules": graph.rules(limit=40), "graph": graph}


def _result(result: Result, record: dict[str, Any], content: dict[str, list[Any]]) -> None:
    """A result in the place where its section looks for it, else as a table."""
    home = HOMES[type(result).__name__](result) if type(result).__name__ in HOMES else None
    document = result.to_dict()
    if home is not None:
        place = record["results"]
        for name in home[:-1]:
            place = place.setdefault(name, {})
        place[home[-1]] = document
    if home is None or home[0] in ("causal", "compress"):
        name = type(result).__name__
        rows = result.rows()
        more = f"The first {ROWS} of {len(rows):,} rows." if len(rows) > ROWS else ""
        content["words"].append(result.words())
        content["tables"].append(Table.of_rows(_spaced(name), rows[:ROWS], note=more))


def _spaced(name: str) -> str:
    """Words of a name such as `InterModels`."""
    return "".join(f" {sign.lower()}" if sign.isupper() and place else sign for place, sign in enumerate(name))


def _html(title: str, reports: list[Report]) -> str:
    return page(reports[0]) if len(reports) == 1 else side_by_side.page(title, reports)


def _md(title: str, reports: list[Report]) -> str:
    return markdown.text(reports[0]) if len(reports) == 1 else side_by_side.markdown(title, reports)


FORMATS: dict[str, Callable[[str, list[Report]], bytes | str]] = {"html": _html, "md": _md, "pdf": pdf.content}
