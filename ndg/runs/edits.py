"""Tags and notes as edits, which merge in any order.

    {"n": 3, "id": "9f0c2a1b", "tag": "paper"}      also "untag" and "note"

An edit has a number above those of all edits that its author saw, and a random id. The edits of a run are the union
of those in its document and in `edits.jsonl` of its folder; applied in the order of numbers and ids they give tags and
notes.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ndg import atomic
from ndg.errors import UserError
from ndg.runs.plain import size
from ndg.signed_lines import read_line, signed_line

FILE = "edits.jsonl"
FIELDS = ("tags", "notes", "edits")
"""Fields of a document that edits decide."""

LIMIT: Final = 50_000
"""Bytes of all edits; notes are there twice."""

Edit = dict[str, Any]


def of(document: dict[str, Any]) -> list[Edit]:
    """The edits of a document.

    Those of an earlier version have none, and get some that give the same.
    """
    if "edits" in document:
        return list(document["edits"])
    edits: list[Edit] = [{"n": 0, "id": f"{i:04}", "tag": tag} for i, tag in enumerate(document.get("tags", []))]
    notes = document.get("notes", "")
    return edits + ([{"n": 0, "id": "notes", "note": notes}] if notes else [])


def new(edits: Iterable[Edit], kind: str, text: str) -> Edit:
    """An edit after all of these."""
    return {"n": 1 + max((edit["n"] for edit in edits), default=0), "id": secrets.token_hex(4), kind: text}


def merged(*several: Iterable[Edit]) -> list[Edit]:
    """All edits, each once, in order."""
    return [edit for _, edit in sorted({(edit["n"], edit["id"]): edit for edits in several for edit in edits}.items())]


def fields(edits: Iterable[Edit]) -> dict[str, Any]:
    """Tags, notes and edits of a document with these edits."""
    every, notes = merged(edits), ""
    tags: dict[str, None] = {}
    for edit in every:
        match edit:
            case {"tag": text}:
                tags[text] = None
            case {"untag": text}:
                tags.pop(text, None)
            case {"note": text}:
                notes = text
    return {"tags": list(tags), "notes": notes, "edits": every}


def check_size(edits: list[Edit]) -> None:
    """Raise UserError for more tags and notes than a run document has room for."""
    if (length := size(edits)) > LIMIT:
        raise UserError(
            f"all tags and notes that a run was ever given take at most {LIMIT / 1e3:.0f} kB; with these they take "
            f"{length / 1e3:.0f}; write a file in the run's folder, and name it in the notes"
        )


def read(folder: Path) -> list[Edit]:
    """Edits in a folder.

    A line that is not whole is none.
    """
    try:
        lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    except OSError:
        return []
    entries = [entry for entry in map(read_line, lines) if entry is not None]
    for entry in entries:
        entry.pop("sum", None)
    return [entry for entry in entries if isinstance(entry.get("n"), int) and isinstance(entry.get("id"), str)]


def append(folder: Path, edits: Iterable[Edit]) -> None:
    """Add edits to those in a folder. Raises OutputError."""
    path = folder / FILE
    with atomic.reporting(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, b"\n" * bool(torn) + b"".join(map(signed_line, edits)))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
