"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ndg.errors import OutputError


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """The path, with the content in it; a reader never sees half of it. Missing folders are made.

    Raises OutputError where it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}; choose a folder that can be written to"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return path
