"""Documents that are wanted of a store: filter, order, number and fields."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from ndg.runs import record
from ndg.runs.matching import Predicate, matcher, sort_key
from ndg.runs.query import Sort, check_path, ordering, paths, validated

Key = TypeVar("Key", bound=Hashable)


class Selection:
    """Validated query with order, limit and fields.

    Fields are kept (1, dotted paths) or dropped (0).

    With `checked` a document that is no whole record is `{"_id": ..., "damage": the reason}`.
    """

    def __init__(
        self,
        where: Mapping[str, Any] | None,
        sort: Sort = None,
        limit: int | None = None,
        fields: Mapping[str, int] | None = None,
        checked: bool = False,
    ) -> None:
        self.query = validated(where)
        self.order = ordering(sort)
        self.limit = limit or None
        self.fields = dict(fields or {})
        self.checked = checked

    @cached_property
    def wanted(self) -> list[str]:
        """Paths to keep, none of which lies in another.

        Nothing where all are kept.
        """
        paths = sorted({check_path(path) for path, keep in self.fields.items() if keep})
        return [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]

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

    def narrowed(self, documents: Mapping[Key, dict[str, Any]], fields: Collection[str]) -> dict[Key, dict[str, Any]]:
        """Documents that fulfil the conditions on some fields alone."""
        matches = matcher({field: condition for field, condition in self.query.items() if field in fields})
        return {key: document for key, document in documents.items() if matches(document)}

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

    def trim(self, document: dict[str, Any], damage: str | None = None) -> dict[str, Any]:
        """The document with the wanted fields.

        A damaged one as `checked` says.
        """
        if self.checked and (reason := record.damage(document) if damage is None else damage):
            return {"_id": document["_id"], "damage": reason}
        if self.wanted:
            return {"_id": document["_id"], **_kept(document, [path.split(".") for path in self.wanted])}
        return {key: value for key, value in document.items() if key not in self.fields}


def _kept(document: Any, paths: Iterable[Sequence[str]]) -> Any:
    """What some paths name in a document.

    Where a path meets a list, it goes on in each dictionary of the list.
    """
    if isinstance(document, list):
        return [_kept(item, paths) for item in document if isinstance(item, dict | list)]
    inside: dict[str, list[Sequence[str]]] = {}
    for key, *rest in paths:
        if key in document and (not rest or isinstance(document[key], dict | list)):
            inside.setdefault(key, []).extend([rest] if rest else [])
    return {key: _kept(document[key], rests) if rests else document[key] for key, rests in inside.items()}
