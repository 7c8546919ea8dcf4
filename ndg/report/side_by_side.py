"""Reports of several runs side by side, as one page or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ndg.escape import html as escape
from ndg.escape import one_line
from ndg.report import findings
from ndg.report.answers import Answer, by_question
from ndg.report.cautions import cautions
from ndg.report.html import Report, document, reproduce
from ndg.report.tables import Column, Table


def page(title: str, reports: Sequence[Report]) -> str:
    """HTML text: answers by question and run, figures, cautions, origins."""
    names = names_of(reports)
    heads = "".join(f"<th class=left>{escape(name)}</th>" for name in names)
    rows = "".join(
        f"<tr><th class=left>{escape(question)}</th>{''.join(cells)}</tr>" for question, cells in _answers(reports)
    )
    verdict = f"<table class=sides><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    believe = "".join(
        f"<h3>{escape(name)}</h3><ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"
        for name, texts in _cautions(reports)
    )
    origins = "".join(
        f"<h3>{escape(name)}</h3>{reproduce(report.record, report.config)}"
        for name, report in zip(names, reports, strict=True)
    )
    parts = {
        "verdict": ("The verdict", f"<div class=scroll>{verdict}</div>" if rows else ""),
        "figures": ("Figures", figures(reports).html()),
        "believe": ("What to believe", believe),
        "config": ("How to reproduce them", origins),
    }
    return document(title, parts)


def markdown(title: str, reports: Sequence[Report]) -> str:
    """Markdown: a table of answers, a table of figures, cautions."""
    names = names_of(reports)
    said = by_question([report.record for report in reports])
    columns = (Column("question", left=True), *(Column(name, left=True) for name in names))
    cells = [(question, *(None if each is None else each.sign for each in row)) for question, row in said.items()]
    lines = [
        f"- **{one_line(name)}**: {question} {one_line(each.sentence)}"
        for question, row in said.items()
        for name, each in zip(names, row, strict=True)
        if each is not None
    ]
    lines += [f"- **{one_line(name)}**: {one_line(text)}" for name, texts in _cautions(reports) for text in texts]
    verdict = Table("The verdict", columns, tuple(cells))
    blocks = [f"# {one_line(title)}", "## The verdict", verdict.markdown(), "## Figures", figures(reports).markdown()]
    return "\n\n".join([*blocks, "## Sentences and cautions", "\n".join(lines)]) + "\n"


def figures(reports: Sequence[Report]) -> Table:
    """Key figures, a row each, with a column per run."""
    rows = [
        {name: value + f" ({remark})" * bool(remark) for name, value, remark in findings.headline(report.record)}
        for report in reports
    ]
    keys = list(dict.fromkeys(name for row in rows for name in row))
    columns = (Column("", left=True), *(Column(name, left=True) for name in names_of(reports)))
    return Table("", columns, tuple((key, *(row.get(key) for row in rows)) for key in keys))


def names_of(reports: Sequence[Report]) -> list[str]:
    """Name and seed of each run, with its number where these are equal."""
    names = []
    for report in reports:
        seed = (report.record.get("seeds") or {}).get("seed")
        names.append(f"{report.record.get('name') or report.title}" + ("" if seed is None else f", seed {seed}"))
    return [
        f"{name} ({names[:place].count(name) + 1})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _cautions(reports: Sequence[Report]) -> list[tuple[str, list[str]]]:
    """Cautions that all runs share, then those of each run alone."""
    each = [cautions(report.record) for report in reports]
    shared = [text for text in each[0] if all(text in texts for texts in each)]
    own = [[text for text in texts if text not in shared] for texts in each]
    named = [("all runs", shared), *zip(names_of(reports), own, strict=True)]
    return [(name, texts) for name, texts in named if texts]


def _answers(reports: Sequence[Report]) -> list[tuple[str, list[str]]]:
    """Cells of each question that some run answers."""
    said = by_question([report.record for report in reports])
    return [(question, [_cell(each) for each in row]) for question, row in said.items()]


def _cell(answer: Answer | None) -> str:
    if answer is None:
        return "<td class=left>–</td>"
    kind = answer.verdict.replace(" ", "-")
    return f'<td class="left {kind}"><b>{answer.sign}</b><br>{escape(answer.sentence)}</td>'
