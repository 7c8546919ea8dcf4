"""Atomic file writes: a file is complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from ndg.errors import OutputError
from ndg.paths import path_of

REMEDY = "free space, or choose a folder that can be written to"


def write(
    path: str | os.PathLike[str],
    content: bytes | str | Iterable[bytes | str],
    *,
    parents: bool = True,
    remedy: str = REMEDY,
) -> Path:
    """Write a file atomically and return its path.

    Content in parts is written as it arrives. `parents` creates missing folders. Raises OutputError, ending with
    `remedy`, if the file cannot be written.
    """
    with writing(path, parents=parents, remedy=remedy) as file:
        for part in [content] if isinstance(content, bytes | str) else content:
            file.write(part if isinstance(part, bytes) else part.encode("utf-8"))
    return Path(path)


@contextmanager
def writing(path: str | os.PathLike[str], *, parents: bool = True, remedy: str = REMEDY) -> Iterator[BinaryIO]:
    """File that becomes `path` if the block succeeds.

    Raises OutputError as `write` does, also for an OSError within the block.
    """
    path = path_of(path, "a file to be written")
    if os.path.isdir(path):
        raise OutputError(f"{path} must be a file to be written; it is a folder; name a file in it")
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        with reporting(path, remedy):
            if parents:
                path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def reporting(path: str | os.PathLike[str], remedy: str = REMEDY) -> Iterator[None]:
    """Raise OutputError, with path and `remedy`, for any OSError of the block."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}; {remedy}") from error
