"""Stores of run documents: an embedded file or a MongoDB server.

Nothing is opened before the first operation, and reading makes no file. Every error of a driver becomes a StoreError.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ndg.errors import ConfigError, StoreError, nearest
from ndg.paths import path_of
from ndg.runs.provenance import mask
from ndg.runs.query import Sort, ordering, portable

DEFAULT: Final = "runs/ndg.db"
FILE: Final = "ndg.db"
LIMIT: Final = 2**31 - 1  # documents; a larger limit is none
BUSY = 30.0  # seconds that a writer waits for another process to finish writing to the same file

# Milliseconds; an option of the same name in the URI wins. Without them an absent server stops a run for 30 s or more.
TIMEOUTS = {"serverSelectionTimeoutMS": 3_000, "connectTimeoutMS": 3_000, "socketTimeoutMS": 10_000}


@dataclass(frozen=True)
class Link:
    """An open connection: collection, transactions, closing."""

    collection: Any
    close: Callable[[], None]
    transaction: Callable[[], AbstractContextManager[Any]] = nullcontext


class Store:
    """Run documents by `_id`, thread-safe."""

    def __init__(self, name: str, connect: Callable[[], Link], path: Path | None, remedy: str) -> None:
        self.name = name
        self.path = path
        self._connect = connect
        self._remedy = remedy
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._finalizer: Callable[[], Any] = lambda: None

    def insert(self, document: dict[str, Any]) -> bool:
        """Insert a document; False, with nothing written, if its `_id` exists."""
        try:
            self._do(lambda collection: collection.insert_one(document), write=True)
        except StoreError as error:
            if type(error.__cause__).__name__ in ("DuplicateKeyError", "IntegrityError"):
                return False
            raise
        return True

    def update(self, id: str, change: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> bool:
        """Apply `$set`, `$addToSet` or `$pull`; False without a document that also matches `where`.

        neosqlite turns what `$push` adds into text and a top-level boolean into 0 or 1; neither is used here.
        """
        query = portable({"_id": id, **(where or {})}) if where else {"_id": id}
        done = self._do(lambda collection: collection.update_one(query, dict(change)), write=True)
        return done is not None and done.matched_count > 0

    def replace(self, document: dict[str, Any]) -> None:
        """Write a document, in place of one with its `_id`."""
        self._do(lambda collection: collection.replace_one({"_id": document["_id"]}, document, upsert=True), write=True)

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        sort: Sort = None,
        limit: int | None = None,
        fields: Mapping[str, int] | None = None,
    ) -> list[dict[str, Any]]:
        """Documents that match `where`; `fields` keeps (1) or drops (0) top-level fields."""
        query, order = portable(where), ordering(sort)

        def read(collection: Any) -> list[dict[str, Any]]:
            cursor = collection.find(query, dict(fields) if fields else None)
            if order:
                cursor = cursor.sort(order)
            return list(cursor.limit(min(limit, LIMIT)) if limit else cursor)

        return self._do(read) or []

    def close(self) -> None:
        with self._lock:
            self._link = None
            with suppress(Exception):  # it may be broken already, which is why it is closed
                self._finalizer()

    def _do(self, work: Callable[[Any], Any], write: bool = False) -> Any:
        with self._lock:
            if self.path is not None and not os.path.exists(self.path):
                self.close()  # SQLite would go on with a file that was deleted under it
                if not write:
                    return None
            try:
                if self._link is None:
                    self._link = self._connect()
                    self._finalizer = weakref.finalize(self, self._link.close)
                with self._link.transaction() if write else nullcontext():
                    return work(self._link.collection)
            except Exception as error:
                self.close()
                raise StoreError(f"the run log {self.name} failed: {_reason(error)}; {self._remedy}") from error
            except BaseException:  # an interrupt may come in the middle of a transaction
                self.close()
                raise


def embedded(uri: str) -> Store:
    """A store in one SQLite file, for processes of one machine."""
    named = path_of(uri, "the run log")
    if os.path.isdir(named) or uri.endswith("/"):
        named = named / FILE
    path = named.resolve()

    def connect() -> Link:
        import neosqlite

        logging.getLogger("neosqlite").addHandler(logging.NullHandler())  # damaged documents are named by the log
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = neosqlite.Connection(str(path), timeout=BUSY, check_same_thread=False)

        @contextmanager
        def transaction() -> Any:
            with connection.start_session() as session, session.start_transaction():
                yield

        def close() -> None:
            if connection.db.in_transaction:
                connection.db.rollback()
            connection.close()

        try:
            return Link(connection["runs"], close, transaction)
        except BaseException:
            close()
            raise

    remedy = "check that it is a file of this toolkit in a folder that can be written, or name another with --store"
    return Store(str(named), connect, path, remedy)


def server(uri: str) -> Store:
    """A store on a MongoDB server, in the collection `runs`.

    Raises ConfigError for an invalid URI; a server that does not answer is noticed at the first operation.
    """
    name = mask(uri)
    query = uri.partition("?")[2].lower()
    options: dict[str, Any] = {key: ms for key, ms in TIMEOUTS.items() if f"{key.lower()}=" not in query}

    def connect() -> Link:
        from pymongo import MongoClient

        client: MongoClient[dict[str, Any]] = MongoClient(uri, appname="ndg", connect=False, **options)
        return Link(client.get_default_database("ndg")["runs"], client.close)

    if not uri.startswith("mongodb+srv://"):  # that one asks a name server, so it may fail without being wrong
        from pymongo.errors import ConfigurationError

        try:
            connect().close()
        except (ConfigurationError, ValueError) as error:
            raise ConfigError(f"store.uri {name} is not a MongoDB URI: {_reason(error)}") from error
    remedy = "check that the server runs and that the URI is right, or name another log with --store"
    return Store(name, connect, None, remedy)


STORES: dict[str, Callable[[str], Store]] = {"file": embedded, "mongodb": server}


def connect(uri: str | Path) -> Store:
    """The store of a `mongodb://` URI or a file path."""
    text = str(uri)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return STORES["file"](text)
    kind = scheme.partition("+")[0]
    if kind not in STORES:
        hint = nearest(scheme, ("mongodb", "file"))
        raise ConfigError(f"store.uri is a file path or mongodb://...; got {mask(text)}; {hint}")
    return STORES[kind](rest if kind == "file" else text)


def _reason(error: BaseException) -> str:
    text = mask(str(error)).strip().splitlines()
    first = text[0] if text else type(error).__name__
    return first if len(first) <= 200 else first[:199] + "…"
