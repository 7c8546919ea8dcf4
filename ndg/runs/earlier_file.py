"""Files of earlier versions, those of neosqlite and of layout 3.

neosqlite wrote a JSON text per run; the parts of layout 3 have no checksums.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ndg.progress import log
from ndg.runs import parts

KEPT = "runs_of_neosqlite"
"""The name of the old table where a row of it could not be read."""


def documents(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The documents of such a file; none of an empty one."""
    columns = _columns(connection)
    if "data" in columns:
        every = [_read(data) for (data,) in connection.execute("SELECT data FROM runs ORDER BY id")]
        return [document for document in every if document is not None]
    return [_joined(connection, *row) for row in connection.execute("SELECT number, id FROM runs")] if columns else []


def put_away(connection: sqlite3.Connection) -> None:
    """Make room for the present layout.

    The table of neosqlite stays where a row could not be read.
    """
    columns = _columns(connection)
    if "data" not in columns:
        for table in ("runs", "parts"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        return
    rows = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    if rows == len(documents(connection)):
        connection.execute("DROP TABLE runs")
    else:
        connection.execute("DROP INDEX IF EXISTS idx_runs_id")
        connection.execute(f"ALTER TABLE runs RENAME TO {KEPT}")
        log.warning("some runs of the run log could not be read; they stay in its table %s", KEPT)


def _columns(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(runs)")}


def _joined(connection: sqlite3.Connection, number: int, id: str) -> dict[str, Any]:
    """A document of layout 3.

    Without damaged parts, which its checksums show.
    """
    try:
        texts = dict(connection.execute("SELECT path, text FROM parts WHERE run = ?", (number,)))
        return {**parts.put_together(texts), "_id": id}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {"_id": id}


def _read(data: Any) -> dict[str, Any] | None:
    try:
        document = json.loads(data)
    except (ValueError, TypeError, RecursionError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("_id"), str) else None
