"""A store on a MongoDB server, in the collections `runs` and `metrics` (`ndg.runs.blocks`).

A genuine MongoDB answers queries itself. Other servers of its protocol differ in details of its rules: they give the
documents with the wanted names, and the rest of a query is answered here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ndg.runs import blocks
from ndg.runs.selection import Selection

if TYPE_CHECKING:
    from pymongo import MongoClient

LIMIT: Final = 2**31 - 1
"""Documents; a larger limit is none."""
PLAIN: Final = ("_id", "kind", "name", "status", "parent", "digest", "training_digest")
"""Fields with a text in every run, which all servers compare alike."""
STAMPS: Final = ("revision", "checksum_edits", "checksum_record", "heartbeat")
"""Fields of which at least one differs between two versions of a document."""

# Milliseconds; an option of the same name in the URI wins. Without them an absent server stops a run for 30 s or more.
TIMEOUTS: Final = {"serverSelectionTimeoutMS": 3_000, "connectTimeoutMS": 3_000, "socketTimeoutMS": 10_000}
SAFE: Final = {"w": "majority", "journal": True}


def client_of(uri: str) -> MongoClient[dict[str, Any]]:
    """A client with time-outs and safe writes, unless the URI has others.

    It connects at its first use.
    """
    from pymongo import MongoClient

    address = uri.partition("#")[0]
    given = address.partition("?")[2].lower()
    options: dict[str, Any] = {key: value for key, value in TIMEOUTS.items() if f"{key.lower()}=" not in given}
    options |= {key: value for key, value in SAFE.items() if f"{key}=" not in given}
    return MongoClient(address, appname="ndg", connect=False, **options)


class ServerLink:
    """An open connection to the database of a URI."""

    def __init__(self, uri: str) -> None:
        self._client = client_of(uri)
        database = self._client.get_default_database("ndg")
        self._runs, self._metrics = database["runs"], database["metrics"]
        self._indexed = False
        self._genuine: bool | None = None

    def find(self, selection: Selection) -> list[dict[str, Any]]:
        early = selection.checked or any(path.split(".")[0] == "metrics" for path in selection.names)
        late = any(path.split(".")[0] == "metrics" for path in selection.wanted)
        late = late or not (selection.wanted or "metrics" in selection.fields)
        if self._is_genuine() and not early:
            kept = [path for path in selection.wanted if path.split(".")[0] != "metrics"]
            fields = dict.fromkeys([*kept, *(["metrics"] if late else []), "_id"], 1) if selection.wanted else {}
            cursor = self._runs.find(selection.query, fields or selection.fields or None)
            if selection.order:
                cursor = cursor.sort(selection.order)
            documents = list(cursor.limit(min(selection.limit, LIMIT)) if selection.limit else cursor)
        else:
            simple = {name: value for name, value in selection.query.items() if name in PLAIN and _is_text(value)}
            documents = list(self._runs.find({name: value["$eq"] for name, value in simple.items()}))
            every = dict(enumerate(self._joined(documents) if early else documents))
            documents = [every[key] for key in selection.choose(every)[: selection.limit]]
        if late and not early:
            documents = self._joined(documents)
        return [selection.trim(document) for document in documents]

    def change(self, id: str, edit: Callable[[dict[str, Any] | None], dict[str, Any] | None]) -> None:
        """Read, edit and write a document.

        Again from the start where another process wrote it meanwhile.
        """
        from pymongo.errors import DuplicateKeyError

        while True:
            stored = self._runs.find_one({"_id": id})
            seen = {"_id": id} | {name: stored[name] for name in STAMPS if stored and name in stored}
            old = stored and self._joined([stored])[0]
            new = edit(old)
            if new is old:
                return
            if new is None:
                if self._runs.delete_one(seen).deleted_count:
                    self._metrics.delete_many({"run_id": id})
                    return
                continue
            small, number = self._write_rows(new, old, stored)
            if stored is not None:
                if self._runs.replace_one(seen, small).matched_count:
                    self._metrics.delete_many({"run_id": id, "set": {"$lt": number}})
                    return
            else:
                try:
                    self._runs.insert_one(small)
                    return
                except DuplicateKeyError:
                    continue

    def _joined(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Documents with their rows."""
        wanted = [document["_id"] for document in documents if blocks.is_split(document)]
        found: dict[str, list[dict[str, Any]]] = {id: [] for id in wanted}
        for block in self._metrics.find({"run_id": {"$in": wanted}}) if wanted else ():
            found[block["run_id"]].append(block)
        return [blocks.join(document, found.get(document["_id"], ())) for document in documents]

    def _write_rows(
        self, new: dict[str, Any], old: dict[str, Any] | None, stored: dict[str, Any] | None
    ) -> tuple[dict[str, Any], int]:
        """Write the rows that `old` lacks.

        Return the document without rows, and the number of its set.

        A block that another process wrote from a newer version stays.
        """
        from pymongo.errors import DuplicateKeyError

        number = done = 0
        if old and stored and blocks.is_split(stored):
            number, done = stored["metrics"]["set"], len(old["metrics"])
            if any(new.get(name, [])[:done] != old.get(name, []) for name in ("metrics", "times")):
                number, done = number + 1, 0
        small, every = blocks.split(new, number)
        revision = int(new.get("revision", 0))
        if every and not self._indexed:
            self._metrics.create_index("run_id")
            self._indexed = True
        for block in every:
            if (block["block"] + 1) * blocks.SIZE > done:
                with suppress(DuplicateKeyError):
                    older = {"_id": block["_id"], "revision": {"$lte": revision}}
                    self._metrics.replace_one(older, {**block, "revision": revision}, upsert=True)
        return small, number

    def close(self) -> None:
        self._client.close()

    def _is_genuine(self) -> bool:
        if self._genuine is None:
            engines = self._client.admin.command("buildInfo").get("storageEngines", ())
            self._genuine = "wiredTiger" in engines
        return self._genuine


def _is_text(condition: Any) -> bool:
    return isinstance(condition, dict) and list(condition) == ["$eq"] and isinstance(condition["$eq"], str)
