"""The embedded store: one SQLite file with the parts of documents.

    runs    number, id
    parts   path, run (a number), text: the JSON of a part, see `ndg.runs.parts`

Rows of `parts` lie in the order of their paths, so that a query reads the few kilobytes of the parts that it names, of
all runs, one after the other. Reading opens the file read-only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ndg.errors import StoreError
from ndg.runs import earlier_file, parts
from ndg.runs.selection import Selection

VERSION: Final = 3
"""Of the layout; files of neosqlite have 0."""
BUSY: Final = 30.0
"""Seconds that a writer waits for another process to finish writing to the same file."""

PAGE: Final = 16_384
"""Bytes of a page, which holds a part inside."""

LAYOUT: Final = f"""
CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE parts (path TEXT NOT NULL, run INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (path, run))
    WITHOUT ROWID;
CREATE INDEX parts_of_run ON parts (run);
PRAGMA user_version = {VERSION};
"""


class EmbeddedLink:
    """An open file. Reads and writes each use their own connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

    def find(self, selection: Selection) -> list[dict[str, Any]]:
        reader = self._read_only()
        if reader is None:
            return []
        version = _version(reader)
        if version == 0:
            return selection.among(earlier_file.documents(reader))
        ids = dict(reader.execute("SELECT number, id FROM runs"))
        if (id := selection.id) is not None:
            ids = {number: name for number, name in ids.items() if name == id}
        chosen = list(ids)
        if selection.names:
            exact, _ = parts.needed(selection.names, whole=False)
            documents = _assembled(ids, _named(reader, exact) if id is None else _of_runs(reader, ids))
            chosen = selection.choose(documents)
        chosen = chosen[: selection.limit]
        wanted = {number: ids[number] for number in chosen}
        if 1 in selection.fields.values() and id is None:
            whole = _assembled(wanted, _kept(reader, selection.fields))
        else:
            whole = _assembled(wanted, _of_runs(reader, chosen))
        return [selection.trim(whole[number]) for number in chosen]

    def change(self, id: str, edit: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> None:
        with self._writing() as writer:
            row = writer.execute("SELECT number FROM runs WHERE id = ?", (id,)).fetchone()
            before = dict(writer.execute("SELECT path, text FROM parts WHERE run = ?", row)) if row else {}
            document = edit(_document(id, before) if row else None)
            if document is None:
                after: dict[str, str] = {}
                writer.execute("DELETE FROM runs WHERE id = ?", (id,))
            else:
                after = parts.take_apart(document)
            if row:
                number = row[0]
            elif document is not None:
                number = writer.execute("INSERT INTO runs (id) VALUES (?)", (id,)).lastrowid
            else:
                return
            gone = [(path, number) for path in before if path not in after]
            changed = [(path, number, text) for path, text in after.items() if before.get(path) != text]
            writer.executemany("DELETE FROM parts WHERE path = ? AND run = ?", gone)
            writer.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", changed)

    def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _read_only(self) -> sqlite3.Connection | None:
        """A connection that cannot write; None for an empty file, which a writer has just made."""
        if self._reader is None:
            self._reader = _opened(self._path)
            _check(_version(self._reader))
        elif _version(self._reader) != VERSION:
            _check(_version(self._reader))
        return self._reader if _tables(self._reader) else None

    def _prepare(self, writer: sqlite3.Connection) -> None:
        """Settings that a new or earlier file keeps."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        writer.execute(f"PRAGMA page_size = {PAGE}")
        with suppress(sqlite3.OperationalError):  # another process reads the file: it stays as it is
            writer.execute("PRAGMA journal_mode = DELETE")  # which needs no second file to be read

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, in a file of the present layout."""
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _connected(self._path, "rwc")
            _check(_version(self._writer))
            if _version(self._writer) < VERSION:
                self._prepare(self._writer)
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            if _version(writer) < VERSION:
                earlier = earlier_file.documents(writer)
                earlier_file.put_away(writer)
                for statement in filter(str.strip, LAYOUT.split(";")):
                    writer.execute(statement)
                for document in earlier:
                    number = writer.execute("INSERT INTO runs (id) VALUES (?)", (document["_id"],)).lastrowid
                    rows = [(path, number, text) for path, text in parts.take_apart(document).items()]
                    writer.executemany("INSERT INTO parts VALUES (?, ?, ?)", rows)
            yield writer
            writer.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                writer.execute("ROLLBACK")
            raise


def _opened(path: Path) -> sqlite3.Connection:
    """A connection for reading.

    After a writer was killed, SQLite first takes its half transaction back, for which the file is opened for writing. A
    file in a read-only folder is read as it is.
    """
    for mode in ("ro", "rw", "ro&immutable=1"):
        connection = _connected(path, mode)
        try:
            _version(connection)
        except sqlite3.OperationalError:
            connection.close()
            if mode.endswith("immutable=1"):
                raise
        else:
            connection.execute("PRAGMA query_only = ON")
            return connection
    raise AssertionError("one mode opens the file or raises")


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    address = f"{path.as_uri()}?mode={mode}"
    return sqlite3.connect(address, BUSY, uri=True, isolation_level=None, check_same_thread=False)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone() is not None


def _check(version: int) -> None:
    if version > VERSION:
        raise StoreError(f"its layout is at most {VERSION}, unless a newer ndg wrote it; got {version}")


def _named(reader: sqlite3.Connection, paths: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    for path in paths:
        for run, text in reader.execute("SELECT run, text FROM parts WHERE path = ?", (path,)):
            yield run, path, text


def _kept(reader: sqlite3.Connection, fields: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """All parts of some fields."""
    exact, inside = parts.needed(fields, whole=True)
    yield from _named(reader, exact)
    for start in inside:
        within = (start, start[:-1] + "-")  # the character after the comma
        yield from reader.execute("SELECT run, path, text FROM parts WHERE path > ? AND path < ?", within)


def _of_runs(reader: sqlite3.Connection, numbers: Iterable[int]) -> Iterator[tuple[int, str, str]]:
    for number in numbers:
        for path, text in reader.execute("SELECT path, text FROM parts WHERE run = ?", (number,)):
            yield number, path, text


def _assembled(ids: Mapping[int, str], rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, Any]]:
    """Documents by their numbers, of the parts in these rows."""
    texts: dict[int, dict[str, str]] = {number: {} for number in ids}
    for run, path, text in rows:
        if run in texts:
            texts[run][path] = text
    return {number: _document(ids[number], of_run) for number, of_run in texts.items()}


def _document(id: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """The document of these parts; damaged ones are left out, which the checksums of the document show."""
    try:
        document = parts.put_together(texts)
    except (ValueError, TypeError, AttributeError, RecursionError):
        document = {}
    return {**document, "_id": id}
