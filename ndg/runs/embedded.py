"""The embedded store: one SQLite file with the parts of documents.

    runs    number, id, head and summary (`ndg.runs.summary`), damage (why the document is no whole record), sum
    parts   path, run (a number), text: the JSON of a part, see `ndg.runs.parts`, sum
    metrics run (a number), key, text: the JSON of a block of rows, see `ndg.runs.blocks`, sum

Rows of `parts` lie in the order of their paths. A query reads the heads, summaries where it names a field in them, and
of each other field the one part that holds it. Each row has a checksum. Reading opens the file read-only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ndg.errors import StoreError
from ndg.runs import blocks, earlier_file, parts, record
from ndg.runs.reading import Reading, checksum
from ndg.runs.reading import document as assembled
from ndg.runs.selection import Selection
from ndg.runs.summary import HEAD, SUMMARY, packed

VERSION: Final = 4
"""Of the layout; files of neosqlite have 0."""
BUSY: Final = 30.0
"""Seconds that a writer waits for another process to finish writing to the same file."""

PAGE: Final = 16_384
"""Bytes of a page, which holds a part inside."""
KNOWN: Final = frozenset((*HEAD, "_id"))
LAYOUT: Final = f"""
CREATE TABLE runs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, head TEXT NOT NULL, summary TEXT NOT NULL,
    damage TEXT NOT NULL, sum BLOB NOT NULL);
CREATE TABLE parts (path TEXT NOT NULL, run INTEGER NOT NULL, text TEXT NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (path, run)) WITHOUT ROWID;
CREATE INDEX parts_of_run ON parts (run);
PRAGMA user_version = {VERSION};
"""
METRICS: Final = """
CREATE TABLE IF NOT EXISTS metrics (run INTEGER NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL, sum BLOB NOT NULL,
    PRIMARY KEY (run, key)) WITHOUT ROWID
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
        if _version(reader) < VERSION:
            return selection.among(earlier_file.documents(reader))
        reading = Reading(reader, selection.id)
        chosen: Collection[int] = reading.ids
        if early := selection.names & KNOWN:
            chosen = selection.narrowed(reading.partly(chosen, early, whole=False)[0], KNOWN)
        if selection.names:
            chosen = selection.choose(reading.partly(chosen, selection.names, whole=False)[0])
        numbers = list(chosen)[: selection.limit]
        if selection.wanted:
            documents, more = reading.partly(numbers, selection.wanted, whole=True)
        else:
            documents, more = reading.whole(numbers, rows="metrics" not in selection.fields), numbers
        damage = reading.damaged
        return [
            selection.trim(documents[number], damage.get(number, ""))
            if number in more or number in damage
            else documents[number]
            for number in numbers
        ]

    def change(self, id: str, edit: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> None:
        with self.writing() as writer:
            row = writer.execute("SELECT number FROM runs WHERE id = ?", (id,)).fetchone()
            before = dict(writer.execute("SELECT path, text FROM parts WHERE run = ?", row)) if row else {}
            rows = dict(writer.execute("SELECT key, text FROM metrics WHERE run = ?", row)) if row else {}
            document = edit(assembled(id, before, rows.values()) if row else None)
            if document is not None:
                write(writer, document, row[0] if row else None, before, rows)
            elif row:
                writer.execute("DELETE FROM runs WHERE number = ?", row)
                writer.execute("DELETE FROM parts WHERE run = ?", row)
                writer.execute("DELETE FROM metrics WHERE run = ?", row)

    def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _read_only(self) -> sqlite3.Connection | None:
        """A connection that cannot write.

        None for an empty file, which a writer has just made.
        """
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
    def writing(self) -> Iterator[sqlite3.Connection]:
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
            earlier: list[dict[str, Any]] = []
            if _version(writer) < VERSION:
                earlier += earlier_file.documents(writer)
                earlier_file.put_away(writer)
                for statement in filter(str.strip, LAYOUT.split(";")):
                    writer.execute(statement)
            writer.execute(METRICS)
            for document in earlier:
                write(writer, document)
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


def write(
    writer: sqlite3.Connection,
    document: dict[str, Any],
    number: int | None = None,
    before: Mapping[str, str] | None = None,
    rows: Mapping[str, str] | None = None,
) -> None:
    """Write a document, or what changed of one that is there.

    `number` is that of the document that is there; its parts and blocks are written where they differ.
    """
    id = document["_id"]
    texts = (packed(document, HEAD), packed(document, SUMMARY), record.damage(document))
    row = (*texts, checksum(id, *texts))
    if number is None:
        query = "INSERT INTO runs (id, head, summary, damage, sum) VALUES (?, ?, ?, ?, ?)"
        number = writer.execute(query, (id, *row)).lastrowid
    else:
        query = "UPDATE runs SET head = ?, summary = ?, damage = ?, sum = ? WHERE number = ?"
        writer.execute(query, (*row, number))
    small, of_rows = blocks.split(document)
    keyed = {block["_id"].removeprefix(f"{id}/"): parts.dumps(block) for block in of_rows}
    for table, key, old, new in (("parts", "path", before, parts.take_apart(small)), ("metrics", "key", rows, keyed)):
        old = old or {}
        gone = [(name, number) for name in old if name not in new]
        writer.executemany(f"DELETE FROM {table} WHERE {key} = ? AND run = ?", gone)
        changed = [(name, number, text, checksum(text)) for name, text in new.items() if old.get(name) != text]
        query = f"INSERT OR REPLACE INTO {table} ({key}, run, text, sum) VALUES (?, ?, ?, ?)"
        writer.executemany(query, changed)
