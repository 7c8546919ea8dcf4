"""Report of a run as PDF, drawn by matplotlib: text pages, then pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ndg.escape import one_line
from ndg.extras import require
from ndg.report import findings
from ndg.report.answers import NO, OPEN, PARTLY, YES, answers, by_question
from ndg.report.cautions import cautions
from ndg.report.html import Report, contents, provenance
from ndg.report.render import PNG_DPI, look_of, png
from ndg.report.side_by_side import figures, names_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES = (8.27, 11.69)
"""An A4 page."""
DPI = 2 * PNG_DPI
"""Pixels in an inch of a picture."""
MARGIN, TOP = 0.08, 0.945
INSIDE = 0.92
"""Share of a page's sides that a picture fills."""
SIZES = {"title": 17.0, "head": 12.5, "text": 9.0, "small": 6.4}
"""Font sizes in points."""
COLOURS = {YES: "#1b7a43", NO: "#b3361d", PARTLY: "#8a5a00", OPEN: "#4a5563"}
INK = "#1c2430"

Line = tuple[str, str, str, str]
"""Style, font family, colour and text of a line."""


def content(title: str, reports: Sequence[Report]) -> bytes:
    """PDF of reports: pages of text, then the picture of each graph.

    Before several reports come pages that compare them.
    """
    require("matplotlib", "a report as PDF", "write .html or .md without it")
    from matplotlib.backends.backend_pdf import PdfPages

    buffer = BytesIO()
    facts = {"Title": title, "Creator": "ndg", "CreationDate": None, "ModDate": None}
    with PdfPages(buffer, metadata=facts) as pages:
        for figure in _text_pages(list(_beside(title, reports))) if len(reports) > 1 else ():
            pages.savefig(figure)
        for report in reports:
            for figure in _text_pages(list(_lines(report))):
                pages.savefig(figure)
            if report.graph is not None:
                image = png(report.graph, look_of(report.graph, report.record), DPI)
                pages.savefig(_image_page(image), dpi=DPI)
    return buffer.getvalue()


def _beside(title: str, reports: Sequence[Report]) -> Iterator[Line]:
    """Answers of several reports by question, and their figures in a table."""
    yield from _wrapped("title", title, 60)
    names = names_of(reports)
    for question, row in by_question([report.record for report in reports]).items():
        yield from _head(question)
        for name, answer in zip(names, row, strict=True):
            if answer is not None:
                sentence = f"{name}: {answer.sign}: {answer.sentence}"
                yield from _wrapped("text", sentence, 105, "    ", COLOURS[answer.verdict])
    yield from _head("Figures")
    for line in figures(reports).text(width=135, fit=True).splitlines():
        yield "small", "DejaVu Sans Mono", INK, line


def _lines(report: Report) -> Iterator[Line]:
    """Lines of the report, wrapped to the page."""
    record = report.record
    yield from _wrapped("title", report.title, 60)
    yield _blank()
    for answer in answers(record):
        yield from _wrapped("text", f"{answer.question}", 105, colour=INK)
        sentence = f"{answer.sign}: {answer.sentence}"
        yield from _wrapped("text", sentence, 105, "    ", COLOURS[answer.verdict])
    yield _blank()
    for name, value, remark in findings.headline(record):
        yield from _wrapped("text", f"{name}: {value}" + (f" ({remark})" if remark else ""), 105, "    ")
    for _, title, tables in contents(report):
        if tables:
            yield from _head(title)
        for table in tables:
            for line in table.text(width=135, fit=True).splitlines():
                yield "small", "DejaVu Sans Mono", INK, line
            yield _blank()
    for title, sentences in (
        ("In words", [*findings.says(record), *report.words]),
        ("What to believe", [*cautions(record), *findings.LIMITS]),
    ):
        if sentences:
            yield from _head(title)
        for sentence in sentences:
            yield from _wrapped("text", f"· {sentence}", 105)
    yield from _head("How to reproduce it")
    for name, value in {"command": str(record.get("command") or "–"), **provenance(record)}.items():
        yield from _wrapped("small", f"{name}: {value}", 150)


def _head(title: str) -> Iterator[Line]:
    yield _blank()
    yield "head", "DejaVu Sans", INK, title


def _blank() -> Line:
    return "text", "DejaVu Sans", INK, ""


def _wrapped(style: str, text: str, width: int, indent: str = "", colour: str = INK) -> Iterator[Line]:
    for line in textwrap.wrap(one_line(text), width, initial_indent=indent, subsequent_indent=indent) or [""]:
        yield style, "DejaVu Sans", colour, line


def _text_pages(lines: list[Line]) -> Iterator[Figure]:
    """Pages of lines; a heading is not the last line of a page."""
    page, height = _page(), TOP
    for style, family, colour, text in lines:
        step = 1.45 * SIZES[style] / 72 / INCHES[1]
        needed = step + (0.05 if style == "head" else 0)
        if height - needed < 0.05:
            yield page
            page, height = _page(), TOP
        height -= step
        if text:
            weight = "bold" if style in ("title", "head") else "normal"
            how: dict[str, Any] = {"fontsize": SIZES[style], "family": family, "weight": weight, "color": colour}
            page.text(MARGIN, height, text, parse_math=False, **how)
    yield page


def _image_page(image: bytes) -> Figure:
    """A page with a PNG in its natural size: an A4 page, turned if the picture is wide, or a larger one."""
    from matplotlib.image import imread

    pixels = imread(BytesIO(image), format="png")[..., :3]  # the background is opaque
    high, wide = pixels.shape[:2]
    page = _page(wide=wide > high)
    room = page.get_size_inches() * INSIDE * DPI
    page.set_size_inches(*(page.get_size_inches() * max(1.0, wide / room[0], high / room[1])))
    axes = page.add_axes(((1 - INSIDE) / 2, (1 - INSIDE) / 2, INSIDE, INSIDE))
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_axis_off()
    return page


def _page(wide: bool = False) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=INCHES[::-1] if wide else INCHES)
