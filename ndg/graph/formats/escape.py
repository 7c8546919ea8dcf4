"""Escaping of text for XML and DOT, and fast formatting of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ndg.errors import GraphError

TYPES = {bool: "boolean", int: "long", float: "double"}  # in GraphML and GEXF
_XML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_SPECIAL = re.compile('[&<>"\n\r\t]')
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NO_DOT = re.compile(r'(?<!\\)(?:\\\\)*\\(?:"|\r?\n|\Z)|\x00')


def xml(text: str) -> str:
    """Text for XML content or attributes; GraphError for characters outside XML 1.0."""
    invalid = _NO_XML.search(text)
    if invalid:
        raise GraphError(
            f"XML cannot hold the control character {invalid.group()!r} in {text!r}; rename it, or export to JSON"
        )
    return _SPECIAL.sub(lambda sign: _XML[sign.group()], text)


def dot(text: str) -> str:
    """Quoted DOT text; GraphError if a backslash breaks the quoting."""
    if _NO_DOT.search(text):
        raise GraphError(
            f"DOT cannot hold a backslash before a quote or at the end of a line, as in {text!r}; "
            "rename it, or export to JSON"
        )
    return '"' + text.replace('"', '\\"') + '"'


def lines(
    rows: list[tuple[Any, ...]], escape: Callable[[str], str], pieces: Sequence[str], texts: int, ends: int = 0
) -> str:
    """Text of all rows: the pieces, with values in place of their `%s`, without unknown ones.

    The first `texts` values are escaped; the first `ends` values stand in the first piece.
    """
    escaped, whole = cache(escape), "".join(pieces)
    formatted = []
    for row in rows:
        values = (*map(escaped, row[:texts]), *row[texts:])
        if None in row:
            known_pieces = [piece for piece, value in zip(pieces[1:-1], row[ends:], strict=True) if value is not None]
            form = "".join((pieces[0], *known_pieces, pieces[-1]))
            formatted.append(form % tuple(value for value in values if value is not None))
        else:
            formatted.append(whole % values)
    return "".join(formatted)


def plain(value: str | float | int | bool) -> str:
    """Value as GraphML, GEXF and DOT write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
