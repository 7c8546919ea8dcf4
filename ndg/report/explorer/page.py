"""Explorer as one HTML file that asks no other host for anything."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ndg import atomic
from ndg.errors import GraphError, check_kind
from ndg.escape import html as escape
from ndg.escape import printable
from ndg.graph.ndg import NDG
from ndg.importance.scores import Scores
from ndg.paths import file_of
from ndg.report.explorer.table import Explorer, tabulate
from ndg.stimuli.result import Examples

HERE = Path(__file__).parent
NAME = "explorer.html"
"""File of an explorer in a folder."""


def explore(
    graph: NDG,
    path: str | os.PathLike[str],
    *,
    scores: Scores | Sequence[Scores] | None = None,
    title: str | None = None,
    examples: Examples | Iterable[Examples] = (),
) -> Path:
    """Write the explorer of a graph: one HTML file that works offline.

    Return its path, which is `explorer.html` in a folder.

    Pan, zoom and search; a click on a literal lights up what follows from it (`NDG.closure`), what implies it and what
    contradicts it. Sliders and boxes leave out edges and literals by precision, score, verdict and layer. `scores`
    (default: those of the graph) are bars on the literals; `examples` (of `ndg.examples`) show what they see.

    Raises GraphError for a graph without literals, ConfigError for a title that is no text.

    >>> ndg.explore(graph, "graph.html").read_text()[:15]
    '<!DOCTYPE html>'
    """
    check_kind(graph, NDG, "an explorer shows a graph", "pass the result of ndg.mine or ndg.NDG.load", GraphError)
    if title is not None:
        check_kind(title, str, "a title is text", "leave it out for none")
    rule = "examples= are results of ndg.examples"
    check_kind(examples, Iterable, rule, "leave them out for none", GraphError)
    several = [examples] if isinstance(examples, Examples) else list(examples)
    for each in several:
        check_kind(each, Examples, rule, "leave them out for none", GraphError)
    target = file_of(path, NAME, "the file of an explorer")
    atomic.write(target, page(tabulate(graph, scores=scores, title=title, examples=several)))
    return target


def page(explorer: Explorer) -> str:
    """HTML text of an explorer."""
    style, script = (HERE.joinpath(f"explorer.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    policy = f"default-src 'none'; style-src 'unsafe-inline'; {allowed()}"
    title = escape(explorer.title)
    left_out = f"<p>{escape(explorer.left_out)}</p>" if explorer.left_out else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{title}</title><style>{style}</style></head><body>"
        f"<header><h1>{title}</h1><p>{escape(explorer.subtitle)}</p>{left_out}</header>"
        f"<search>{FIND}</search><main>{MAIN}</main>"
        f"<aside>{SIDE}<p class=note>{escape(explorer.provenance)}</p></aside>"
        f'<script type="application/json" id="data">{_json(explorer)}</script><script>{script}</script></body></html>\n'
    )


def allowed() -> str:
    """Content security policy that lets the explorer's script run, and shows its thumbnails."""
    script = HERE.joinpath("explorer.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"script-src 'sha256-{digest}'; img-src data:"


def _json(explorer: Explorer) -> str:
    """JSON that no HTML parser ends early, with visible control characters."""
    columns = explorer.to_dict()
    text = json.dumps(_visible(columns), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _visible(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {name: _visible(part) for name, part in value.items()}
    return [_visible(part) for part in value] if isinstance(value, list | tuple) else value


FIND = (
    '<label for="search">Search for a unit, label or class name (press /)</label>'
    '<input type="search" id="search" role="combobox" aria-controls="results" aria-expanded="false" autocomplete="off">'
    '<ul id="results" role="listbox" aria-label="Results"></ul>'
    '<p id="status" role="status"></p>'
    '<p class=note><span class=pair><span class="key follows">▸</span>follows from it</span> '
    '<span class=pair><span class="key implies">◂</span>implies it</span> '
    '<span class=pair><span class="key contradicts">✕</span>contradicts it.</span> Filled: on; hollow (¬): off. '
    "+2: with two more equivalent literals. Bar: score.</p>"
)
SIDE = '<div id="controls"></div><div id="details"></div>'
MAIN = (
    '<canvas id="graph" tabindex="0" role="img" aria-label="The graph. Arrow keys move it, + and - zoom, 0 shows all '
    'of it. The search field and the lists beside it reach every literal."></canvas>'
    '<div class="tools"><button id="closer" aria-label="Zoom in">+</button><button id="farther" aria-label="Zoom out">−'
    '</button><button id="whole">Show all</button><button id="clear">Clear</button></div>'
    '<div id="card" role="tooltip" hidden></div>'
)
