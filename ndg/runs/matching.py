"""MongoDB's rules for filters and sorting, on plain documents.

A dotted path names a field. Where the path meets a list, it goes on in each dictionary of the list, and a whole number
in the path also names one element. A list at the end of the path stands for itself and for each of its elements.
A filter holds if it holds for any of these values; `$ne`, `$nin` and `$nor` negate the whole condition. Values are
compared within their type: numbers with numbers, text with text, booleans with booleans.

Source: MongoDB manual, "Query and Projection Operators", "Query an Array", "Query for Null or Missing Fields" and
"Comparison/Sort Order".
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from ndg.errors import UserError
from ndg.runs.patterns import STEPS, compiled, repeats

MISSING: Final = object()
"""The value of a path that names nothing."""

Predicate = Callable[[Any], bool]
COMPARE = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
NEGATED = {"$ne": "$eq", "$nin": "$in"}


def matcher(query: Mapping[str, Any]) -> Predicate:
    """A function that tells whether a document matches a query from `ndg.runs.query.validated`."""
    tests = [_clause(key, condition) for key, condition in query.items()]
    return lambda document: all(test(document) for test in tests)


def values(document: Any, parts: Sequence[str]) -> Iterator[Any]:
    """All values that a path names in a document.

    MISSING for a path that ends early.
    """
    for depth, part in enumerate(parts):
        if isinstance(document, list):
            yield from _in_list(document, parts[depth:])
            return
        if not isinstance(document, dict) or part not in document:
            yield MISSING
            return
        document = document[part]
    if isinstance(document, list):
        yield from document
    yield document


def sort_key(document: Any, path: str, direction: int) -> tuple[int, Any]:
    """Key of a document for sorting by a path.

    Of a list its least value upwards, its greatest downwards.
    """
    if isinstance(value := document.get(path), str):  # the usual case, and the path has no dot
        return (_TEXT, value)
    named = list(values(document, split(path)))
    named = [value for value in named if not isinstance(value, list)] or named
    keys = [_rank(value) for value in named] or [(_NULL, 0)]
    return min(keys) if direction > 0 else max(keys)


def split(path: str) -> list[str]:
    return path.split(".")


def _in_list(items: list[Any], parts: Sequence[str]) -> Iterator[Any]:
    """Values of a path that goes on inside a list."""
    for number, item in enumerate(items):
        if isinstance(item, dict):
            yield from values(item, parts)
        if parts[0] == str(number):
            if len(parts) == 1:
                yield item
            elif isinstance(item, dict | list):
                yield from values(item, parts[1:])


def _clause(key: str, condition: Any) -> Predicate:
    match key:
        case "$and":
            parts = [matcher(query) for query in condition]
            return lambda document: all(part(document) for part in parts)
        case "$or":
            parts = [matcher(query) for query in condition]
            return lambda document: any(part(document) for part in parts)
        case "$nor":
            parts = [matcher(query) for query in condition]
            return lambda document: not any(part(document) for part in parts)
    tests = [_field(split(key), name, operand) for name, operand in condition.items()]
    return lambda document: all(test(document) for test in tests)


def _field(parts: list[str], name: str, operand: Any) -> Predicate:
    if name in NEGATED:
        positive = _field(parts, NEGATED[name], operand)
        return lambda document: not positive(document)
    if name == "$all":
        each = [_field(parts, "$eq", item) for item in operand]
        return lambda document: all(test(document) for test in each)
    holds = _value(name, operand)
    wanted = bool(operand) if name == "$exists" else True
    return lambda document: any(map(holds, values(document, parts))) == wanted


def _value(name: str, operand: Any) -> Predicate:
    """Whether a single value fulfils a condition."""
    if name == "$exists":
        return lambda value: value is not MISSING
    if name == "$regex":
        return _searching(operand)
    if name in COMPARE:
        compare, kind = COMPARE[name], _kind(operand)
        return lambda value: _kind(value) == kind and compare(value, operand)
    operands = operand if name == "$in" else [operand]
    null = None in operands
    equal = {(_kind(item), item) for item in operands if item is not None}
    return lambda value: null if value is None or value is MISSING else _pair(value) in equal


def _searching(pattern: str) -> Predicate:
    search, loops = compiled(pattern).search, repeats(pattern)

    def holds(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if len(value) ** loops > STEPS:
            raise UserError(
                f"a pattern may take {STEPS:.0e} steps on a text; {pattern!r} may take {len(value)}^{loops} on a text "
                f"that begins with {value[:40]!r}; write fewer * and +, or begin it with ^"
            )
        return search(value) is not None

    return holds


def _pair(value: Any) -> tuple[int, Any]:
    kind = _kind(value)
    return (kind, value) if kind in (_NUMBER, _TEXT, _BOOLEAN) else (kind, None)


_NULL, _NUMBER, _TEXT, _DICTIONARY, _LIST, _BOOLEAN = range(1, 7)  # in MongoDB's order of types


def _kind(value: Any) -> int:
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int | float):
        return _NUMBER
    if isinstance(value, str):
        return _TEXT
    return _DICTIONARY if isinstance(value, dict) else _LIST if isinstance(value, list) else _NULL


def _rank(value: Any) -> tuple[int, Any]:
    if value == []:
        return (0, 0)  # an empty list sorts before null
    kind = _kind(value)
    if kind == _NULL:
        return (kind, 0)
    return (kind, value) if kind in (_NUMBER, _TEXT, _BOOLEAN) else (kind, json.dumps(value, sort_keys=True))
