"""A store on a MongoDB server, in the collection `runs`.

A genuine MongoDB answers queries itself. Other servers of its protocol differ in details of its rules: they give the
documents with the wanted names, and the rest of a query is answered here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ndg.runs.selection import Selection

LIMIT: Final = 2**31 - 1
"""Documents; a larger limit is none."""
PLAIN: Final = ("_id", "kind", "name", "status", "parent", "digest", "training_digest")
"""Fields with a text in every run, which all servers compare alike."""
STAMPS: Final = ("revision", "checksum_edits", "checksum_record", "heartbeat")
"""Fields of which at least one differs between two versions of a document."""

# Milliseconds; an option of the same name in the URI wins. Without them an absent server stops a run for 30 s or more.
TIMEOUTS: Final = {"serverSelectionTimeoutMS": 3_000, "connectTimeoutMS": 3_000, "socketTimeoutMS": 10_000}
SAFE: Final = {"w": "majority", "journal": True}


class ServerLink:
    """An open connection to the database of a URI."""

    def __init__(self, uri: str) -> None:
        from pymongo import MongoClient

        given = uri.partition("?")[2].lower()
        options: dict[str, Any] = {key: value for key, value in TIMEOUTS.items() if f"{key.lower()}=" not in given}
        options |= {key: value for key, value in SAFE.items() if f"{key}=" not in given}
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, appname="ndg", connect=False, **options)
        self._runs = self._client.get_default_database("ndg")["runs"]
        self._genuine: bool | None = None

    def find(self, selection: Selection) -> list[dict[str, Any]]:
        if self._is_genuine():
            fields = {} if selection.checked else dict.fromkeys(selection.wanted, 1) or selection.fields
            cursor = self._runs.find(selection.query, fields or None)
            if selection.order:
                cursor = cursor.sort(selection.order)
            cursor = cursor.limit(min(selection.limit, LIMIT)) if selection.limit else cursor
            return [selection.trim(document) for document in cursor]
        simple = {name: value for name, value in selection.query.items() if name in PLAIN and _is_text(value)}
        return selection.among(self._runs.find({name: value["$eq"] for name, value in simple.items()}))

    def change(self, id: str, edit: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> None:
        """Read, edit and write a document; again from the start where another process wrote it meanwhile."""
        from pymongo.errors import DuplicateKeyError

        while True:
            old = self._runs.find_one({"_id": id})
            seen = {"_id": id} | {name: old[name] for name in STAMPS if old and name in old}
            new = edit(old)
            if new is old:
                return
            if new is None:
                if self._runs.delete_one(seen).deleted_count:
                    return
            elif old is not None:
                if self._runs.replace_one(seen, new).matched_count:
                    return
            else:
                try:
                    self._runs.insert_one(new)
                    return
                except DuplicateKeyError:
                    continue

    def close(self) -> None:
        self._client.close()

    def _is_genuine(self) -> bool:
        if self._genuine is None:
            engines = self._client.admin.command("buildInfo").get("storageEngines", ())
            self._genuine = "wiredTiger" in engines
        return self._genuine


def _is_text(condition: Any) -> bool:
    return isinstance(condition, dict) and list(condition) == ["$eq"] and isinstance(condition["$eq"], str)
