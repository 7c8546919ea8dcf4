"""Report of a run as Markdown."""

from __future__ import annotations

from ndg.escape import one_line
from ndg.report import findings
from ndg.report.answers import answers
from ndg.report.cautions import cautions
from ndg.report.html import Report, contents, provenance


def text(report: Report) -> str:
    """Markdown of a report: verdict, figures, tables, sentences, cautions, origin."""
    record, parts = report.record, [f"# {one_line(report.title)}"]

    def section(title: str, *blocks: str) -> None:
        full = [block for block in blocks if block]
        parts.extend([f"## {title}", *full] if full else [])

    says = (f"- **{each.question}** {each.sign}. {one_line(each.sentence)}" for each in answers(record))
    cards = (
        f"- {name}: {value}" + (f" ({one_line(remark)})" if remark else "")
        for name, value, remark in findings.headline(record)
    )
    section("The verdict", "\n".join(says), "\n".join(cards))
    for _, title, tables in contents(report):
        section(title, *(f"### {one_line(table.title)}\n\n{table.markdown()}" for table in tables))
    section("The graph in sentences", _code(report.rules))
    section("In words", *(one_line(sentence) for sentence in [*findings.says(record), *report.words]))
    own = "\n".join(f"- {one_line(sentence)}" for sentence in [*cautions(record), *findings.LIMITS])
    section("What to believe", own)
    facts = "\n".join(f"- {name}: {one_line(value)}" for name, value in provenance(record).items())
    section("How to reproduce it", _code(str(record.get("command") or "")), _code(report.config), facts)
    return "\n\n".join(parts) + "\n"


def _code(content: str) -> str:
    """An indented block of code."""
    return "\n".join(f"    {line}" for line in content.strip().splitlines())
