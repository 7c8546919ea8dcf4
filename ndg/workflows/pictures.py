"""Pictures of the graph of a run, drawn from its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ndg.errors import ConfigError, GraphError, RunNotFoundError
from ndg.graph.ndg import NDG
from ndg.graph.top_scored import foremost, top
from ndg.paths import file_of
from ndg.progress import log
from ndg.report.explorer.page import NAME as PAGE
from ndg.report.explorer.page import explore
from ndg.report.render import render
from ndg.runs.record import RunRecord
from ndg.workflows import seen

GRAPH = "ndg.json"
NAME = "ndg"
EXPLORER = PAGE


def graph_of(record: RunRecord) -> NDG:
    """The graph of an align, score, edges or causal run.

    Raises RunNotFoundError.
    """
    path = record.folder / GRAPH
    if not path.is_file():
        raise RunNotFoundError(f"run {record.id} is {record.state()} and left no graph in {record.folder}; align again")
    return NDG.load(path)


def place_of(record: RunRecord, name: str) -> Path:
    """A file in the folder of a run, or in the present one.

    Where the folder is read-only, it is the present one, with the id before the name.
    """
    if os.access(record.folder, os.W_OK) or not record.folder.is_dir():
        return record.folder / name
    log.info("%s is read-only: %s is written to the present folder", record.folder, name)
    return Path(f"{record.id}-{name}")


def _by_scores(record: RunRecord, score: str | None, most: int | None) -> NDG:
    """The graph with one score first, and only the `most` important neurons."""
    graph = graph_of(record)
    logged = (record.load("results.scores") or {}).values()
    for method in reversed([score] if score is not None else [scores["method"] for scores in logged]):
        if method in graph.scored or method == score:
            graph = foremost(graph, method)
    if most is None:
        return graph
    if not graph.scored:
        raise GraphError(f"the graph of {record.id} carries no scores; `ndg score {record.id}` scores its layers")
    return top(graph, next(iter(graph.scored)), most)


def explored(record: RunRecord, path: str | Path = "", *, score: str | None = None) -> Path:
    """Write the explorer of the graph of a run; return the path.

    Without a `path` it is that of `place_of`.
    """
    graph, examples = _by_scores(record, score, None), seen.of_run(record)
    return explore(graph, path or place_of(record, EXPLORER), title=record["name"], examples=examples)


def draw(
    record: RunRecord,
    kind: str,
    path: str | Path = "",
    *,
    target: str | None = None,
    max_nodes: int | None = None,
    score: str | None = None,
    most: int | None = None,
    **options: Any,
) -> Path:
    """Draw the graph of a run; return the path.

    Without a `path` it is that of `place_of`. `target` is a class (number or name) or a literal. Neurons are shaded
    by the method `score`, by default the run's first; with `most`, only that many of the most important neurons are
    drawn. `max_nodes` and the time limit default to the run's config; `options` are further ones of `render`.
    """
    graph = _by_scores(record, score, most)
    report = record["config"]["report"]
    parts = [NAME, *([] if target is None else [target]), *([] if score is None else [score])]
    parts += [] if most is None else [f"top{most}"]
    name = re.sub(r"[^\w.-]", "-", "-".join(parts).replace("~", "not-"))[:50]
    own = f"{name}{'.condensed' if kind == 'json' else ''}.{kind}"
    target_path = file_of(path or place_of(record, own), own, "the file of a picture")
    if target_path.suffix.lower() != f".{kind}":
        raise ConfigError(
            f"--{kind} writes a file that ends in .{kind}; got {target_path.name!r}; rename it, or use its option"
        )
    return render(
        graph,
        target_path,
        target=target,
        max_nodes=report["max_nodes"] if max_nodes is None else max_nodes,
        timeout=report["timeout"],
        **options | {"raw_csv": options.get("raw_csv") or report.get("raw_csv", False)},
    )
