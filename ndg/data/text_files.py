"""Readers of tab-separated, csv and JSON-lines files."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ndg.errors import DataError, nearest

LONGEST = 4 << 20
"""Limit of bytes per line, thirty times the longest function of Devign."""

AGAIN = "copy the file again"
DELIMITERS = ",;\t|"
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Encodings other than UTF-8 by the mark that begins a file; that of UTF-32 begins with that of UTF-16."""


@dataclass(frozen=True, slots=True)
class Row:
    """Fields of one row by name, with its file and line."""

    path: Path
    line: int
    fields: dict[str, Any]

    @property
    def where(self) -> str:
        return place(self.path, self.line)

    def text(self, name: str) -> str:
        """Text of a field.

        DataError if it is no text, is empty, or has an unpaired surrogate.
        """
        value = self.fields[name]
        if not isinstance(value, str) or not value.strip():
            got = "an empty one" if isinstance(value, str) else type(value).__name__
            raise DataError(f"{self.where} must have a text as {name!r}; got {got}; correct or leave out that row")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise DataError(f"{self.where} must have Unicode text as {name!r}; {error}; {AGAIN}") from error
        return value

    def label(self, name: str, classes: dict[str, int]) -> int:
        """Class of a field; DataError for an unknown label."""
        value = str(self.fields[name])
        if value not in classes:
            raise DataError(
                f"{self.where} must have a class as {name!r}; got {value[:80]!r}; {nearest(value[:80], classes)}; "
                "correct that row, or set data.name to the data set that the file belongs to"
            )
        return classes[value]


def place(path: Path, line: int) -> str:
    """A file and a line number, from 1."""
    return f"{path}, line {line:,}"


def lines(path: Path) -> Iterator[str]:
    """Lines of a text file, plain or `.gz`, without a byte order mark.

    DataError for damage and overlong lines.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" or _is_gzip(path) else path.open("rb") as file:
            while raw := file.readline(LONGEST + 1):
                number += 1
                if number == 1 and b"\r" in raw.rstrip(b"\r\n") and not raw.endswith(b"\n"):
                    raise DataError(
                        f"lines must end in LF or CR LF; {path} has CR alone, as old files of a Mac; convert it, "
                        f"perhaps by tr '\\r' '\\n'"
                    )
                if len(raw) > LONGEST:
                    raise DataError(_too_long(path, number, "bytes"))
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                if number == 1 and "\0" in text:
                    raise DataError(
                        f"{place(path, number)} must be UTF-8 text; it has zero bytes, as UTF-16 has; convert the "
                        "file, perhaps by iconv -f UTF-16LE -t UTF-8"
                    )
                yield text.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        encoding = next((name for mark, name in MARKS.items() if error.object.startswith(mark)), "WINDOWS-1252")
        raise DataError(
            f"{place(path, number)} must be UTF-8; {error.reason} at byte {error.start}; convert the file to UTF-8, "
            f"perhaps by iconv -f {encoding} -t UTF-8"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a whole text file, plain or gzip as its name says; {error}; {AGAIN}"
        ) from error


def _is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip files do, and as no text in UTF-8."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _too_long(path: Path, number: int, unit: str, where: str = "") -> str:
    return (
        f"{place(path, number)} must have at most {LONGEST:,} {unit}; got more{where}; shorten its texts, close "
        "its quotes, or leave it out"
    )


def _filled(path: Path, blank: str | None = None) -> Iterator[tuple[int, str]]:
    """Numbers and text of lines that have more than white space, or than the signs in `blank`."""
    return ((number, line) for number, line in enumerate(lines(path), 1) if line.strip(blank))


def tabbed(path: Path, names: Sequence[str], header: bool = True) -> Iterator[Row]:
    """Rows of a tab-separated file with columns `names`."""
    for number, line in _filled(path, " "):  # a line of tabs has empty fields
        fields = line.split("\t")
        if header:
            header = False
            if fields != list(names):
                raise DataError(f"{path} must begin with the header {_shown(names)}; got {_shown(fields)}; {AGAIN}")
        elif len(fields) != len(names):
            raise DataError(
                f"{place(path, number)} must have {len(names)} columns with tabs between ({_shown(names)}); "
                f"got {len(fields)}; {AGAIN}"
            )
        else:
            yield Row(path, number, dict(zip(names, fields, strict=True)))


def objects(path: Path, names: Sequence[str]) -> Iterator[Row]:
    """Rows of a JSON-lines file with at least the fields `names`."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) < len(pairs):
            keys = [key for key, _ in pairs]
            if twice := [name for name in names if keys.count(name) > 1]:
                raise ValueError(f"its field {twice[0]!r} comes twice")
        return document

    for number, line in _filled(path):
        try:
            document = json.loads(line, object_pairs_hook=once)
        except (ValueError, RecursionError) as error:
            if "integer string conversion" in str(error):
                raise DataError(
                    f"{place(path, number)} must have numbers of at most {sys.get_int_max_str_digits():,} digits; got "
                    "a longer one; write it as text or leave that row out"
                ) from error
            raise DataError(f"{place(path, number)} must be one JSON object; {error}; {AGAIN}") from error
        if not isinstance(document, dict) or not document.keys() >= set(names):
            got = _shown(document) if isinstance(document, dict) else type(document).__name__
            raise DataError(
                f"{place(path, number)} must be a JSON object with the fields {_shown(names)}; got {got}; "
                "set data.name to the data set that the file belongs to, or copy it again"
            )
        yield Row(path, number, {name: document[name] for name in names})


def separated(path: Path, names: Sequence[str]) -> Iterator[Row]:
    """Rows of a csv or `.tsv` file whose header contains `names`, without blank lines."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    text_lines = (line + "\n" for line in lines(path))
    above = 0  # blank lines before the header
    while (first := next(text_lines, "")) and not first.strip():
        above += 1
    usual = "\t" if ".tsv" in path.suffixes[-2:] else ","
    delimiter = next((sign for sign in usual + DELIMITERS if set(names) <= set(_cells(first, sign))), usual)
    reader = csv.reader(chain([first], text_lines), delimiter=delimiter, strict=True)
    start = above + 1
    try:
        header = next(reader, [])
        for name in names:
            if header.count(name) != 1:
                raise DataError(
                    f"{path} must begin with a header that has the column {name!r} once; got {_shown(header)}; "
                    f"{nearest(name, header)}; set data.columns"
                )
        start = above + reader.line_num + 1
        for fields in reader:
            if (len(fields) > 1 and len(fields) != len(header)) or (len(fields) == 1 and fields[0].strip()):
                raise DataError(
                    f"{place(path, start)} must have {len(header)} columns, as the header "
                    f"({_shown(header)}); got {len(fields)}; put quotes around a text with {delimiter!r} in it"
                )
            if len(fields) > 1:
                values = dict(zip(header, fields, strict=True))
                yield Row(path, start, {name: values[name] for name in names})
            start = above + reader.line_num + 1
    except csv.Error as error:
        if "field larger than field limit" in str(error):
            raise DataError(_too_long(path, start, "characters", f" by line {above + reader.line_num:,}")) from error
        end = f" in line {above + reader.line_num:,}" if above + reader.line_num > start else ""
        raise DataError(
            f"{place(path, start)} must be a row of a csv file; {error}{end}; correct it: close its quotes, and double "
            "those inside a text"
        ) from error


def _cells(header: str, delimiter: str) -> list[str]:
    """Cells of a header.

    None if it is no line of csv.
    """
    try:
        return next(csv.reader([header], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def unique(rows: Iterator[Row], name: str) -> Iterator[Row]:
    """The same rows; DataError if two have the same field `name`."""
    seen: dict[Any, int] = {}
    for row in rows:
        key = str(row.fields[name])
        if key in seen:
            raise DataError(
                f"{row.where} must have its own {name}; got {key[:80]!r}, as line {seen[key]:,} has; {AGAIN}"
            )
        seen[key] = row.line
        yield row


def _shown(names: Any) -> str:
    """Names with commas, truncated if too long."""
    text = ", ".join(map(str, names)) or "nothing"
    return text if len(text) <= 200 else text[:200] + "..."
