"""Queries in the words of a command line: `kind=train 'results.train.test_accuracy>0.9' name~^digits`."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from typing import Any, Final

from ndg.errors import UserError

OPERATORS: Final = {"=": "$eq", "!=": "$ne", ">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte", "~": "$regex"}

_CONDITION = re.compile(r"([^=<>!~]+)(!=|>=|<=|=|>|<|~)(.*)", re.DOTALL)


def words(text: str) -> list[str]:
    """The conditions in a line, as a shell reads them; backslashes stay.

    Raises UserError.
    """
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    vars(reader).update(whitespace_split=True, commenters="", escape="")
    try:
        return list(reader)
    except ValueError as error:
        raise UserError(f"conditions are words as in a shell; {text!r} has {str(error).lower()}") from error


def query(where: str | None, conditions: Iterable[str]) -> dict[str, Any]:
    """The query of --where and of words such as `kind=train` and `results.train.test_accuracy>0.9`."""
    parts = [] if where is None else [_json(where)]
    parts += [_condition(word) for word in conditions]
    return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}


def field(path: str) -> str:
    """The field that a command names by a path: `id` is `_id`."""
    return "_id" if path == "id" else path


def _condition(word: str) -> dict[str, Any]:
    """The query of a word such as `name=cnn`, `x>=0.5`, `name~^dig`.

    Raises UserError.
    """
    parts = _CONDITION.fullmatch(word)
    if parts is None:
        raise UserError(f"a condition is KEY=VALUE, with = != > >= < <= or ~ (pattern); got {word!r}; as in kind=train")
    path, sign, value = parts.groups()
    return {field(path.strip()): {OPERATORS[sign]: value if sign == "~" else _value(value)}}


def _value(text: str) -> Any:
    """A number, true, false or null; any other text is itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if value is None or isinstance(value, bool | int | float | str) else text


def _json(text: str) -> dict[str, Any]:
    """The query of --where. Raises UserError."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"the key {twice[0]!r} comes twice; join both by $and")
        return dict(pairs)

    reason = "a query is a mapping"
    try:
        query = json.loads(text, object_pairs_hook=distinct)
    except RecursionError:
        query, reason = None, "it has too many levels"
    except ValueError as error:
        query, reason = None, "a number has too many digits" if "digits" in str(error) else str(error)
    if not isinstance(query, dict):
        example = """'{"kind": "train"}'"""
        raise UserError(f"--where takes a MongoDB query as JSON, such as {example}; got {text[:200]!r} ({reason})")
    return query
