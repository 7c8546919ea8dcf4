"""Pictures of the graph of a run, drawn again from what lies in its folder."""

from __future__ import annotations

from pathlib import Path

from ndg.errors import ConfigError, RunNotFoundError
from ndg.graph.ndg import NDG
from ndg.importance.scores import Scores
from ndg.report.render import render
from ndg.runs.record import RunRecord

GRAPH = "ndg.json"
NAME = "ndg"


def graph_of(record: RunRecord) -> NDG:
    """The graph of an align run, with its scores."""
    path = record.folder / GRAPH
    if not path.is_file():
        raise RunNotFoundError(f"run {record.id} is {record.state()} and left no graph in {record.folder}; align again")
    return NDG.load(path)


def scores_of(record: RunRecord) -> list[Scores]:
    """The scores that an align run logged, one for each method."""
    return [Scores.from_dict(found) for found in (record.figure("results.scores") or {}).values()]


def draw(
    record: RunRecord,
    kind: str,
    path: str | Path = "",
    *,
    target: str | None = None,
    max_nodes: int | None = None,
) -> Path:
    """The file written: the graph of a run in a format of REPORTS, by default in the run's folder.

    `target` is a class number or a literal; `max_nodes` and the time limit are otherwise those of the run's config.
    """
    report = record["config"]["report"]
    name = NAME if target is None else f"{NAME}-{target.replace(':', '-').replace('~', 'not-')}"
    place = Path(path) if path else record.folder / f"{name}{'.condensed' if kind == 'json' else ''}.{kind}"
    place = place if place.suffix else place.with_suffix(f".{kind}")
    if place.suffix.lower() != f".{kind}":
        raise ConfigError(
            f"--{kind} writes a file that ends in .{kind}; got {place.name!r}; rename it, or use its option"
        )
    return render(
        graph_of(record),
        place,
        scores=scores_of(record),
        target=int(target) if target is not None and target.isdecimal() else target,
        max_nodes=report["max_nodes"] if max_nodes is None else max_nodes,
        timeout=report["timeout"],
    )
