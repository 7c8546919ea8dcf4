"""Joining two versions of a run: the newer one, with the tags and notes of both."""

from __future__ import annotations

from typing import Any

from ndg.runs import edits, record
from ndg.runs.record import RunRecord
from ndg.runs.store import Store


def put(store: Store, document: dict[str, Any]) -> RunRecord:
    """Join a record with the one in a store, write it there, and return it.

    An older revision never replaces a newer one. A damaged document in the store is replaced.
    """
    joined = RunRecord(document)

    def edit(old: dict[str, Any] | None) -> dict[str, Any] | None:
        nonlocal joined
        joined = join(document, old)
        return old if joined == old else joined

    store.change(document["_id"], edit)
    return joined


def join(document: dict[str, Any], other: dict[str, Any] | None) -> RunRecord:
    """The newer of two versions of a run, signed, with the edits of both.

    A damaged `other` counts as none.
    """
    if other is None or (record.damage(other) and record.is_damaged_edits(other)):
        return record.signed({**document, **edits.fields(edits.of(document))})
    both = edits.fields(edits.merged(edits.of(document), edits.of(other)))
    newer = other if _age(other) > _age(document) and not record.damage(other) else document
    return record.signed({**newer, **both})


def _age(document: dict[str, Any]) -> tuple[int, str]:
    """Order of versions; those before revisions by their last sign of life."""
    revision = document.get("revision", 0)
    return (revision if isinstance(revision, int) else 0, str(document.get("heartbeat", "")))
