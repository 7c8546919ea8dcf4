"""Journals: results of finished tasks, in a crash-proof file.

    {"journal":1,"digest":"9f0c...","sum":"..."}
    {"task":3,"digest":"9f0c...","result":{...},"sum":"..."}        # in the order in which tasks ended

Each line carries a checksum of itself. Reading stops at the first line that is not whole, and what follows is cut off:
a process that is killed while it writes loses that line alone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ndg.atomic import REMEDY
from ndg.errors import ConfigError, OutputError
from ndg.progress import log
from ndg.signed_lines import read_line, signed_line

T = TypeVar("T")

FORMAT = 1
SYNC_SECONDS = 1.0
"""The most that a machine which stops loses; a process that is killed loses the line that it writes."""


@dataclass(frozen=True)
class Journal:
    """A file for the results of one total.

    `digest` is that of the study and its data: all that they depend on. A result has `to_dict()` of plain JSON values,
    and `decode` makes the same result of it. `first` is the number of the first task of the stream, where the `start`
    of the total holds those before it.
    """

    path: Path
    digest: str
    decode: Callable[[dict[str, Any]], Any]
    first: int = 0

    def line(self, task: int, result: dict[str, Any]) -> bytes:
        """A whole line of the file."""
        return signed_line({"task": task, "digest": self.digest, "result": result})

    def head(self) -> bytes:
        return signed_line({"journal": FORMAT, "digest": self.digest})


class Book:
    """An open journal or none: earlier results, and where new ones go."""

    def __init__(self, journal: Journal | None, descriptor: int = -1, finished: dict[int, Any] | None = None) -> None:
        self.first = journal.first if journal else 0
        self._journal = journal
        self._descriptor = descriptor
        self._finished = finished or {}
        self._seen = self.first
        self._checked = False
        self._synced = time.monotonic()

    def __len__(self) -> int:
        """How many tasks were finished before."""
        return len(self._finished)

    def __contains__(self, task: int) -> bool:
        return task in self._finished

    def left(self, tasks: Iterable[T]) -> Iterator[tuple[int, T]]:
        """Unfinished tasks, with their numbers."""
        for number, task in enumerate(tasks, self.first):
            self._seen = number + 1
            if number not in self._finished:
                yield number, task

    def take(self, task: int) -> Any:
        """The result of a task that was finished before."""
        assert self._journal is not None
        try:
            return self._journal.decode(self._finished[task])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"a journal holds results of this version of ndg; task {task} of {self._journal.path} cannot be read "
                f"({error!r}); remove it to begin anew"
            ) from error

    def keep(self, task: int, result: Any) -> Any:
        """The result, once written. Raises OutputError."""
        if self._journal is None:
            return result
        line = self._journal.line(task, result.to_dict())
        if not self._checked:
            read = self._journal.decode(json.loads(line)["result"])
            assert self._journal.line(task, read.to_dict()) == line, f"{read} is not what was written: {result}"
            self._checked = True
        self._write(line)
        return result

    def check(self) -> None:
        """Raise ConfigError for results of more tasks than `left` gave."""
        if self._journal is not None and (last := max(self._finished, default=-1)) >= self._seen:
            raise ConfigError(
                f"a journal holds tasks of the one total that it is read for, which has {self._seen}; "
                f"{self._journal.path} has task {last}; remove it to begin anew, or give the data it was made of"
            )

    def _write(self, line: bytes) -> None:
        assert self._journal is not None
        try:
            if (written := os.write(self._descriptor, line)) < len(line):
                raise OSError(errno.ENOSPC, f"{written} of {len(line)} bytes were written")
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()
        except OSError as error:
            raise _unwritten(self._journal.path, error) from error


@dataclass(frozen=True)
class Noted:
    """A plain document as the result of a task."""

    document: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The document."""
        return self.document


def noted(book: Book, task: int, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The document of a task, computed unless an earlier process did.

    The journal decodes by `Noted`.
    """
    result: Noted = book.take(task) if task in book else book.keep(task, Noted(compute()))
    return result.document


@contextmanager
def opened(journal: Journal | None) -> Iterator[Book]:
    """The journal to continue, locked while open.

    Raises ConfigError when it is of another study or no journal at all, OutputError when it cannot be written.
    """
    if journal is None:
        yield Book(None)
        return
    descriptor = _open(journal.path)
    try:
        book = Book(journal, descriptor, _recovered(journal, descriptor))
        try:
            yield book
        finally:
            try:
                os.fsync(descriptor)
            except OSError as error:
                raise _unwritten(journal.path, error) from error
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """The descriptor of the file, locked, for appending."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutputError(f"{path} is being written by another process; wait for it, or end it") from error
    except OSError:
        pass  # a file system without locks
    return descriptor


def _recovered(journal: Journal, descriptor: int) -> dict[int, Any]:
    """Results by task, after cutting off what is not whole."""
    with open(descriptor, "rb", closefd=False) as file:
        lines = file.read().splitlines(keepends=True)
    if lines and (len(lines) > 1 or lines[0].endswith(b"\n") or not journal.head().startswith(lines[0])):
        _check(journal, _read(lines[0]))
    results: dict[int, Any] = {}
    whole = 0
    for line in lines:
        entry = _read(line)
        if entry is None:
            log.info("%s ended within a line: %d tasks are whole, the rest is done again", journal.path, len(results))
            break
        _check(journal, entry)
        if "task" in entry:
            results[entry["task"]] = entry["result"]
        whole += len(line)
    try:
        os.ftruncate(descriptor, whole)
        if not whole:
            os.write(descriptor, journal.head())
            os.fsync(descriptor)
    except OSError as error:
        raise _unwritten(journal.path, error) from error
    return results


def _unwritten(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written: {error.strerror or error}; {REMEDY}")


def _check(journal: Journal, entry: dict[str, Any] | None) -> None:
    if entry is None or not ("task" in entry or entry.get("journal") == FORMAT):
        raise ConfigError(
            f"a journal begins with a line of its format, {FORMAT}; {journal.path} does not; choose another path, or "
            "remove it to begin anew"
        )
    if entry["digest"] != journal.digest:
        raise ConfigError(
            f"a journal goes on with the study and data that it was begun with, digest {entry['digest']}; got those of "
            f"digest {journal.digest} for {journal.path}; give the same settings, network and data, or remove it to "
            "begin anew"
        )


def _read(line: bytes) -> dict[str, Any] | None:
    """What a line says; None when it is not whole."""
    entry = read_line(line)
    if entry is None:
        return None
    whole = "task" not in entry or (isinstance(entry["task"], int) and isinstance(entry.get("result"), dict))
    return entry if whole and isinstance(entry.get("digest"), str) else None
