"""Lines of JSON that carry a checksum of themselves, for append-only files."""

from __future__ import annotations

import hashlib
import json
from typing import Any

MARK = b',"sum":"'


def signed_line(entry: dict[str, Any]) -> bytes:
    """A whole line of a non-empty entry."""
    body = json.dumps(entry, separators=(",", ":"), allow_nan=False).encode()[:-1]
    return body + MARK + checksum(body) + b'"}\n'


def read_line(line: bytes) -> dict[str, Any] | None:
    """The entry of a line.

    None for a line that is not whole.
    """
    body, mark, tail = line.rpartition(MARK)
    if not mark or tail != checksum(body) + b'"}\n':
        return None
    try:
        entry = json.loads(body + b"}")
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()
