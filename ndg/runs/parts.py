"""Documents in parts of about one kilobyte, so that a query reads only what it names.

A part holds the small fields of one dictionary; each large dictionary or list in it has a part of its own and leaves
`{"\\0": 1}` in its place, which no document contains. The part of the path `("results", "trial")` holds the small
fields of `results.trial`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

SIZE: Final = 1_000
"""Characters of JSON above which a dictionary or list gets its own part."""
ELSEWHERE: Final = '{"\\u0000":1}'

Path = tuple[str, ...]


def take_apart(document: dict[str, Any]) -> dict[str, str]:
    """JSON texts of the parts of a document, by the name of their path."""
    parts: dict[str, str] = {}
    text = _text(document, (), parts)
    if text is not None:
        parts[name(())] = text
    return parts


def put_together(parts: Mapping[str, str]) -> dict[str, Any]:
    """The document of some of its parts.

    What is in no part is an empty dictionary. Raises ValueError.
    """
    document: dict[str, Any] = {}
    for path, text in sorted((tuple(json.loads(key)), text) for key, text in parts.items()):
        value = json.loads(text, object_hook=_emptied if ELSEWHERE in text else None)
        if not path:
            document = value
            continue
        home = document
        for key in path[:-1]:
            home = home.setdefault(key, {})
        home[path[-1]] = value
    return document


def lacks(text: str, key: str) -> bool:
    """Whether a key of a part has a part of its own."""
    return ELSEWHERE in text and f"{dumps(key)}:{ELSEWHERE}" in text


def name(path: Path) -> str:
    """Path as a JSON list, which inner paths continue."""
    return dumps(path)


def _text(value: Any, path: Path, parts: dict[str, str]) -> str | None:
    """The JSON text of a small value.

    None for a large one, which is added to the parts.
    """
    if not isinstance(value, dict):
        text = dumps(value)
        if len(text) <= SIZE or not isinstance(value, list):
            return text
        parts[name(path)] = text
        return None
    texts = {key: _text(item, (*path, key), parts) for key, item in value.items()}
    text = f"{{{','.join(_pairs(texts))}}}"
    if len(text) <= SIZE and None not in texts.values():
        return text
    parts[name(path)] = text
    return None


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _pairs(texts: Mapping[str, str | None]) -> Iterator[str]:
    for key, text in texts.items():
        yield f"{dumps(key)}:{ELSEWHERE if text is None else text}"


def _emptied(value: dict[str, Any]) -> dict[str, Any]:
    return {} if "\0" in value else value
