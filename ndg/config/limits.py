"""Limits of a config: its depth, its length and its values."""

from __future__ import annotations

import math
from typing import Any

import yaml

from ndg.errors import ConfigError

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

BYTES, DEPTH, VALUES = 1_000_000, 32, 100_000
"""Limits of the text, of nesting, and of values with all aliases written out."""


def check_yaml(text: str, what: object) -> None:
    """Raise ConfigError for YAML that is too long, too deep or circular.

    Reading such a text could take all memory. Other mistakes are left to the reader of the text.
    """
    if len(text) > BYTES:
        raise ConfigError(f"a config has at most {BYTES:,} characters; {what} has {len(text):,}; give a shorter one")
    counts = [0]
    names: list[str | None] = [None]
    sizes: dict[str | None, int] = {}
    try:
        for event in yaml.parse(text, Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                counts.append(1)
                names.append(event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                sizes[names.pop()] = count = counts.pop()
                counts[-1] += count
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor in names:
                    raise ConfigError(f"a config must not contain itself; {what} does by *{event.anchor}; write it out")
                counts[-1] += sizes.get(event.anchor, 1)
            elif isinstance(event, yaml.ScalarEvent):
                sizes[event.anchor] = 1
                counts[-1] += 1
            if len(counts) > DEPTH + 1 or counts[-1] > VALUES:
                raise ConfigError(
                    f"a config has at most {DEPTH} levels and {VALUES:,} values; {what} has more; give a simpler one"
                )
    except (yaml.YAMLError, UnicodeEncodeError):
        return


def check_values(document: Any) -> None:
    """Raise ConfigError for infinite or too large numbers and text that is no Unicode."""
    stack = [("", document)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            for key, item in value.items():
                name = f"{path}.{key}" if path else f"{key}"
                stack += [(f"a key in {path or 'the config'}", key), (name, item)]
        elif isinstance(value, list | tuple):
            stack += [(path, item) for item in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path} must be a finite number; got {value}; write a decimal such as 0.001")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(f"{path} must fit in 64 bits; got a number of {len(f'{value:x}')} hexadecimal digits")
        elif isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            raise ConfigError(
                f"{path} must be Unicode text without NUL and unpaired surrogates; got {value[:80]!r}; correct it"
            )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
