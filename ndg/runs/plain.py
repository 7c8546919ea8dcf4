"""Values of a run document: null, booleans, numbers, text, lists, dictionaries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from os import PathLike, fspath
from typing import Any

from ndg.errors import StoreError

LIMIT = 700_000  # bytes of BSON; names of metrics, tags, notes and attempts come on top, all within 1 MB
NUMBERS = 1_000_000  # of an array
ROWS = 12_000_000  # bytes of all rows of a run
APART = ("metrics", "times", "tags", "notes", "edits")
"""Fields that lie elsewhere, or have a limit of their own."""
PATHS = 500
MORE = "and others"
DOT = "\uff0e"
"""Stands for a dot in a key, as a dotted path could not name it otherwise; MongoDB's documentation proposes it."""
DEPTH = 90  # levels of one value; a server refuses documents of more than 100


def plain(value: Any, path: str = "") -> tuple[Any, list[str]]:
    """`value` in plain types, and paths that hold null for a number that was not finite.

    Raises StoreError for a value that has no plain form or more than `DEPTH` levels, and for a key that no query could
    name.
    """
    lost: list[str] = []
    return _plain(value, path, lost, 0), lost


def size(value: Any) -> int:
    """Bytes of a plain value in a BSON document (bsonspec.org 1.1).

    The largest integers count as 64 bits.
    """
    if isinstance(value, dict):
        return 5 + sum(2 + len(key.encode()) + size(each) for key, each in value.items())
    if isinstance(value, list):
        return size({str(place): each for place, each in enumerate(value)})
    if isinstance(value, str):
        return 5 + len(value.encode())
    if isinstance(value, bool) or value is None:
        return int(value is not None)
    return 4 if isinstance(value, int) and -(2**31) <= value < 2**31 else 8


def too_large(what: str, has: str, limit: str = f"a run document holds at most {LIMIT / 1e6:.2f} MB") -> StoreError:
    return StoreError(
        f"{limit}, and {what} {has}; write the array to a file in run.folder and log it with run.artefact(path)"
    )


def check_size(document: Mapping[str, Any], what: str) -> None:
    """Raise StoreError for a run document that is too large, apart from its rows and edits."""
    if not is_small(document):
        raise too_large(what, f"would make it {_own_size(document) / 1e6:.2f}")


def is_small(document: Mapping[str, Any]) -> bool:
    """Whether a run document keeps the limit, apart from its rows and edits."""
    return _own_size(document) <= LIMIT


def shortened(paths: list[str]) -> list[str]:
    """Paths of numbers that are not finite, the first `PATHS`.

    A last word says where there are more.
    """
    return paths if len(paths) <= PATHS else [*paths[:PATHS], MORE]


def _own_size(document: Mapping[str, Any]) -> int:
    return size({name: value for name, value in document.items() if name not in APART})


def check_key(key: Any, path: str) -> str:
    """`key` as text that a dotted path can name, with `DOT` for each dot."""
    text = str(key.value if isinstance(key, Enum) else key)
    if not text or text.startswith("$") or text.endswith("\\") or "\0" in text:
        raise StoreError(
            "a key of a run document has letters, no leading $ and no backslash at its end, so that a query can name "
            f"it; got {text!r}"
            f"{f' in {path}' if path else ''}; rename it, or write the table to a file with run.artefact(path)"
        )
    return text.replace(".", DOT)


def stored_path(path: str) -> str:
    """A dotted path as documents have it: `\\.`, which stands for a dot in a key, becomes `DOT`."""
    return path.replace("\\.", DOT)


def shown_path(path: str) -> str:
    """A path of a document as people write it; the opposite of `stored_path`."""
    return path.replace(DOT, "\\.")


def now() -> str:
    """This moment, UTC, ISO 8601 to the millisecond."""
    return iso(datetime.now(UTC))


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any, path: str, lost: list[str], level: int) -> Any:
    if level > DEPTH:
        raise StoreError(
            f"a value of a run document has at most {DEPTH} levels of lists and dictionaries; {path[:60] or 'one'} has "
            "more; make it flatter, or write it to a file and log it with run.artefact(path)"
        )
    if isinstance(value, Enum):
        return _plain(value.value, path, lost, level)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise StoreError(f"{path or 'an integer'} must fit in 64 bits; got {value}; store it as text")
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        lost.append(path)
        return None
    if isinstance(value, Mapping):
        names = [check_key(key, path) for key in value]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            same = [key for key, name in zip(value, names, strict=True) if name == twice[0]]
            raise StoreError(
                f"the keys of a run document must differ as text; {twice[0]!r} comes twice"
                f"{f' in {path}' if path else ''}; rename one of {same}"
            )
        pairs = zip(names, value.values(), strict=True)
        return {name: _plain(item, _join(path, name), lost, level + 1) for name, item in pairs}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    if isinstance(value, list | tuple):
        return [_plain(item, _join(path, i), lost, level + 1) for i, item in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value), path, lost, level)
    if isinstance(value, PathLike):
        return str(fspath(value))
    if isinstance(value, datetime):
        return iso(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        if math.prod(getattr(value, "shape", ())) > NUMBERS:
            numbers = f"has {'x'.join(map(str, value.shape))} numbers"
            raise too_large(path or "an array", numbers, f"an array of a run has at most {NUMBERS:,} numbers")
        return _plain(value.tolist(), path, lost, level)
    raise StoreError(
        f"a run document holds numbers, text, lists and dictionaries; got a {type(value).__name__}"
        f"{f' at {path}' if path else ''}; turn it into these, or write it to a file and log it with run.artefact(path)"
    )


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
