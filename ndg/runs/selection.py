"""Which documents of a store are wanted: filter, order, number and fields."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from ndg.runs.matching import Predicate, matcher, sort_key
from ndg.runs.query import Sort, ordering, paths, validated

Key = TypeVar("Key", bound=Hashable)


class Selection:
    """A validated query with its order, limit and fields to keep (1) or to drop (0)."""

    def __init__(
        self, where: Mapping[str, Any] | None, sort: Sort, limit: int | None, fields: Mapping[str, int] | None
    ) -> None:
        self.query = validated(where)
        self.order = ordering(sort)
        self.limit = limit or None
        self.fields = dict(fields or {})

    @property
    def id(self) -> str | None:
        """The id that the query asks for, if it asks for exactly one."""
        match self.query.get("_id"):
            case {"$eq": str() as id}:
                return id
        return None

    @cached_property
    def names(self) -> set[str]:
        """All fields that the filter and the order name."""
        return paths(self.query) | {path for path, _ in self.order}

    @cached_property
    def _matches(self) -> Predicate:
        return matcher(self.query)

    def choose(self, documents: Mapping[Key, dict[str, Any]]) -> list[Key]:
        """Keys of the documents that match, in order."""
        chosen = [key for key, document in documents.items() if self._matches(document)]
        for path, direction in reversed(self.order):
            keys = {key: sort_key(documents[key], path, direction) for key in chosen}
            chosen.sort(key=keys.__getitem__, reverse=direction < 0)
        return chosen

    def among(self, documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The wanted documents of all."""
        every = dict(enumerate(documents))
        return [self.trim(every[key]) for key in self.choose(every)[: self.limit]]

    def trim(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with the wanted fields."""
        if 1 in self.fields.values():
            return {key: value for key, value in document.items() if key in self.fields or key == "_id"}
        return {key: value for key, value in document.items() if key not in self.fields}
