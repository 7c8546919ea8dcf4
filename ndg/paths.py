"""Paths that users give, checked before anything opens them."""

from __future__ import annotations

import os
from pathlib import Path

from ndg.errors import ConfigError

NAME, WHOLE = 255, 4095
"""Most bytes of one name and of a whole path."""


def path_of(path: str | os.PathLike[str], what: str = "a path") -> Path:
    """The path, with `~` as the home folder. Raises ConfigError for one that no file can have."""
    text = os.fspath(path)
    expanded = os.path.expanduser(text)
    raw = os.fsencode(expanded) if "\0" not in expanded else b""
    rule = ""
    if not raw and text:
        rule = "text without NUL"
    elif len(raw) > WHOLE or max(map(len, raw.split(b"/")), default=0) > NAME:
        rule = f"at most {WHOLE} bytes long, with names of at most {NAME}"
    elif text.startswith("~") and expanded == text:
        rule = "below a known home folder where it begins with ~"
    if rule:
        raise ConfigError(f"{what} must be {rule}; got {text[:80]!r}; give another, for instance an absolute one")
    return Path(expanded)
