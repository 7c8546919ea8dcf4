"""Long lists of results, in files of their own with checksums.

{"file": "results/train.curve-1f0c2a9b.json", "bytes": 300000, "sha256": "..."}     in place of the list
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

from ndg import atomic
from ndg.errors import OutputError
from ndg.runs import journal

LONG: Final = 200_000
"""Characters of JSON above which a list becomes a file."""
FIELDS: Final = {"file", "bytes", "sha256"}


def to_files(value: Any, path: str, folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    """The value with long lists in files below `folder`, and these files as artefacts. Raises OutputError."""
    if isinstance(value, dict):
        parts = {key: to_files(item, f"{path}.{key}", folder) for key, item in value.items()}
        return {key: part for key, (part, _) in parts.items()}, [entry for _, more in parts.values() for entry in more]
    if not isinstance(value, list) or len(text := json.dumps(value, allow_nan=False)) <= LONG:
        return value, []
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()
    name = f"results/{re.sub(r'[^a-zA-Z0-9_.+-]+', '_', path.removeprefix('results.'))[:100]}-{digest[:8]}.json"
    atomic.write(folder / name, content, remedy=journal.REMEDY)
    place = {"file": name, "bytes": len(content), "sha256": digest}
    return place, [{"name": name, "path": name, "bytes": len(content), "sha256": digest}]


def from_file(value: Any, folder: Path) -> Any:
    """The list that a file has, or the value itself. Raises OutputError for a file that is missing or damaged."""
    if not (isinstance(value, dict) and set(value) == FIELDS):
        return value
    path = folder / str(value["file"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be read: {error.strerror or error}; copy or fetch the run's folder"
        ) from error
    if (digest := hashlib.sha256(content).hexdigest()) != value["sha256"]:
        raise OutputError(f"{path} is damaged: its SHA-256 is {digest}, and {value['sha256']} was logged; restore it")
    return json.loads(content)
