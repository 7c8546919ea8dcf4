"""Which layers of a network are meant: module paths, or regular expressions over them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

from ndg.errors import LayerError, nearest


def find_layers(model: nn.Module, layers: Iterable[str]) -> list[str]:
    """Module paths in the network's order, each once. An entry is a path; else an expression that a whole path matches.

    Raises LayerError for an entry that is neither, naming the nearest paths, and without any entry.
    """
    paths = [path for path, _ in model.named_modules() if path]
    known = set(paths)
    chosen: set[str] = set()
    entries = [layers] if isinstance(layers, str) else list(layers)
    if not entries:
        raise LayerError("at least one layer is extracted; got none")
    for entry in entries:
        found = {entry} if entry in known else _matches(entry, paths)
        if not found:
            raise LayerError(f"no layer {entry!r} in {type(model).__name__}; {nearest(entry, paths)}")
        chosen |= found
    return [path for path in paths if path in chosen]


def _matches(expression: str, paths: list[str]) -> set[str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise LayerError(
            f"a layer is a module path or a regular expression that matches whole paths; {expression!r} is no path and "
            f"no expression: {error}; {nearest(expression, paths)}"
        ) from error
    return {path for path in paths if pattern.fullmatch(path)}
