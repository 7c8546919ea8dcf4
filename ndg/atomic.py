"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ndg.errors import OutputError

REMEDY = "free space, or choose a folder that can be written to"


def write(path: str | os.PathLike[str], content: bytes | str, *, parents: bool = True, remedy: str = REMEDY) -> Path:
    """The path, with the content in it and on the disk; whoever reads it finds the old file or the new one whole.

    `parents` makes missing folders. Raises OutputError, which ends in `remedy`, where it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}; {remedy}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return path
