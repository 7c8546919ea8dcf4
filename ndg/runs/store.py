"""Stores of run documents: an embedded file, a MongoDB server, or memory.

Nothing is opened before the first operation, and reading makes no file. Every error of a driver becomes a StoreError.
"""

from __future__ import annotations

import copy
import os
import re
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from ndg.addresses import check_address, mask
from ndg.errors import ConfigError, StoreError, UserError, nearest
from ndg.extras import require
from ndg.paths import path_of
from ndg.runs.query import Sort
from ndg.runs.record import RunRecord
from ndg.runs.selection import Selection

DEFAULT: Final = "runs/ndg.db"
FILE: Final = "ndg.db"

Document = dict[str, Any]
Edit = Callable[[Document | None], Document | None]
"""Makes the next version of a document from the present one; None stands for no document."""


class Link(Protocol):
    """An open connection."""

    def find(self, selection: Selection) -> list[Document]:
        """The wanted documents."""

    def change(self, id: str, edit: Edit) -> None:
        """Put the next version in place of a document, with no other change in between."""

    def close(self) -> None:
        """Free what the connection holds."""


class Store:
    """Run documents by `_id`, thread-safe."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Link],
        path: Path | None,
        remedy: str,
        also: Sequence[Callable[[RunRecord], object]] = (),
    ) -> None:
        self.name = name
        self._also = also
        self.path = path
        self._connect = connect
        self._remedy = remedy
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._finalizer: Callable[[], Any] = lambda: None

    def insert(self, document: Document) -> bool:
        """Insert a document; False, with nothing written, if its `_id` exists."""
        return self._change(document["_id"], lambda old: document if old is None else old) is None

    def update(self, id: str, change: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> bool:
        """Apply `$set`, `$addToSet` or `$pull`; False without a document that also matches `where`."""
        fitting = Selection(where)
        done = False

        def edit(old: Document | None) -> Document | None:
            nonlocal done
            done = old is not None and bool(fitting.among([old]))
            return _changed(old, change) if done and old is not None else old

        self._change(id, edit)
        return done

    def replace(self, document: Document) -> None:
        """Write a document, in place of one with its `_id`."""
        self._change(document["_id"], lambda _: document)

    def remove(self, id: str) -> bool:
        """Remove a document; False if there is none."""
        return self._change(id, lambda _: None) is not None

    def change(self, id: str, edit: Edit) -> None:
        """Replace a document by its next version.

        `edit` may be called again if another process was faster.
        """
        self._do(lambda link: link.change(id, edit), write=True)

    def find(
        self,
        where: Mapping[str, Any] | None = None,
        sort: Sort = None,
        limit: int | None = None,
        fields: Mapping[str, int] | None = None,
        checked: bool = False,
    ) -> list[Document]:
        """Documents that match `where`; `fields` keeps dotted paths (1) or drops top-level fields (0).

        With `checked` a document that is no whole record is `{"_id": ..., "damage": the reason}`.
        """
        selection = Selection(where, sort, limit, fields, checked)
        return self._do(lambda link: link.find(selection)) or []

    def mirror(self, record: RunRecord) -> None:
        """Write a run and its files for sacred, if the address says so.

        Raises StoreError.
        """
        if self._also:
            self._do(lambda _: [write(record) for write in self._also], write=True)

    def close(self) -> None:
        with self._lock:
            self._link = None
            with suppress(Exception):  # it may be broken already, which is why it is closed
                self._finalizer()

    def _change(self, id: str, edit: Edit) -> Document | None:
        """Change a document; return the version before."""
        before: Document | None = None

        def remembering(old: Document | None) -> Document | None:
            nonlocal before
            before = copy.copy(old)
            return edit(old)

        self._do(lambda link: link.change(id, remembering), write=True)
        return before

    def _do(self, work: Callable[[Link], Any], write: bool = False) -> Any:
        with self._lock:
            if self.path is not None and not os.path.exists(self.path):
                self.close()  # SQLite would go on with a file that was deleted under it
                if not write:
                    return None
            try:
                if self._link is None:
                    self._link = self._connect()
                    self._finalizer = weakref.finalize(self, self._link.close)
                return work(self._link)
            except UserError:
                raise
            except Exception as error:
                self.close()
                raise StoreError(f"the run log {self.name} failed: {reason(error)}; {self._remedy}") from error
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
        from ndg.runs.embedded import EmbeddedLink

        return EmbeddedLink(path)

    remedy = (
        "check that it is a file of this toolkit in a folder that can be written, or name another with --store; a "
        "damaged one is written anew from the folders of the runs: move it away, then `ndg sync`"
    )
    return Store(str(named), connect, path, remedy)


def server(uri: str) -> Store:
    """A store on a MongoDB server, in the collection `runs`.

    Raises ConfigError for an invalid URI; a server that does not answer is noticed at the first operation.
    """
    require("pymongo", "a run log on a MongoDB server", "an embedded file needs no package")
    address, _, words = uri.partition("#")
    name = mask(address)
    options = [word for word in words.split(",") if word]
    if unknown := [word for word in options if word not in OPTIONS]:
        got = repr(unknown[0]) if unknown[0].isalpha() else "another word"
        raise ConfigError(f"after # the address of a store has {' and '.join(OPTIONS)}; got {got}")

    def connect() -> Link:
        from ndg.runs.server import ServerLink

        return ServerLink(address)

    if not uri.startswith("mongodb+srv://"):  # that one asks a name server, so it may fail without being wrong
        from pymongo.errors import ConfigurationError

        try:
            connect().close()
        except (ConfigurationError, ValueError) as error:
            why = re.split("[:'\"]", reason(error))[0]  # the rest may quote the password
            raise ConfigError(f"store.uri {name} is not a MongoDB URI: {why}") from None
    remedy = "check that the server runs and that the URI is right, or name another log with --store"
    return Store(name, connect, None, remedy, [partial(OPTIONS[word], address) for word in options])


def _upload(uri: str, record: RunRecord) -> None:
    from ndg.runs.files import Files

    with closing(Files(uri)) as files:
        files.upload(record)


def _sacred(uri: str, record: RunRecord) -> None:
    from ndg.runs.sacred import Sacred

    with closing(Sacred(sacred_uri(uri))) as mirror:
        mirror.put(record)


def sacred_uri(uri: str) -> str:
    """The address of the database for sacred beside that of a store: `ndg_sacred` beside `ndg`.

    The two have collections of the same names.
    """
    head, _, options = uri.partition("?")
    scheme, separator, rest = head.partition("://")
    hosts, _, database = rest.partition("/")
    source = "" if "authsource=" in options.lower() or "@" not in hosts or not database else f"authSource={database}"
    words = "&".join(filter(None, [options, source]))
    return f"{scheme}{separator}{hosts}/{database or 'ndg'}_sacred" + (f"?{words}" if words else "")


OPTIONS: Final[dict[str, Callable[[str, RunRecord], None]]] = {"upload": _upload, "sacred": _sacred}
"""Words after # in the address of a server, which the config writes: `store.upload`, `store.sacred`."""


def memory(name: str) -> Store:
    """A store in the memory of this process; all stores of one name are the same."""
    from ndg.runs.memory import MemoryLink

    link = _IN_MEMORY.setdefault(name, MemoryLink())
    return Store(f"memory://{name}", lambda: link, None, "start again")


_IN_MEMORY: dict[str, Link] = {}

STORES: dict[str, Callable[[str], Store]] = {"file": embedded, "mongodb": server, "memory": memory}


def connect(uri: str | Path) -> Store:
    """The store of a `mongodb://` URI or a file path."""
    text = check_address(str(uri))
    scheme, separator, rest = text.partition("://")
    if not separator:
        return STORES["file"](text)
    kind = scheme.partition("+")[0]
    if kind not in STORES:
        hint = nearest(scheme, STORES)
        raise ConfigError(f"store.uri is a file path or mongodb://...; got {mask(text)}; {hint}")
    return STORES[kind](text if kind == "mongodb" else rest)


def _changed(old: Document, change: Mapping[str, Any]) -> Document:
    """A document after `$set`, `$addToSet` and `$pull` of top-level fields."""
    new = old | change.get("$set", {})
    for name, value in change.get("$addToSet", {}).items():
        items = new.get(name, [])
        new[name] = items if value in items else [*items, value]
    for name, value in change.get("$pull", {}).items():
        new[name] = [item for item in new.get(name, []) if item != value]
    return new


_DRIVER = re.compile(r" \(configured timeouts|, Timeout: ")
"""What follows the reason in a message of pymongo."""


def reason(error: BaseException) -> str:
    """The first line of a driver's message, without a password."""
    text = mask(str(error)).strip().splitlines()
    first = text[0] if text else type(error).__name__
    first = _DRIVER.split(first)[0]
    return first if len(first) <= 200 else first[:199] + "…"
