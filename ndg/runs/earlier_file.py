"""Files of earlier versions, which neosqlite wrote: a JSON text per run."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ndg.progress import log

KEPT = "runs_of_neosqlite"
"""The name of the old table where a row of it could not be read."""


def documents(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The documents of such a file; none of an empty one."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
    if "data" not in columns:
        return []
    every = [_read(data) for (data,) in connection.execute("SELECT data FROM runs ORDER BY id")]
    return [document for document in every if document is not None]


def put_away(connection: sqlite3.Connection) -> None:
    """Make room for the present layout; the old table stays where a row could not be read."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
    if "data" not in columns:
        return
    rows = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    if rows == len(documents(connection)):
        connection.execute("DROP TABLE runs")
    else:
        connection.execute("DROP INDEX IF EXISTS idx_runs_id")
        connection.execute(f"ALTER TABLE runs RENAME TO {KEPT}")
        log.warning("some runs of the run log could not be read; they stay in its table %s", KEPT)


def _read(data: Any) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except (ValueError, TypeError, RecursionError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("_id"), str) else None
