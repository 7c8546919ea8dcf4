"""Text as XML and DOT hold it, so that names of any signs come back as they were; and rows of it, quickly."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ndg.errors import GraphError

_XML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_SPECIAL = re.compile('[&<>"\n\r\t]')
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NO_DOT = re.compile(r'(?<!\\)(?:\\\\)*\\(?:"|\r?\n|\Z)|\x00')


def xml(text: str) -> str:
    """A text between tags or between double quotes; GraphError for signs that XML 1.0 cannot hold."""
    found = _NO_XML.search(text)
    if found:
        raise GraphError(
            f"XML cannot hold the control character {found.group()!r} in {text!r}; rename it, or export to JSON"
        )
    return _SPECIAL.sub(lambda sign: _XML[sign.group()], text)


def dot(text: str) -> str:
    """A quoted text; GraphError where a backslash would escape the quote or line break behind it."""
    if _NO_DOT.search(text):
        raise GraphError(
            f"DOT cannot hold a backslash before a quote or at the end of a line, as in {text!r}; "
            "rename it, or export to JSON"
        )
    return '"' + text.replace('"', '\\"') + '"'


def lines(
    rows: list[tuple[Any, ...]], escape: Callable[[str], str], pieces: Sequence[str], texts: int, ends: int = 0
) -> str:
    """One text of all rows: for each the pieces, with its values in place of their `%s`, those of unknown values left
    out. The first `texts` values are escaped; the first `ends` stand in the first piece, the last piece has none."""
    written, whole = cache(escape), "".join(pieces)
    found = []
    for row in rows:
        values = (*map(written, row[:texts]), *row[texts:])
        if None in row:
            told = [piece for piece, value in zip(pieces[1:-1], row[ends:], strict=True) if value is not None]
            form = "".join((pieces[0], *told, pieces[-1]))
            found.append(form % tuple(value for value in values if value is not None))
        else:
            found.append(whole % values)
    return "".join(found)


def plain(value: str | float | int | bool) -> str:
    """A value as GraphML, GEXF and DOT write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
