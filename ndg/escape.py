"""Escaping of text for the terminal, HTML, SVG, XML, DOT and CSV."""

from __future__ import annotations

import html as standard
import json
import re
from csv import QUOTE_MINIMAL, QUOTE_NONNUMERIC
from typing import TYPE_CHECKING, Any

from ndg.errors import GraphError

if TYPE_CHECKING:
    import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters of a cell that a spreadsheet may run as a formula."""
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)  # not tab and line feed; the order of writing and what XML forbids as well
_XML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
_SPECIAL = re.compile('[&<>"\n\r\t]')
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NO_DOT = re.compile(r'\A%|(?<!\\)(?:\\\\)*\\(?:"|\r?\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]')


def printable(text: object) -> str:
    """Text whose control characters are visible, as in `\\x1b`.

    Tabs and line breaks stay.
    """
    return _CONTROL.sub(lambda control: control.group().encode("unicode_escape").decode(), str(text))


def one_line(text: object) -> str:
    """Text with spaces in place of control characters, tabs and line breaks."""
    return _CONTROL.sub(" ", re.sub(r"[\t\n]", " ", str(text)))


def html(text: object) -> str:
    """Text for the content and attributes of HTML and SVG."""
    return standard.escape(printable(text))


def xml(text: str) -> str:
    """Text for XML content or attributes.

    GraphError for characters outside XML 1.0.
    """
    invalid = _NO_XML.search(text)
    if invalid:
        raise GraphError(
            f"XML cannot hold the control character {invalid.group()!r} in {text!r}; rename it, or export to JSON"
        )
    return _SPECIAL.sub(lambda sign: _XML[sign.group()], text)


def xml_json(text: str) -> str:
    """The text, or a JSON text where XML cannot hold it (see `undot`)."""
    return json.dumps(text) if _NO_XML.search(text) else text


def dot(text: str) -> str:
    """Quoted DOT text; what DOT cannot quote becomes a JSON text, which `undot` reads.

    These are backslashes before a quote or the end of a line, control characters, and `%` in front.
    """
    if _NO_DOT.search(text):
        text = '"' + json.dumps(text)[1:-1].replace("\\\\", "\\u005c").replace('\\"', "\\u0022") + '"'
    return '"' + text.replace('"', '\\"') + '"'


def undot(text: Any) -> Any:
    """Text of a value that `xml_json`, or `dot` and Graphviz, wrote."""
    if not (isinstance(text, str) and len(text) > 1 and text[0] == text[-1] == '"'):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def cell(value: Any) -> Any:
    """Cell of a CSV table, with `'` before what may be a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def csv(frame: pd.DataFrame, raw: bool = False) -> str:
    """Table as CSV text; `raw` leaves the cells as they are."""
    if not raw:
        frame = frame.rename(columns=cell)
        for name in frame.select_dtypes(exclude="number"):
            frame[name] = frame[name].map(cell)
    texts = frame.select_dtypes(exclude="number")
    returns = any("\r" in str(text) for text in [*frame.columns, *texts.to_numpy().ravel()])
    # Python leaves a bare carriage return unquoted, where the end of a line is a line feed
    return frame.to_csv(index=False, quoting=QUOTE_NONNUMERIC if returns else QUOTE_MINIMAL)
