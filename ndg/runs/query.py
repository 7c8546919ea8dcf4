"""The query language of the run log, a part of MongoDB's.

    {"results.trial.q.test.aligned": {"$gt": 0.9}, "tags": "paper", "$or": [{"kind": "train"}, {"kind": "align"}]}

Fields are dotted paths. All stores answer as MongoDB does (`ndg.runs.matching`): a plain value matches an equal one,
and a list (tags) that holds it; null matches null and what is absent. `$gt $gte $lt $lte` compare numbers with numbers
and text with text, `$regex` reads text. Other operators are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from reprlib import repr as short
from typing import Any

from ndg.errors import StoreError, UserError, nearest
from ndg.runs import patterns
from ndg.runs.plain import plain, stored_path

FIELD = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$regex", "$options", "$all")
LOGICAL = ("$and", "$or", "$nor")
DEPTH = 20
"""Levels of a query; readers of queries call themselves for each."""

Sort = str | Iterable[str | tuple[str, int]] | None


def validated(where: Any, depth: int = 1) -> dict[str, Any]:
    """The query with plain values, an operator for each, and flags inside the patterns.

    Raises UserError for an operator outside the language (naming the nearest), a bad path or a value of the wrong kind,
    and for a query nested deeper than `DEPTH`.
    """
    if depth > DEPTH:
        raise UserError(f"a query has at most {DEPTH} levels; got more; write it flatter, with one $or of all cases")
    query: dict[str, Any] = {}
    for key, condition in _mapping({} if where is None else where, "a query").items():
        if key in LOGICAL:
            if not isinstance(condition, list | tuple) or not condition:
                raise UserError(f"{key} takes a list of one or more queries; got {condition!r}")
            query[key] = [validated(part, depth + 1) for part in condition]
        elif key.startswith("$"):
            raise UserError(f"a query has no {key!r} at the top; {nearest(key, LOGICAL)}; fields are dotted paths")
        else:
            query[check_path(key)] = _field(key, condition)
    return query


def paths(query: Mapping[str, Any]) -> set[str]:
    """All fields that a checked query names."""
    named: set[str] = set()
    for key, condition in query.items():
        named |= set().union(*map(paths, condition)) if key in LOGICAL else {key}
    return named


def ordering(sort: Sort) -> list[tuple[str, int]]:
    """Pairs of path and direction (1, -1) of a sort."""
    pairs: list[tuple[str, int]] = []
    for key in [sort] if isinstance(sort, str) else sort or []:
        match key:
            case str():
                pairs.append((check_path(key.removeprefix("-")), -1 if key.startswith("-") else 1))
            case (path, 1 | -1 as direction):
                pairs.append((check_path(path), direction))
            case _:
                raise UserError(f"a sort key is a path with 1 (upwards) or -1 (downwards), or '-path'; got {key!r}")
    return pairs


def check_path(path: str) -> str:
    """The path as documents have it, with `\\.` for a dot in a key.

    Raises UserError where no document can have such a field.
    """
    path = stored_path(path) if isinstance(path, str) else path
    parts = path.split(".") if isinstance(path, str) else [""]
    if not all(parts) or any(part.startswith("$") for part in parts):
        raise UserError(f"a field is a dotted path such as results.trial.q.test.aligned; got {path!r}")
    _check_text(path, path)
    return path


def ids_with(part: str) -> list[dict[str, str]]:
    """Conditions on the id of a run that is named by a part.

    The part is its beginning, else its end, else anything in it.
    """
    named = re.escape(part)
    return [{"$gte": part, "$lt": f"{part}\uffff"}, {"$regex": f"{named}$"}, {"$regex": named}] if part else []


def _field(path: str, condition: Any) -> dict[str, Any]:
    if isinstance(condition, re.Pattern):
        condition = {"$regex": condition}
    if not isinstance(condition, Mapping):
        return {"$eq": _scalar(path, condition)}
    operators = _mapping(condition, path)
    for operator in operators:
        if operator not in FIELD:
            hint = nearest(operator, FIELD) if operator.startswith("$") else "name a field inside it with a dot"
            allowed = f"; operators are {' '.join(FIELD)}" if operator.startswith("$") else ""
            raise UserError(f"{path} cannot be asked by {operator!r}; {hint}{allowed}")
    if "$options" in operators and "$regex" not in operators:
        raise UserError(f"$options belongs to a $regex; {path} has none")
    return {name: _operand(path, name, value, operators) for name, value in operators.items() if name != "$options"}


def _operand(path: str, operator: str, value: Any, together: Mapping[str, Any]) -> Any:
    match operator:
        case "$in" | "$nin" | "$all":
            return _scalars(path, operator, value)
        case "$exists":
            if not isinstance(value, bool | int):
                raise UserError(f"$exists takes true or false; {path} was asked with {value!r}")
            return bool(value)
        case "$regex":
            return _pattern(path, value, together)
    value = _scalar(path, value)
    if operator not in ("$eq", "$ne") and (value is None or isinstance(value, bool)):
        raise UserError(f"{operator} compares numbers or text; {path} was asked with {value!r}")
    return value


def _pattern(path: str, value: Any, together: Mapping[str, Any]) -> str:
    """A regular expression as text, with its options inside: `(?i)cnn`."""
    options = str(together.get("$options", ""))
    if isinstance(value, re.Pattern):
        flags = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
        options += "".join(letter for letter, flag in flags.items() if value.flags & flag)
        value = value.pattern
    if not isinstance(value, str) or set(options) - set("imsx"):
        raise UserError(f"$regex takes a text, with $options among i, m, s, x; {path} was asked with {value!r}")
    _check_text(path, value)
    pattern = f"(?{''.join(sorted(set(options)))}){value}" if options else value
    patterns.check(pattern)
    return pattern


def _scalar(path: str, value: Any) -> Any:
    number = value
    try:
        value, lost = plain(value, path)
    except StoreError as error:
        raise UserError(
            f"{path} is compared with a value that no run document holds: {short(value)}; {error}"
        ) from error
    if isinstance(value, str):
        _check_text(path, value)
    if lost and value is None:
        raise UserError(
            f"{path} is compared with a finite number; got {json.dumps(float(number))}; runs hold null in its place, "
            "and name the path in nonfinite"
        )
    if isinstance(value, list | dict):
        raise UserError(
            f"{path} is compared with one number, text, boolean or null; got {short(value)}; use $in for several"
        )
    return value


def _check_text(path: str, text: str) -> None:
    """Raise UserError for a text that no store can hold."""
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise UserError(
            f"{'a run is named by' if path == '_id' else f'{path} is compared with'} text that UTF-8 can hold, without "
            f"NUL; got {text[:80]!r}; correct it"
        )


def _scalars(path: str, operator: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        raise UserError(f"{operator} takes a list of one or more values; {path} was asked with {value!r}")
    return [_scalar(path, item) for item in value]


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    texts = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if not texts or (not value and what != "a query"):
        raise UserError(f"{what} is asked by a dictionary of fields or operators; got {value!r}")
    return value
