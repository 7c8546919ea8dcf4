"""Graphs as pictures, DOT source, graph files and tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndg import atomic
from ndg.errors import ConfigError, GraphError, check_kind, nearest
from ndg.extras import require
from ndg.graph.formats import EXPORTS
from ndg.graph.ndg import NDG
from ndg.graph.of_votes import graph_of
from ndg.graph.votes import Votes
from ndg.importance.scores import Scores
from ndg.literal import Literal
from ndg.options import plain_number
from ndg.paths import plain_path
from ndg.plots import axes_of
from ndg.report import dot, engine
from ndg.report.causal_drawing import behind
from ndg.report.drawing import Drawing, draw, home_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PNG_DPI = 110


@dataclass(frozen=True)
class Look:
    """Options of a drawing; see `draw` and `render`."""

    scores: Scores | Sequence[Scores] | Mapping[int, float] | None = None
    target: int | str | Literal | None = None
    max_nodes: int = 300
    class_names: Sequence[str] | None = None
    title: str | None = None
    layout: str | None = None
    timeout: float | int = 60.0
    raw_csv: bool = False

    def __post_init__(self) -> None:
        if self.layout is not None:
            check_kind(self.layout, str, "layout is the name of a layout", nearest("", dot.ENGINES))
        seconds = plain_number(self.timeout)
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < float("inf"):
            raise ConfigError(f"timeout is a number of seconds above 0; got {seconds!r}; leave it out for 60")

    def drawing(self, graph: NDG) -> Drawing:
        how = ("layout", "timeout", "raw_csv")
        return draw(graph, **{name: value for name, value in vars(self).items() if name not in how})


def render(
    graph: NDG | Votes,
    path: str | os.PathLike[str],
    *,
    scores: Scores | Sequence[Scores] | Mapping[int, float] | None = None,
    target: int | str | Literal | None = None,
    max_nodes: int = 300,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
    **options: Any,
) -> Path:
    """Write a graph, or votes, in the format of the suffix; `options` are `layout`, `timeout` and `raw_csv`.

    A picture shows the transitive reduction, one edge of each mirrored pair, over at most `max_nodes` classes of
    equivalent literals, and lists what it leaves out. With a `target` (a class number or name, or a literal such as
    "~latent:3") it shows only the ancestors and descendants of the target. `scores` (default: those of the graph) are
    written on the nodes. `layout` is "curved" or "straight", by default as the number of edges asks. `timeout` bounds
    the layout, in seconds. Of a causal graph it shows the strongest votes of each class, and the surest conjunctions
    that make their literals hold, each as a small node.

    GraphML, GEXF and JSON contain all classes and the implications between them, CSV and Parquet all implications, or
    those around the target. They are streamed. Cells of CSV that a spreadsheet may run as a formula begin with `'`,
    unless `raw_csv`.

    Raises ConfigError for an unknown suffix or layout, GraphError for a target outside the graph, RenderError if the
    layout fails or takes too long, OutputError if the file cannot be written.
    """
    graph = _graph(graph)
    path = plain_path(path, "the file of a picture")
    form = path.suffix.lower().removeprefix(".")
    if form not in REPORTS:
        endings = ", ".join(f".{name}" for name in REPORTS)
        raise ConfigError(f"a file name ends in one of {endings}; got {path.name!r}; {nearest(form, REPORTS)}")
    return atomic.write(path, REPORTS[form](graph, Look(scores, target, max_nodes, class_names, title, **options)))


def plot(graph: NDG | Votes, ax: Axes | None = None, **options: Any) -> Axes:
    """Matplotlib axes with the picture of a graph, or of votes; `options` are those of `render`.

    Raises GraphError for another value, ConfigError for an unknown option or layout, RenderError without Graphviz.
    """
    graph = _graph(graph)
    known = [field.name for field in fields(Look)]
    if unknown := [name for name in options if name not in known]:
        raise ConfigError(
            f"a picture has the options {', '.join(known)}; got {unknown[0]!r}; {nearest(unknown[0], known)}"
        )
    require("matplotlib", "a plot", "`render` and `svg` need no package")
    from matplotlib import image

    pixels = image.imread(BytesIO(_picture("png", graph, Look(**options))), format="png")
    high, wide = pixels.shape[:2]
    axes = axes_of(ax, (wide / PNG_DPI, high / PNG_DPI))
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_axis_off()
    return axes


def _graph(graph: NDG | Votes) -> NDG:
    graph = graph_of(graph) if isinstance(graph, Votes) else graph
    check_kind(graph, NDG, "a picture is of an ndg.NDG, or of votes", "mine or load one", GraphError)
    return graph


def png(graph: NDG, look: Look | None = None) -> bytes:
    """PNG bytes of the picture."""
    return _picture("png", graph, look or Look())


def svg(graph: NDG, look: Look | None = None) -> str:
    """SVG text of the picture."""
    return _picture("svg", graph, look or Look()).decode("utf-8")


def _picture(form: str, graph: NDG, look: Look) -> bytes:
    drawing = look.drawing(graph)
    layout = look.layout or dot.layout_of(drawing)
    return engine.picture(
        dot.source(drawing, layout, dpi=PNG_DPI if form == "png" else None),
        form,
        engine=dot.ENGINES[layout],
        timeout=look.timeout,
        size=f"{len(drawing.nodes):,} nodes and {len(drawing.edges):,} edges",
    )


def _dot(graph: NDG, look: Look) -> str:
    drawing = look.drawing(graph)
    return dot.source(drawing, look.layout or dot.layout_of(drawing))


def _export(form: str, graph: NDG, look: Look) -> Iterator[bytes] | Iterator[str]:
    """File content of the condensed graph, or its part around the target."""
    if look.scores is not None and not isinstance(look.scores, Mapping):
        graph = graph.with_scores(look.scores)
    if look.class_names is not None:
        graph = graph.with_class_names(look.class_names)
    options = {"raw": look.raw_csv} if form == "csv" else {}
    return EXPORTS[form](graph.condensed(None if look.target is None else _around(graph, look.target)), **options)


def _around(graph: NDG, target: int | str | Literal) -> set[str]:
    """Keys of the target's class, its relatives, and all from which conjunctions and votes lead to these."""
    import networkx as nx

    classes = nx.DiGraph()
    classes.add_nodes_from(graph.condensed().keys.values())
    home = home_of(graph, classes, target)
    around = {home, *map(graph.key, graph.ancestors(home) | graph.descendants(home))}
    return around | behind(graph.to_networkx(flat=False), around)


REPORTS: dict[str, Callable[[NDG, Look], bytes | str | Iterator[bytes] | Iterator[str]]] = {
    **{form: partial(_picture, form) for form in engine.FORMATS},
    "dot": _dot,
    **{form: partial(_export, form) for form in ("graphml", "gexf", "json", "csv", "parquet")},
}
