"""The journal of a run: its one true copy, an append-only file in its folder.

    {"revision":1,"at":"2026-11-21T00:12:00.000Z","document":{...},"sum":"..."}
    {"revision":2,"at":...,"row":[0,{"epoch":1,"loss":0.4}],"sum":"..."}           # in place of that row and later ones
    {"revision":3,"at":...,"put":[[["results","train"],{...}]],"sum":"..."}        # values at paths

A line is whole or it is the last one, cut short by the end of its process: then it is left out, and the next writer
cuts it off. While a run is on, its process holds a lock on the file (flock), so that a run has one writer.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ndg.errors import OutputError, RunNotFoundError
from ndg.signed_lines import read_line, signed_line

FILE = "journal.jsonl"
PATIENCE = 1.0
"""Seconds to wait for a lock, which a process that has just ended may still hold."""
REMEDY = "free the disk, make the folder writable, or choose another place for runs"

Entry = dict[str, Any]


class Journal:
    """An open journal, locked for this process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._unsynced = False
        self._size = 0

    @classmethod
    def create(cls, folder: Path, first: Entry) -> Journal:
        """A new journal with its first line. Raises OutputError."""
        path = folder / FILE
        journal = cls(path, _opened(path, os.O_CREAT | os.O_EXCL))
        try:
            journal.lock()
            journal.append(first)
            journal.sync()
            _sync_folder(folder)
            _sync_folder(folder.parent)
        except BaseException:
            journal.close()
            with suppress(OSError):
                path.unlink()
            raise
        return journal

    @classmethod
    def reopen(cls, folder: Path) -> Journal:
        """The journal of a folder, to be continued.

        Raises RunNotFoundError if another process writes to it.
        """
        journal = cls(folder / FILE, _opened(folder / FILE, os.O_CREAT))
        try:
            journal.lock()
        except BaseException:
            journal.close()
            raise
        return journal

    def lock(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise RunNotFoundError(
                        f"a run that is still alive cannot be resumed; another process writes to {self.path}; wait for "
                        "it, or start another without --resume"
                    ) from error
                time.sleep(0.05)
            except OSError:  # a file system without locks
                return

    def cut(self, length: int) -> None:
        """Cut off what follows the last whole line."""
        with _reporting(self.path):
            if os.fstat(self._descriptor).st_size > length:
                os.ftruncate(self._descriptor, length)

    def append(self, entry: Entry) -> int:
        """Add a line, and give it to the operating system.

        Return its length. Raises OutputError.
        """
        line = signed_line(entry)
        with _reporting(self.path):
            status = os.fstat(self._descriptor)
            if not status.st_nlink:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            if (written := os.write(self._descriptor, line)) < len(line):
                os.ftruncate(self._descriptor, status.st_size)
                raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes were written")
        self._unsynced = True
        return written

    def sync(self) -> None:
        """Write to the disk what was given to the operating system.

        Raises OutputError.
        """
        if self._unsynced:
            self._unsynced = False
            with _reporting(self.path):
                os.fsync(self._descriptor)

    @property
    def size(self) -> int:
        """Length in bytes; of a closed journal, the last one."""
        if self._descriptor >= 0:
            self._size = os.fstat(self._descriptor).st_size
        return self._size

    def close(self) -> None:
        if self._descriptor >= 0:
            self._size = self.size
            with suppress(OSError):  # a process that was forked holds the file open, but not the lock
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1


def entries(content: bytes) -> tuple[list[Entry], int, str]:
    """Whole lines of a journal, their length, and damage before the last line."""
    every: list[Entry] = []
    length, lines = 0, content.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        entry = read_line(line)
        if entry is None:
            torn = number == len(lines) and not line.endswith(b"\n")
            return every, length, "" if torn and every else f"its checksum says that line {number} was changed or cut"
        every.append(entry)
        length += len(line)
    return every, length, "" if every else "it is empty"


def replayed(lines: list[Entry]) -> dict[str, Any]:
    """The document that the lines of a journal give.

    Raises LookupError, TypeError or ValueError.
    """
    document: dict[str, Any] = {}
    for line in lines:
        document = changed(document, line)
    return document


def changed(document: dict[str, Any], entry: Entry) -> dict[str, Any]:
    """The document after a line.

    Rows are added in place; dictionaries on the way to a new value are copied.
    """
    if "document" in entry:
        document = dict(entry["document"])
        document |= {name: list(document[name]) for name in ("metrics", "times") if name in document}
    else:
        document = dict(document)
    if "row" in entry:
        number, row = entry["row"]
        del document["metrics"][number:]
        document["metrics"].append(row)
        if "times" in document:
            del document["times"][number:]
            document["times"].append(entry["at"])
    for path, value in entry.get("put", ()):
        home = document
        for key in path[:-1]:
            home[key] = dict(home.get(key, {}))
            home = home[key]
        home[path[-1]] = value
    return document | {"revision": entry["revision"], "heartbeat": entry["at"]}


def _opened(path: Path, flags: int) -> int:
    with _reporting(path):
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)


class _reporting:  # noqa: N801 (a context, cheaper than a generator: one for each row)
    """Raise OutputError, with the path, for an OSError of the block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise OutputError(f"{self.path} cannot be written: {error.strerror or error}; {REMEDY}") from error


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
