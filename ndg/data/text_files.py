"""Readers of tab-separated, csv and JSON-lines files."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndg.errors import DataError, nearest

LONGEST = 4 << 20
"""Limit of bytes per line, thirty times the longest function of Devign."""

AGAIN = "copy the file again"


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
        """Text of a field; DataError if it is no text, is empty, or has an unpaired surrogate."""
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
    """Lines of a text file, plain or `.gz`; DataError for damage and overlong lines."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while raw := file.readline(LONGEST + 1):
                number += 1
                if len(raw) > LONGEST:
                    raise DataError(f"{place(path, number)} must have at most {LONGEST:,} bytes; got more; {AGAIN}")
                yield raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place(path, number)} must be UTF-8; {error.reason} at byte {error.start}; convert the file to UTF-8"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a whole text file, plain or gzip as its name says; {error}; {AGAIN}"
        ) from error


def tabbed(path: Path, names: Sequence[str], header: bool = True) -> Iterator[Row]:
    """Rows of a tab-separated file with columns `names`."""
    for number, line in enumerate(lines(path), 1):
        fields = line.split("\t")
        if header and number == 1:
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
    for number, line in enumerate(lines(path), 1):
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place(path, number)} must be one JSON object; {error}; {AGAIN}") from error
        if not isinstance(document, dict) or not document.keys() >= set(names):
            got = _shown(document) if isinstance(document, dict) else type(document).__name__
            raise DataError(
                f"{place(path, number)} must be a JSON object with the fields {_shown(names)}; got {got}; "
                "set data.name to the data set that the file belongs to, or copy it again"
            )
        yield Row(path, number, {name: document[name] for name in names})


def separated(path: Path, names: Sequence[str]) -> Iterator[Row]:
    """Non-empty rows of a csv or `.tsv` file whose header contains `names`."""
    delimiter = "\t" if path.suffix == ".tsv" else ","
    text_lines = (line.removeprefix("\ufeff") + "\n" for line in lines(path))  # byte order mark
    reader = csv.reader(text_lines, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        for name in names:
            if header.count(name) != 1:
                raise DataError(
                    f"{path} must begin with a header that has the column {name!r} once; got {_shown(header)}; "
                    f"{nearest(name, header)}; set data.columns"
                )
        for fields in reader:
            if len(fields) not in (0, len(header)):
                raise DataError(
                    f"{place(path, reader.line_num)} must have {len(header)} columns, as the header "
                    f"({_shown(header)}); got {len(fields)}; put quotes around a text with {delimiter!r} in it"
                )
            if fields:
                values = dict(zip(header, fields, strict=True))
                yield Row(path, reader.line_num, {name: values[name] for name in names})
    except csv.Error as error:
        raise DataError(f"{place(path, reader.line_num)} must be a row of a csv file; {error}; correct it") from error


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
