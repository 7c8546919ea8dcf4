"""Copies of runs from one run log to another, and the trash."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ndg.errors import OutputError, UserError
from ndg.runs import merging
from ndg.runs.log import Log
from ndg.runs.record import RUNNING, RunRecord

TRASH: Final = ".trash"
"""Folder for removed runs, beside the folders of runs."""


def copy(source: Log, target: Log, where: Mapping[str, Any] | None = None) -> list[str]:
    """Copy runs that match `where`, as they are, and return their ids.

    A run that both logs have keeps its newer version and the tags and notes of both. Files stay where they are.
    """
    if source.uri == target.uri:
        raise UserError(f"runs are copied from one run log to another; both are {source.uri}; name another")
    ids = [record.id for record in source.find(where, metrics=False)]
    for id in ids:
        merging.put(target.store, source.get(id))
    return ids


def remove(log: Log, record: RunRecord, root: Path) -> Path | None:
    """Take a run out of the log, and move its folder to the trash.

    Return where it is then.

    Raises UserError for a run that is still on, and OutputError if its folder cannot be moved.
    """
    if record["status"] == RUNNING and not record.dead():
        raise UserError(f"a run that is still on cannot be removed; {record.id} is; end it first")
    kept = None
    folder = next((place for place in (record.folder, root / record.id) if os.path.isdir(place)), None)
    if folder is not None:
        kept = folder.parent / TRASH / folder.name
        try:
            kept.parent.mkdir(exist_ok=True)
            folder.rename(kept)
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be moved to {kept}: {error.strerror or error}; nothing changed"
            ) from error
    log.store.remove(record.id)
    return kept
