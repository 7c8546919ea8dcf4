"""Paths that users give, checked before anything opens them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ndg.errors import ConfigError, check_kind

NAME, WHOLE = 255, 4095
"""Most bytes of one name and of a whole path."""


ADDRESS = re.compile(r"(https?|s3|gs|hf|ftp|file|ssh|mongodb)(\+\w+)?:/", re.IGNORECASE)
"""The beginning of an address, which `Path` would take for a folder."""


def path_of(path: str | os.PathLike[str], what: str = "a path") -> Path:
    """The path, with `~` as the home folder.

    Raises ConfigError for what is neither text nor a path object, an address, and a path that no file can have.
    """
    check_kind(path, (str, os.PathLike), f"{what} must be text or a pathlib.Path", "give the name of a file or folder")
    text = str(path)
    expanded = os.path.expanduser(text)
    raw = os.fsencode(expanded) if "\0" not in expanded else b""
    rule = ""
    if not raw and text:
        rule = "text without NUL"
    elif len(raw) > WHOLE or max(map(len, raw.split(b"/")), default=0) > NAME:
        rule = f"at most {WHOLE} bytes long, with names of at most {NAME}"
    elif text.startswith("~") and expanded == text:
        rule = "below a known home folder where it begins with ~"
    elif ADDRESS.match(text):
        rule = "a path of this machine"
    if rule:
        raise ConfigError(f"{what} must be {rule}; got {text[:80]!r}; give another, for instance an absolute one")
    return Path(expanded)


def file_of(path: str | os.PathLike[str], name: str, what: str = "a file to be written") -> Path:
    """The file to be written: `path`, or the file `name` in it if it is a folder.

    A path that ends in a slash is a folder. A file without a suffix gets that of `name`. Raises ConfigError as
    `path_of` does.
    """
    target = path_of(path, what)
    if target.is_dir() or str(path).endswith(("/", os.sep)):
        return target / name
    return target if target.suffix else target.with_suffix(Path(name).suffix)
