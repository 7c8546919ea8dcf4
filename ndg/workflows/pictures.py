"""Pictures of the graph of a run, drawn again from what lies in its folder."""

from __future__ import annotations

from pathlib import Path

from ndg.errors import ConfigError, GraphError, RunNotFoundError
from ndg.graph.ndg import NDG
from ndg.graph.top_scored import foremost, top
from ndg.importance.scores import Scores
from ndg.report.render import render
from ndg.runs.record import RunRecord

GRAPH = "ndg.json"
NAME = "ndg"


def graph_of(record: RunRecord) -> NDG:
    """The graph of an align run, or of one that scored its nodes, with the scores."""
    path = record.folder / GRAPH
    if not path.is_file():
        raise RunNotFoundError(f"run {record.id} is {record.state()} and left no graph in {record.folder}; align again")
    return NDG.load(path)


def scores_of(record: RunRecord) -> list[Scores]:
    """The scores that a run logged, one for each method."""
    return [Scores.from_dict(found) for found in (record.figure("results.scores") or {}).values()]


def _by_scores(record: RunRecord, score: str | None, most: int | None) -> NDG:
    """The graph with its scores in the order of the run, or with one first; with `most`, of the neurons above all."""
    graph = graph_of(record)
    for found in reversed([score] if score is not None else [one.method for one in scores_of(record)]):
        if found in graph.scored or found == score:
            graph = foremost(graph, found)
    if most is None:
        return graph
    if not graph.scored:
        raise GraphError(f"the graph of {record.id} carries no scores; `ndg score {record.id}` scores its layers")
    return top(graph, next(iter(graph.scored)), most)


def draw(
    record: RunRecord,
    kind: str,
    path: str | Path = "",
    *,
    target: str | None = None,
    max_nodes: int | None = None,
    score: str | None = None,
    most: int | None = None,
) -> Path:
    """The file written: the graph of a run in a format of REPORTS, by default in the run's folder.

    `target` is a class number or a literal; `max_nodes` and the time limit are otherwise those of the run's config.
    Neurons are shaded by the method `score`, else by the first; with `most` only so many of the most important ones by
    it are shown.
    """
    graph = _by_scores(record, score, most)
    report = record["config"]["report"]
    words = [NAME, *([] if target is None else [target]), *([] if score is None else [score])]
    words += [] if most is None else [f"top{most}"]
    name = "-".join(words).replace(":", "-").replace("~", "not-").replace("=", "-")
    place = Path(path) if path else record.folder / f"{name}{'.condensed' if kind == 'json' else ''}.{kind}"
    place = place if place.suffix else place.with_suffix(f".{kind}")
    if place.suffix.lower() != f".{kind}":
        raise ConfigError(
            f"--{kind} writes a file that ends in .{kind}; got {place.name!r}; rename it, or use its option"
        )
    return render(
        graph,
        place,
        target=int(target) if target is not None and target.isdecimal() else target,
        max_nodes=report["max_nodes"] if max_nodes is None else max_nodes,
        timeout=report["timeout"],
    )
