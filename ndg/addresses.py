"""Addresses of run logs: which are allowed, and texts without their passwords."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ndg.errors import ConfigError

LOCAL = ("file", "memory")
"""Schemes of run logs without a server: what follows is a name, which is shown."""
_PASSWORD = re.compile(r"(?<=://)([^\s:@/]*):\S*@")
_WITHOUT_SCHEME = re.compile(r"(?<![\w%.+-])([\w%.+-]+):(?!//)\S*@")
_SECRET = re.compile(r"((?:password\w*|secret\w*|token)[=:])[^&,\s'\"]+", re.IGNORECASE)
_NO_PORT = re.compile(r"(?<=://)([^\s:@/,]*):(?!\d+(?:[,/?#\s]|$)|\*\*\*)[^\s@/]*")


def mask(text: str) -> str:
    """A text with *** for passwords, tokens and secrets."""
    text = _WITHOUT_SCHEME.sub(r"\1:***@", _PASSWORD.sub(r"\1:***@", text))
    return _SECRET.sub(r"\1***", _NO_PORT.sub(r"\1:***", text))


def check_address(text: str) -> str:
    """The address of a run log.

    Raises ConfigError for one that may hold a password and that `mask` cannot hide.

    The message has nothing of such an address, because a password may be anywhere in it.
    """
    scheme, server, rest = text.partition("://")
    secret = ":" in text.rpartition("@")[0] or (":" in text and text.lower().startswith("mongo"))
    problem = ""
    if (server or secret) and re.search(r"[\s\0-\x1f]", text):
        problem = "it has a blank or a line break"
    elif secret and not server:
        problem = "it has no ://"
    elif ":" in rest and scheme.lower().partition("+")[0] in LOCAL:
        problem = f"{scheme}:// has no password, so no colon follows"
    elif server and re.search(r"[?#].*@", text):
        problem = "it has ? or # before @"
    if not problem:
        return text
    raise ConfigError(
        f"store.uri is a file path or mongodb://USER:PASSWORD@HOST/DATABASE; {problem} ({len(text)} characters, not "
        "shown for the password in it); put the address in quotes, and write @ : / ? # % and blanks in a password as "
        "%40 %3A %2F %3F %23 %25 %20"
    )


def without_pieces(message: str, arguments: Sequence[str]) -> str:
    """A message without passwords, also without the pieces of an address that a shell split at blanks."""
    first = next((i for i, word in enumerate(arguments) if ":" in word), len(arguments))
    ends = [i for i, word in enumerate(arguments) if "@" in word and i > first]
    if not ends and any(_is_cut(word) for word in arguments):
        ends = [len(arguments)]  # an address that was cut before its @, or lacks it
    odd = [word for word in arguments if re.search(r"\s", word)]
    pieces = [word for word in odd if ":" in word.rpartition("@")[0] or re.match(r"\s*store(\.uri)?\s*=", word)]
    pieces += arguments[first : ends[-1] + 1] if ends else []
    for piece in sorted(pieces, key=len, reverse=True):
        message = message.replace(repr(piece)[1:-1], "***").replace(piece, "***") if piece else message
    return mask(message)


def _is_cut(word: str) -> bool:
    """Whether a word without @ may be the beginning of an address with a password."""
    if "://" in word:
        return mask(word) != word
    return word.lower().startswith("mongo") and ":" in word
