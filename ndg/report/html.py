"""Report of a run as one self-contained HTML file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from ndg.escape import html as escape
from ndg.graph.ndg import NDG
from ndg.report import findings, importance_tables, sections, trial_sections
from ndg.report.answers import answers, unanswered
from ndg.report.captions import flat
from ndg.report.cautions import cautions
from ndg.report.explorer.page import NAME as EXPLORER
from ndg.report.explorer.page import allowed
from ndg.report.tables import Table
from ndg.stimuli.result import Examples

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
OPEN = 4
"""Literals, and edges, of which examples are shown at once."""
EMBEDDED = 3_000_000
"""Characters of an explorer up to which a report contains it."""
DESCRIPTION = re.compile(r"<desc>(.*?)</desc>", re.DOTALL)
"""What an SVG file says of itself."""


@dataclass(frozen=True)
class Picture:
    """SVG text (from `ndg.report.render.svg`) with a caption."""

    caption: str
    svg: str

    @classmethod
    def of(cls, svg: str) -> Picture:
        """The picture of a graph, with what it says of itself as the caption."""
        match = DESCRIPTION.search(svg)
        return cls(unescape(match[1]) if match else "", svg)


@dataclass(frozen=True)
class Report:
    """Contents of a report about the document of a run.

    `edges` are the rows of `NDG.evaluate` on `split`, `rules` is the graph in words, `config` the resolved YAML,
    `explorer` the file beside the report in which the graph can be explored, `explorer_page` its text, `seen` examples
    of literals and edges, `tables`, `plots` and `words` those of further results, `graph` that of the
    picture of a PDF.
    """

    title: str
    record: Mapping[str, Any]
    pictures: Sequence[Picture] = ()
    edges: Sequence[Mapping[str, Any]] = ()
    split: str = "test"
    rules: str = ""
    config: str = ""
    explorer: str = ""
    explorer_page: str = ""
    seen: Sequence[Examples] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Picture] = ()
    words: Sequence[str] = ()
    graph: NDG | None = None


def page(report: Report) -> str:
    """HTML text of a report."""
    record = report.record
    tables = {name: (title, _tables(members)) for name, title, members in contents(report)}
    parts = {
        "picture": (
            "The picture",
            _what(record) + _explorer(report.explorer, report.explorer_page) + _pictures(report.pictures),
        ),
        "seen": ("What neurons see", _seen(report.seen)),
        "plots": ("Curves and plots", "".join(map(_plot, report.plots))),
        "trial": tables.pop("trial"),
        "curves": ("Alignment curves", _curves(record)),
        **tables,
        "rules": ("The graph in sentences", _folded("the most precise rules", report.rules)),
        "summary": ("In words", _words(report)),
        "believe": ("What to believe", _believe(record)),
        "config": ("How to reproduce it", reproduce(record, report.config)),
    }
    return _document(report.title, record, parts, policy=_policy(report.explorer_page, report.seen))


def contents(report: Report) -> list[tuple[str, str, list[Table]]]:
    """Tables of a report by section: its id and title."""
    record = report.record
    by_edge = [view(report.edges, report.split) for view in (sections.kinds, sections.weakest)]
    parts: list[tuple[str, str, list[Table | None]]] = [
        ("trial", "The trial", [trial_sections.selectivity(record), *sections.trials(record)]),
        ("interchange", "Interchange interventions", [*trial_sections.interchange(record)]),
        ("edges", "Trials of edges", [*trial_sections.edges(record)]),
        ("minimal", "Minimal interventions", [*trial_sections.minimal(record)]),
        ("precision", "Mined and held-out precision", [sections.precision(record), *by_edge]),
        ("figures", "The graph", [sections.figures(record), sections.accuracy(record)]),
        ("scores", "Importance of neurons", [*importance_tables.boards(record), *sections.scores(record)]),
        ("results", "Results", [*report.tables]),
    ]
    return [(name, title, [table for table in tables if table and table.rows]) for name, title, tables in parts]


def study_page(
    title: str,
    record: Mapping[str, Any],
    tables: Sequence[Table],
    words: Sequence[str],
    config: str = "",
    *,
    pictures: Sequence[Picture] = (),
    graphs: Sequence[Picture] = (),
    explorer_page: str = "",
) -> str:
    """HTML text of the page of a study.

    It has sentences, graphs, an explorer, pictures with ids of their own, tables and the config.
    """
    sentences = [line for text in words for line in text.splitlines() if line]
    says = "".join(f"<p class=verdict>{escape(sentence)}</p>" for sentence in sentences)
    parts = {
        "summary": ("In words", says),
        "picture": ("The picture", _explorer(EXPLORER if explorer_page else "", explorer_page) + _pictures(graphs)),
        "pictures": ("Pictures", "".join(map(_plot, pictures))),
        "tables": ("The figures", _tables(tables)),
        "believe": ("What to believe", _believe(record) if graphs or cautions(record) else ""),
        "config": ("How to reproduce it", reproduce(record, config)),
    }
    return _document(title, record, parts, "wide", _policy(explorer_page))


def _document(
    title: str, record: Mapping[str, Any], parts: Mapping[str, tuple[str, str]], kind: str = "", policy: str = POLICY
) -> str:
    """HTML text of the verdict and of each other part of one run."""
    says = "".join(answer.html() for answer in answers(record))
    missing = f"<p class=note>Not measured in this run: {escape(' '.join(unanswered(record)))}</p>"
    said = says and f"<dl class=answers>{says}</dl>" + missing * bool(unanswered(record))
    verdict = ("The verdict", said + facts(record))
    shown = (record.get("name"), record.get("_id"), str(record.get("started") or "")[:10], record.get("status"))
    kicker = " · ".join(str(item) for item in shown if item)
    return document(title, {"verdict": verdict, **parts}, kicker, _footer(record), kind, policy)


def document(
    title: str,
    parts: Mapping[str, tuple[str, str]],
    kicker: str = "",
    footer: str = "",
    kind: str = "wide",
    policy: str = POLICY,
) -> str:
    """HTML text with a section for each non-empty part."""
    parts = {name: part for name, part in parts.items() if part[1]}
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, (title, _) in parts.items())
    body = "".join(
        f'<section id="{name}"><h2>{escape(title)}</h2>{content}</section>' for name, (title, content) in parts.items()
    )
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title><style>{style}</style></head>{f'<body class={kind}>' if kind else '<body>'}"
        f"<header><p class=kicker>{escape(kicker)}</p><h1>{escape(title)}</h1>"
        f"<nav>{links}</nav></header><main>{body}</main>{footer}</body></html>\n"
    )


def facts(record: Mapping[str, Any]) -> str:
    """Key figures as cards."""
    cards = "".join(
        f"<li><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(remark)}</span></li>"
        for name, value, remark in findings.headline(record)
    )
    return f"<ul class=facts>{cards}</ul>" if cards else ""


def _words(report: Report) -> str:
    sentences = [*findings.says(report.record), *report.words]
    return "".join(f"<p class=verdict>{escape(sentence)}</p>" for sentence in sentences)


def _what(record: Mapping[str, Any]) -> str:
    """What a graph is, for a record that has one."""
    return f"<p>{escape(findings.WHAT)}</p>" if sections.results(record, "graph") else ""


def _believe(record: Mapping[str, Any]) -> str:
    """Cautions for this run by fixed rules, then what holds for every run."""
    own, every = (
        "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        for sentences in (cautions(record), findings.LIMITS)
    )
    here = f"<h3>In this run</h3><ul>{own}</ul>" if own else "<p>No rule of caution applies to this run.</p>"
    return f"{here}<h3>Always</h3><ul>{every}</ul>"


def reproduce(record: Mapping[str, Any], config: str) -> str:
    """The command, the commit and the resolved config."""
    command = record.get("command")
    steps = f"<pre>{escape(command)}</pre>" if command else ""
    return steps + _folded("the resolved config; save it to a file to run it again", config)


def _policy(explorer_page: str, seen: Sequence[Examples] = ()) -> str:
    """Content security policy: scripts of an explorer, pictures of examples."""
    if explorer_page:
        return f"{POLICY}; {allowed()}"
    return f"{POLICY}; img-src data:" if seen else POLICY


def _seen(seen: Sequence[Examples]) -> str:
    """Examples of each literal, then exceptions of edges.

    All but the first few are folded.
    """
    parts = []
    for kind, members in (
        ("literals", [each for each in seen if each.top and not each.edge]),
        ("exceptions of implications", [each for each in seen if each.top and each.edge]),
    ):
        shown = [
            f"<figure class=seen><figcaption>{escape(each.of)}</figcaption><div class=scroll>{each.pictures()}</div>"
            f"<p class=note>{escape(each.words())}</p></figure>"
            for each in members
        ]
        rest = "".join(shown[OPEN:])
        more = f"<details><summary>{len(shown) - OPEN} more {kind}</summary>{rest}</details>" if rest else ""
        parts.append(f"<h3>{kind.capitalize()}</h3>{''.join(shown[:OPEN])}{more}" if shown else "")
    return "".join(parts)


def _explorer(file: str, text: str) -> str:
    """Link to the explorer, which is part of the report up to `EMBEDDED` characters."""
    if not file and not text:
        return ""
    link = f'<a href="{escape(file)}">Explore the graph</a>: search' if file else "Search"
    frame = ""
    if 0 < len(text) <= EMBEDDED:
        frame = f'<iframe class=explorer title="Explorer" sandbox="allow-scripts" srcdoc="{escape(text)}"></iframe>'
    return f"<p>{link}, zoom, and light up what follows from a literal.</p>{frame}"


def _pictures(pictures: Sequence[Picture]) -> str:
    """Pictures of which all but the first are folded."""
    shown = []
    for place, picture in enumerate(pictures):
        (svg, width), caption = inline(without(picture.svg, picture.caption), f"p{place}-"), escape(picture.caption)
        above = "" if place else f"<figcaption class=long>{caption}</figcaption>"  # else the summary says it
        figure = (
            f'<figure style="--natural:{width:.0f}pt">{above}'
            f'<input class=zoom type=checkbox id="zoom{place}">'
            f'<label for="zoom{place}">natural size, scroll to explore</label>'
            f'<div class=picture role=img aria-label="{caption}">{svg}</div></figure>'
        )
        shown.append(f"<details><summary>{caption}</summary>{figure}</details>" if place else figure)
    return "".join(shown)


def _plot(picture: Picture) -> str:
    """A figure whose ids are unique already."""
    svg = picture.svg[picture.svg.index("<svg") :]
    return f"<figure><figcaption>{escape(picture.caption)}</figcaption><div class=scroll>{svg}</div></figure>"


def without(svg: str, caption: str) -> str:
    """SVG text without the lines of text that make up a caption, if it contains all of them."""
    rest = " ".join(caption.split())

    def kept(match: re.Match[str]) -> str:
        nonlocal rest
        line = " ".join(unescape(match[1]).split())
        if not line or not rest.startswith(line):
            return match[0]
        rest = rest[len(line) :].lstrip()
        return ""

    text = re.sub(r"<text\b[^>]*>([^<]*)</text>\n?", kept, svg)
    return svg if rest else text


def inline(svg: str, prefix: str) -> tuple[str, float]:
    """SVG text as an HTML element with prefixed ids, and its width in points."""
    text = re.sub(r"<!--.*?-->", "", DESCRIPTION.sub("", svg[svg.index("<svg") :]), flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    head, content = text.split(">", 1)
    match = re.search(r'\bwidth="([\d.]+)pt"', head)
    width = float(match.group(1)) if match else 800.0
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return f'{head} style="max-width:{width:.0f}pt">{content.strip()}', width


def _curves(record: Mapping[str, Any]) -> str:
    return "".join(
        f"<figure><figcaption>{escape(chart.title)}</figcaption><div class=scroll>{drawn}</div></figure>{table.html()}"
        for chart, table in trial_sections.curves(record)
        if (drawn := chart.svg())
    )


def _tables(tables: Sequence[Table]) -> str:
    return "".join(table.html() for table in tables if table.rows)


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>" if text.strip() else ""


def provenance(record: Mapping[str, Any]) -> dict[str, str]:
    """Origin of a run: id, digests, commit, seeds, versions, machine, command."""
    commit = record.get("commit")
    facts = {
        "run": record.get("_id"),
        "of training run": record.get("parent"),
        "config digest": record.get("digest"),
        "graph": sections.results(record, "graph").get("digest"),
        "seeds": _pairs(record.get("seeds")),
        "commit": None if commit is None else str(commit) + (" with changes" if record.get("dirty") else ""),
        "versions": _pairs(record.get("versions")),
        "machine": " · ".join(str(record[key]) for key in ("host", "device") if record.get(key)),
        "command": record.get("command"),
        "time": " to ".join(str(record[key]) for key in ("started", "ended") if record.get(key)),
        "data": sections.results(record, "data").get("source"),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _footer(record: Mapping[str, Any]) -> str:
    present = provenance(record)
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in present.items())
    return f"<footer><dl>{rows}</dl></footer>"


def _pairs(facts: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{key} {value}" for key, value in flat(facts or {}).items() if value is not None)
