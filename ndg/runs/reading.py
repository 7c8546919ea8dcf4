"""Reading of an embedded file: summaries of runs, and further parts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

from ndg.runs import blocks, parts, summary

FEW: Final = 1_000
"""Runs that are read one by one; of more the whole range of a path is read."""

Documents = dict[int, dict[str, Any]]
"""Documents, or what is read of them, by the numbers of their runs."""
Texts = dict[int, dict[str, str]]


class Reading:
    """The rows of one query.

    `damaged` has reasons by the numbers of runs.
    """

    def __init__(self, reader: sqlite3.Connection, id: str | None) -> None:
        self.ids: dict[int, str] = {}
        self.damaged: dict[int, str] = {}
        self._reader = reader
        self._texts: dict[tuple[str, ...], dict[int, str]] = {summary.HEAD: {}, summary.SUMMARY: {}}
        self._flats: dict[tuple[str, ...], dict[int, summary.Flat]] = {summary.HEAD: {}, summary.SUMMARY: {}}
        query = "SELECT number, id, head, summary, damage, sum FROM runs" + (" WHERE id = ?" if id is not None else "")
        for number, name, head, text, damage, total in reader.execute(query, () if id is None else (id,)):
            if total != checksum(name, head, text, damage):
                damage = damage or "the checksum of its row differs"
            if damage:
                self.damaged[number] = damage
            self.ids[number] = name
            self._texts[summary.HEAD][number] = head
            self._texts[summary.SUMMARY][number] = text

    def partly(self, runs: Collection[int], paths: Iterable[str], whole: bool) -> tuple[Documents, Collection[int]]:
        """Dotted fields of some runs, and the runs that have more.

        With `whole` the fields come with all that they contain.
        """
        documents: Documents = {number: {"_id": self.ids[number]} for number in runs}
        texts: Texts = {}
        rows: dict[int, list[str]] = {}
        known: list[tuple[int, str, Any]] = []
        for field in set(paths) - {"_id"}:
            left = set(runs)
            if (flat := self._flat(field, runs)) is not None:
                left = {number for number in runs if field in flat[number].get("", ())}
                known += [(number, field, flat[number][field]) for number in runs if field in flat[number]]
            if left and field.split(".")[0] == "metrics":
                self._read(texts, "metrics", left, whole=True)
                rows |= {number: self._blocks(number) for number in left}
            elif left:
                self._read(texts, field, left, whole)
        for number, of_run in texts.items():
            documents[number] = document(self.ids[number], of_run, rows.get(number, ()))
        for number, field, value in known:
            summary.put(documents[number], field, value)
        return documents, texts.keys()

    def whole(self, runs: Iterable[int], rows: bool) -> Documents:
        """Whole documents; without `rows` the metrics are not read."""
        documents = {}
        for number in runs:
            texts = {}
            for path, text, total in self._reader.execute("SELECT path, text, sum FROM parts WHERE run = ?", (number,)):
                texts[path] = text
                self._check(number, text, total)
            documents[number] = document(self.ids[number], texts, self._blocks(number) if rows else ())
        return documents

    def _blocks(self, number: int) -> list[str]:
        """Blocks of rows; a file of an earlier version has none."""
        texts = []
        with suppress(sqlite3.OperationalError):
            for text, total in self._reader.execute("SELECT text, sum FROM metrics WHERE run = ?", (number,)):
                self._check(number, text, total)
                texts.append(text)
        return texts

    def _flat(self, field: str, runs: Iterable[int]) -> dict[int, summary.Flat] | None:
        """The summaries that have a field, of at least these runs; None if no summary has it."""
        for fields, flats in self._flats.items():
            if field in fields:
                texts = self._texts[fields]
                flats |= {number: summary.unpacked(texts[number], fields) for number in runs if number not in flats}
                return flats
        return None

    def _read(self, texts: Texts, field: str, runs: set[int], whole: bool) -> None:
        """Read of each run the deepest part that the path of a field meets."""
        keys, missing = tuple(field.split(".")), runs
        for depth in range(len(keys), -1, -1):
            name, seen = parts.name(keys[:depth]), set()
            for number, text in self._rows(name, missing):
                texts.setdefault(number, {})[name] = text
                seen.add(number)
                if depth < len(keys) and parts.lacks(text, keys[depth]):
                    self.damaged.setdefault(number, f"{field} is missing in the file")
            if not (missing := missing - seen):
                break
        if whole:
            start = parts.name(keys)[:-1] + ","
            within = (start, start[:-1] + "-")  # the character after the comma
            query = "SELECT run, path, text, sum FROM parts WHERE path > ? AND path < ?"
            for number, path, text, total in self._reader.execute(query, within):
                if number in runs:
                    self._check(number, text, total)
                    texts.setdefault(number, {})[path] = text

    def _rows(self, path: str, runs: Collection[int]) -> Iterator[tuple[int, str]]:
        """A part of these runs."""
        query = "SELECT run, text, sum FROM parts WHERE path = ?"
        rows: Iterable[tuple[int, str, bytes]]
        if len(runs) < FEW:
            each = (self._reader.execute(f"{query} AND run = ?", (path, number)) for number in runs)
            rows = (row for cursor in each for row in cursor)
        else:
            rows = self._reader.execute(query, (path,))
        for number, text, total in rows:
            if number in runs:
                self._check(number, text, total)
                yield number, text

    def _check(self, number: int, text: str, total: bytes) -> None:
        if total != checksum(text):
            self.damaged.setdefault(number, "the checksum of a part differs")


def checksum(*texts: str) -> bytes:
    return blake2b("\n".join(texts).encode("utf-8", "replace"), digest_size=8).digest()


def document(id: str, texts: Mapping[str, str], rows: Iterable[str] = ()) -> dict[str, Any]:
    """The document of these parts and blocks.

    Damaged ones are left out, which its checksums show.
    """
    try:
        whole = blocks.join(parts.put_together(texts), map(json.loads, rows))
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        whole = {}
    return {**whole, "_id": id}
