"""Long values of a run, in files of their own with checksums, so that documents stay small.

{"file": "results/train.curve-1f0c2a9b.json", "bytes": 300000, "sha256": "..."}     in place of the value

Long are lists, texts and dictionaries. Of a long dictionary the longest values move; if all are short, all of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ndg import atomic
from ndg.errors import OutputError
from ndg.runs import journal
from ndg.runs.plain import size

LONG: Final = 200_000
"""Bytes in a document (BSON) above which a value becomes a file."""
STEPS: Final = (LONG, LONG // 10, LONG // 100)
"""The same for a document that would be too large otherwise."""
SHORT: Final = 10
"""Values of less than this part of the bound stay where they are, or move with their dictionary."""
FIELDS: Final = {"file", "bytes", "sha256"}
NAME: Final = re.compile(r"results/[\w.+-]+\.json", re.ASCII)

Files = dict[str, bytes]
"""Contents by the paths of files in the folder of a run."""


def parted(value: Any, path: str, bound: int = LONG) -> tuple[Any, Files]:
    """The value without what is longer than `bound` bytes, and files with that."""
    files: Files = {}
    return _parted(value, path, bound, files)[0], files


def write(files: Files, folder: Path) -> None:
    """Write files to the folder of a run. Raises OutputError."""
    for name, content in files.items():
        atomic.write(folder / name, content, remedy=journal.REMEDY)


def artefacts(files: Files, others: Iterable[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """Entries of other artefacts and of these files."""
    return [entry for entry in others if entry["name"] not in files] + [
        {"name": name, "path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    ]


def whole(value: Any, folder: Path) -> Any:
    """The value with the content of its files.

    Raises OutputError for a file that is missing or damaged.
    """
    if is_place(value):
        return whole(from_file(value, folder), folder)
    if isinstance(value, dict):
        return {key: whole(item, folder) for key, item in value.items()}
    return value


def is_place(value: Any) -> bool:
    """Whether a value stands for a file."""
    return isinstance(value, dict) and set(value) == FIELDS and NAME.fullmatch(str(value["file"])) is not None


def from_file(place: Mapping[str, Any], folder: Path) -> Any:
    """The value that a file has. Raises OutputError for one that is missing or damaged."""
    path = folder / str(place["file"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be read: {error.strerror or error}; copy or fetch the run's folder"
        ) from error
    if (digest := hashlib.sha256(content).hexdigest()) != place["sha256"]:
        raise OutputError(f"{path} is damaged: its SHA-256 is {digest}, and {place['sha256']} was logged; restore it")
    return json.loads(content)


def _parted(value: Any, path: str, bound: int, files: Files) -> tuple[Any, int]:
    """The value with places for files, and its length."""
    if not isinstance(value, dict):
        length = size(value)
        return _moved(value, path, files) if length > bound and isinstance(value, list | str) else (value, length)
    lengths: dict[str, int] = {}
    parts: dict[str, Any] = {}
    for key, item in value.items():
        parts[key], lengths[key] = _parted(item, f"{path}.{key}", bound, files)
    total = 5 + sum(2 + len(key.encode()) + length for key, length in lengths.items())
    for key in _longest(parts, lengths, bound // SHORT):
        if total <= bound:
            break
        total -= lengths[key]
        parts[key], lengths[key] = _moved(parts[key], f"{path}.{key}", files)
        total += lengths[key]
    return _moved(parts, path, files) if total > bound else (parts, total)


def _longest(parts: Mapping[str, Any], lengths: Mapping[str, int], least: int) -> Iterator[str]:
    """Keys of values that can move alone, the longest first."""
    for key in sorted(parts, key=lambda key: -lengths[key]):
        if lengths[key] > least and isinstance(parts[key], list | str | dict) and not is_place(parts[key]):
            yield key


def _moved(value: Any, path: str, files: Files) -> tuple[dict[str, Any], int]:
    content = json.dumps(value, allow_nan=False).encode()
    digest = hashlib.sha256(content).hexdigest()
    name = f"results/{re.sub(r'[^a-zA-Z0-9_.+-]+', '_', path.removeprefix('results.'))[:100]}-{digest[:8]}.json"
    files[name] = content
    place = {"file": name, "bytes": len(content), "sha256": digest}
    return place, size(place)
