"""Views of runs: lists, and one run as text or HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Any

from ndg import terminal
from ndg.errors import UserError, nearest
from ndg.escape import html as escape
from ndg.escape import one_line
from ndg.runs.plain import shown_path
from ndg.runs.record import RunRecord, span

VALIDATION = "results.train.validation_accuracy"
TEST = "results.train.test_accuracy"
OWN = "results.accuracy.{}.rate"  # what an align run measured itself
ALIGNED = "results.trial.q.test.aligned"

CHIEF = ("kind", "name", "status", "error", "parent", "started", "ended", "tags", "notes", "folder")
"""Facts on the first screen."""
LINES = 30
"""Lines of a section that a notebook shows."""
LONGEST = 60
"""Characters of a value on a screen."""
SCREEN = 40
"""Lines of a screen in a file or a pipe."""
HEADINGS = ("id", "kind", "name", "status", "age", "validation", "test", "aligned")


@dataclass(frozen=True)
class Row:
    """One run in a list.

    Figures are in [0, 1], or None.
    """

    id: str
    kind: str
    name: str
    status: str
    age: str
    validation: float | None
    test: float | None
    aligned: float | None

    def cells(self) -> tuple[str, ...]:
        """Texts of the row under `HEADINGS`."""
        values = ("–" if value is None else value for value in astuple(self))
        return tuple(f"{value:.4f}" if isinstance(value, float) else value for value in values)


def rows(records: Iterable[RunRecord], now: datetime | None = None) -> list[Row]:
    """A row per record, with the accuracies of a listed train run."""
    now, records = now or datetime.now(UTC), list(records)
    known = {record.id: record for record in records}
    return [_row(record, known.get(record.get("parent") or "", record), now) for record in records]


def cells(records: Iterable[RunRecord], now: datetime | None = None) -> list[tuple[str, ...]]:
    """`HEADINGS`, and the texts of a row per record."""
    return [HEADINGS, *(row.cells() for row in rows(records, now))]


def table(records: Iterable[RunRecord], now: datetime | None = None, width: int | None = None) -> str:
    """The rows as an aligned text with headings.

    Where that is wider than `width`, runs are named by the ends of their ids, which tell kind and name.
    """
    heads, *lines = cells(records, now)
    if not lines:
        return "no runs"
    whole = terminal.table([heads, *lines])
    if width is None or max(map(len, whole.splitlines())) <= width:
        return whole
    short = [(id.split("-", 2)[-1], *others) for id, _, _, *others in lines]
    return terminal.table([("run", *HEADINGS[3:]), *short], width=width)


def text(record: RunRecord, now: datetime | None = None, width: int | None = None) -> str:
    """One run as text: facts, results, metrics, artefacts, config."""
    inside = None if width is None else width - 2
    blocks = [(record.id, _facts(record, now, inside)), *_sections(record, inside)]
    return "\n\n".join("\n  ".join([title, *lines]) for title, lines in blocks)


def screen(
    record: RunRecord, figures: str, columns: int | None = None, lines: int = SCREEN, now: datetime | None = None
) -> str:
    """The chief facts and `figures` of a run, on one screen; without figures the first results.

    The last line says how many lines `--all` has.
    """
    facts = _facts(record, now, columns, CHIEF)
    if not figures:
        leaves = [(path, cut(_value(value))) for path, value in flatten(record.get("results") or {})]
        figures = "\n".join(_columns(leaves[:lines], columns))
    shown = [record.id, *facts, "", *figures.splitlines()][: lines - 3]
    rest = len(text(record, now, columns).splitlines())
    return "\n".join([*shown, "", f"{rest} lines in all: ndg show {record.id.split('-', 2)[-1]} --all"])


def leaves(record: RunRecord, path: str, width: int | None = None) -> str:
    """A line per value below a path of a run.

    Raises UserError for a path that it does not have.
    """
    value = record.load(path)
    if value is None:
        paths = [name for name, _ in flatten({"config": record["config"], "results": record["results"]})]
        raise UserError(f"run {record.id} has no {path!r}; {nearest(path, paths)}")
    lines = list(flatten(value, path)) if isinstance(value, dict) else [(path, value)]
    return "\n".join(_columns([(name, _value(leaf)) for name, leaf in lines], width)) or f"{path} is empty"


def html(record: RunRecord) -> str:
    """One run as HTML for a notebook."""
    parts = [f"<b>{escape(record.id)}</b>", _html_lines(_facts(record))]
    for title, lines in _sections(record):
        state = " open" if title == "results" else ""
        more = [f"… {len(lines) - LINES} more"] if len(lines) > LINES else []
        parts.append(f"<details{state}><summary>{title}</summary>{_html_lines([*lines[:LINES], *more])}</details>")
    return "".join(parts)


def html_table(records: Iterable[RunRecord], now: datetime | None = None) -> str:
    """A list of runs as HTML for a notebook."""
    head = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
    cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row.cells()) for row in rows(records, now))
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def flatten(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every leaf; lists are leaves."""
    for key, item in value.items():
        path = shown_path(f"{prefix}.{key}" if prefix else str(key))
        if isinstance(item, dict) and item:
            yield from flatten(item, path)
        else:
            yield path, item


def differences(records: Sequence[RunRecord], section: str) -> Iterator[list[Any]]:
    """Path and values of the fields of a section in which the runs differ.

    None where a run lacks one.
    """
    leaves = [dict(flatten(record.get(section) or {}, section)) for record in records]
    for path in dict.fromkeys(path for of_run in leaves for path in of_run):
        values = [of_run.get(path) for of_run in leaves]
        if any(type(value) is not type(values[0]) or value != values[0] for value in values):
            yield [path, *values]


def _row(record: RunRecord, trained: RunRecord, now: datetime) -> Row:
    age = span(max(0.0, (now - datetime.fromisoformat(record["started"])).total_seconds()))

    def accuracy(path: str, split: str) -> float | None:
        value = trained.figure(path)
        return _fraction(record.figure(OWN.format(split)) if value is None else value)

    figures = (accuracy(VALIDATION, "validation"), accuracy(TEST, "test"), _fraction(record.figure(ALIGNED)))
    return Row(record.id, record["kind"], record["name"], record.state(now), age, *figures)


def _facts(
    record: RunRecord, now: datetime | None = None, width: int | None = None, names: Sequence[str] = ()
) -> list[str]:
    """Lines of name and value, of these names or of all."""
    ended, attempts, time = record.get("ended"), record.get("attempts", []), datetime.fromisoformat
    ends = [time(attempt.get("ended") or record["heartbeat"]) for attempt in attempts]
    lasted = sum((end - time(attempt["started"])).total_seconds() for end, attempt in zip(ends, attempts, strict=True))
    commit = record.get("commit")
    pairs = [
        ("kind", record["kind"]),
        ("name", record["name"]),
        ("status", record.state(now)),
        ("error", record.get("error")),
        ("parent", record.get("parent")),
        ("started", record["started"]),
        ("ended", ended and f"{ended} (worked {span(lasted)})"),
        ("attempts", len(attempts) if len(attempts) > 1 else None),
        ("tags", ", ".join(record.get("tags", []))),
        ("notes", record.get("notes")),
        ("folder", record.get("folder")),
        ("command", record.get("command")),
        ("host", f"{record.get('host')}, {record.get('device') or 'device not said'}"),
        ("commit", commit and commit + (" with changes" if record.get("dirty") else "")),
        ("digest", f"{record['digest']}, of the training {record['training_digest']}"),
        ("seeds", ", ".join(f"{name} {seed}" for name, seed in record["seeds"].items())),
        ("versions", ", ".join(f"{name} {number}" for name, number in record["versions"].items() if number)),
    ]
    return _columns([(name, str(value)) for name, value in pairs if value and (not names or name in names)], width)


def _sections(record: RunRecord, width: int | None = None) -> Iterator[tuple[str, list[str]]]:
    if record.get("results"):
        yield "results", _columns([(path, _value(value)) for path, value in flatten(record["results"])], width)
    if record.get("metrics"):
        yield f"metrics ({len(record['metrics'])} rows)", _metrics(record["metrics"], width)
    if record.get("artefacts"):
        files = [(a["name"], _bytes(a["bytes"]), f"sha256 {a['sha256'][:16]}…", a["path"]) for a in record["artefacts"]]
        yield "artefacts", _columns(files, width)
    if record.get("nonfinite"):
        yield "not finite, stored as null", list(map(shown_path, record["nonfinite"]))
    config = flatten(record.get("config", {}))
    yield "config", _columns([(path, _value(value)) for path, value in config], width)


def _metrics(metrics: Sequence[dict[str, Any]], width: int | None, ends: int = 5) -> list[str]:
    """The rows as a table, without the middle of a long one."""
    names = list(dict.fromkeys(name for row in metrics for name in row))
    heads = list(map(shown_path, names))
    rows = [[_value(row.get(name)) for name in names] for row in metrics]
    left_out = len(rows) - 2 * ends
    if left_out < 2:
        return _columns([heads, *rows], width)
    if width is not None:
        return _columns([heads, *rows[:ends], ["…"] * len(names), *rows[-ends:]], width)
    lines = _columns([heads, *rows])
    return [*lines[: ends + 1], f"… {left_out} more …", *lines[-ends:]]


def _columns(lines: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    return terminal.table([tuple(map(one_line, line)) for line in lines], width=width).split("\n") if lines else []


def _fraction(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def cut(text: str) -> str:
    """The text, or its first `LONGEST` characters."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "null"
    if isinstance(value, list):
        shown = ", ".join(_value(item) for item in value[:20])
        return f"[{shown}{f', … {len(value) - 20} more' if len(value) > 20 else ''}]"
    return str(value)


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _html_lines(lines: Iterable[str]) -> str:
    return f"<pre>{escape(chr(10).join(lines))}</pre>"
