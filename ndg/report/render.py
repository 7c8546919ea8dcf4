"""Graphs as pictures, DOT source, graph files and tables."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndg import atomic
from ndg.errors import ConfigError, GraphError, check_kind, nearest
from ndg.escape import html
from ndg.extras import require
from ndg.graph.formats import EXPORTS
from ndg.graph.ndg import NDG
from ndg.graph.of_votes import graph_of
from ndg.graph.votes import Votes
from ndg.importance.scores import Scores
from ndg.literal import Literal
from ndg.options import plain_number
from ndg.paths import path_of
from ndg.plots import axes_of
from ndg.report import dot, engine
from ndg.report.causal_drawing import behind
from ndg.report.drawing import Drawing, Style, draw, home_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PNG_DPI = 110
MOST = 100
"""Nodes of a causal graph in a report: the strongest votes of each class, and what makes their literals hold."""
PLAIN = Style()
SLOW = 10.0
"""Seconds of a layout, above which a picture is simplified."""


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
    style: Style = PLAIN
    min_precision: float | None = None
    layers: Sequence[str] | None = None
    labels: bool = True

    def __post_init__(self) -> None:
        if self.layout is not None:
            check_kind(self.layout, str, "layout is the name of a layout", nearest("", dot.ENGINES))
        seconds = plain_number(self.timeout)
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
            raise ConfigError(f"timeout is a number of seconds, at least 0; got {seconds!r}; leave it out for 60")

        check_kind(self.style, Style, "style= is an ndg.report.drawing.Style", "leave it out")
        check_kind(self.labels, bool, "labels is True or False", "leave it out for True")

    def drawing(self, graph: NDG) -> Drawing:
        names = ("scores", "target", "max_nodes", "class_names", "title", "style")
        part = self.part(graph)
        drawing = draw(part, **{name: getattr(self, name) for name in names})
        if part is graph:
            return drawing
        kept = f"Of {len(graph):,} implications {len(part):,} are considered ({', '.join(self._bounds())})."
        return replace(drawing, left_out=f"{kept} {drawing.left_out}")

    def part(self, graph: NDG) -> NDG:
        """The graph within the bounds on precision, layers and labels.

        Itself without any.
        """
        if self.min_precision is not None or self.layers is not None:
            graph = graph.filter(min_precision=self.min_precision, layers=self.layers)
        if self.layers is not None or not self.labels:
            layers = [layer.name for layer in graph.nodes.layers] if self.layers is None else self.layers
            graph = graph.subgraph(layers, labels=self.labels)
        return graph

    def _bounds(self) -> list[str]:
        bounds = [] if self.min_precision is None else [f"precision at least {self.min_precision:g}"]
        bounds += [] if self.layers is None else [f"layers {', '.join(self.layers)}"]
        return bounds + ["without labels"] * (not self.labels)


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
    """Write a graph, or votes, in the format of the suffix.

    `options` are the further fields of `Look` and `Style`, such as `fill="prior"`.

    A picture shows the transitive reduction, one edge of each mirrored pair, over at most `max_nodes` classes of
    equivalent literals, and lists what it leaves out. With a `target` (a class number or name, or a literal such as
    "~latent:3") it shows only the ancestors and descendants of the target. `scores` (default: those of the graph) are
    written on the nodes. `layout` is "curved" or "straight", by default as the number of edges asks; a layout that
    takes more than ten seconds is then drawn with straight edges, and with fewer nodes if need be. `timeout` bounds the
    drawing, in seconds. `min_precision`, `layers` and `labels` choose a part of the graph. `fill` is the score by which
    nodes are filled, or "prior"; `verdict` the way of forcing ("alone", "closure") by which edges are drawn; `full`
    shows all edges, `hide_equivalent` one literal of each class. Of a causal graph it shows the strongest votes of each
    class, and the surest conjunctions that make their literals hold, each as a small node.

    GraphML, GEXF and JSON contain all classes and the implications between them, CSV and Parquet all implications, or
    those around the target. They are streamed. Cells of CSV that a spreadsheet may run as a formula begin with `'`,
    unless `raw_csv`.

    Raises ConfigError for an unknown suffix, option or layout, GraphError for a target outside the graph, RenderError
    if the layout fails or takes too long, OutputError if the file cannot be written.

    >>> "<svg" in ndg.render(graph, "graph.svg", target=1).read_text()
    True
    """
    graph = _graph(graph)
    path = path_of(path, "the file of a picture")
    form = path.suffix.lower().removeprefix(".")
    if form not in REPORTS:
        endings = ", ".join(f".{name}" for name in REPORTS)
        remedy = "name a file in this folder" if path.is_dir() else nearest(form, REPORTS)
        raise ConfigError(f"a file name ends in one of {endings}; got {path.name!r}; {remedy}")
    look = _look(scores=scores, target=target, max_nodes=max_nodes, class_names=class_names, title=title, **options)
    return atomic.write(path, REPORTS[form](graph, look))


def plot(graph: NDG | Votes, ax: Axes | None = None, **options: Any) -> Axes:
    """Matplotlib axes with the picture of a graph, or of votes.

    `options` are those of `render`.

    Raises GraphError for another value, ConfigError for an unknown option or layout, RenderError without Graphviz.

    >>> axes = ndg.plot(graph, max_nodes=20)
    >>> axes.axison
    False
    """
    graph = _graph(graph)
    look = _look(**options)
    require("matplotlib", "a plot", "`render` and `svg` need no package")
    from matplotlib import image

    pixels = image.imread(BytesIO(_picture("png", graph, look)), format="png")
    high, wide = pixels.shape[:2]
    axes = axes_of(ax, (wide / PNG_DPI, high / PNG_DPI))
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_axis_off()
    return axes


def _look(**options: Any) -> Look:
    """The look with these options, which are fields of `Look` and of `Style`."""
    styles = [field.name for field in fields(Style)]
    known = [*(field.name for field in fields(Look) if field.name != "style"), *styles]
    if unknown := [name for name in options if name not in known]:
        raise ConfigError(
            f"a picture has the options {', '.join(known)}; got {unknown[0]!r}; {nearest(unknown[0], known)}"
        )
    style = Style(**{name: options.pop(name) for name in styles if name in options})
    return Look(**options, style=style)


def _graph(graph: NDG | Votes) -> NDG:
    graph = graph_of(graph) if isinstance(graph, Votes) else graph
    check_kind(graph, NDG, "a picture is of an ndg.NDG, or of votes", "mine or load one", GraphError)
    return graph


def look_of(graph: NDG, record: Mapping[str, Any]) -> Look:
    """The look of a graph in the report of a run.

    It has as many nodes as the config says, of a causal graph at most `MOST`.
    """
    limits = (record.get("config") or {}).get("report") or {}
    most = limits.get("max_nodes", Look.max_nodes)
    causal = bool(graph.conjunctions or graph.votes)
    return Look(max_nodes=min(most, MOST) if causal else most, title=record.get("name"))


def png(graph: NDG, look: Look, dpi: int = PNG_DPI) -> bytes:
    """PNG bytes of the picture."""
    return _picture("png", graph, look, dpi)


def svg(graph: NDG, look: Look | None = None) -> str:
    """SVG text of the picture."""
    return _picture("svg", graph, look or Look()).decode("utf-8")


def _picture(form: str, graph: NDG, look: Look, dpi: int = PNG_DPI) -> bytes:
    """Bytes of a picture.

    Without a chosen layout, one of many edges that takes longer than `SLOW` seconds is drawn with straight edges, and
    if that takes longer too, with a third of the nodes, until it does not; the picture says so.
    """
    drawing = look.drawing(graph)
    layout = look.layout or dot.layout_of(drawing)
    if look.layout is not None or look.timeout <= SLOW or len(drawing.ends) <= dot.CROWDED:
        return _laid_out(form, drawing, layout, look.timeout, dpi)
    deadline = time.monotonic() + look.timeout
    try:
        return _laid_out(form, drawing, layout, SLOW, dpi)
    except engine.SlowLayoutError:
        said = f"Drawn with straight edges: the layout took more than {SLOW:g} s."
    while True:
        straight = replace(drawing, left_out=f"{said} {drawing.left_out}")
        try:
            return _laid_out(form, straight, "straight", min(SLOW, max(deadline - time.monotonic(), 0.1)), dpi)
        except engine.SlowLayoutError:
            if look.max_nodes < 2 or time.monotonic() >= deadline:
                raise
            look = replace(look, max_nodes=min(look.max_nodes, len(drawing.nodes)) // 3)
            drawing = look.drawing(graph)


def _laid_out(form: str, drawing: Drawing, layout: str, timeout: float, dpi: int) -> bytes:
    picture = engine.picture(
        dot.source(drawing, layout, dpi=dpi if form == "png" else None),
        form,
        engine=dot.ENGINES[layout],
        timeout=timeout,
        size=f"{len(drawing.nodes):,} nodes and {len(drawing.edges):,} edges",
    )
    if form != "svg":
        return picture
    described = f"<desc>{html(drawing.left_out)}</desc>".encode()  # what a page shows as the caption
    return re.sub(rb"<svg\b[^>]*>", lambda match: match[0] + b"\n" + described, picture, count=1)


def _dot(graph: NDG, look: Look) -> str:
    drawing = look.drawing(graph)
    return dot.source(drawing, look.layout or dot.layout_of(drawing))


def _export(form: str, graph: NDG, look: Look) -> Iterator[bytes] | Iterator[str]:
    """File content of the condensed graph, or its part around the target."""
    if look.scores is not None and not isinstance(look.scores, Mapping):
        graph = graph.with_scores(look.scores)
    if look.class_names is not None:
        graph = graph.with_class_names(look.class_names)
    graph = look.part(graph)
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
