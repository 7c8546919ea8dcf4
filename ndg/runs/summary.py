"""Fields of a run that lists, filters and frames often name, kept together as JSON.

{"kind": "train", "started": "...", "": ["error"]}      path and value; below "" are paths whose value is too long
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

HEAD: Final = (
    *("kind", "name", "status", "error", "parent", "started", "ended", "heartbeat", "digest", "training_digest"),
    *("folder", "journal", "revision", "log", "host", "pid", "boot", "born"),
)
"""Fields that every list reads."""
SUMMARY: Final = (
    *("tags", "notes", "seeds.seed", "config.data.name", "config.model.name"),
    *("results.train.validation_accuracy", "results.train.test_accuracy", "results.accuracy.test.rate"),
    *("results.accuracy.validation.rate", "results.trial.q.test.aligned", "results.trial.q.test.selectivity"),
)
"""Further fields of a frame."""
LONG: Final = 300
"""Characters of JSON above which a value is left out."""

Flat = dict[str, Any]


def packed(document: Mapping[str, Any], paths: Iterable[str]) -> str:
    """The JSON of the values at some paths."""
    values: Flat = {}
    left_out = []
    for path in paths:
        value: Any = document
        *before, last = path.split(".")
        for key in before:
            value = value.get(key, {}) if isinstance(value, dict) else value
        if not isinstance(value, dict):
            left_out += [path] if isinstance(value, list) else []  # a path goes on in its elements
        elif last in value:
            if len(json.dumps(value[last])) > LONG or isinstance(value[last], dict):
                left_out.append(path)
            else:
                values[path] = value[last]
    return json.dumps({**values, "": left_out} if left_out else values, separators=(",", ":"))


def unpacked(text: str, paths: Iterable[str]) -> Flat:
    """The values that such a JSON has.

    Of a damaged one none, as if all were too long.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    return values if isinstance(values, dict) else {"": list(paths)}


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Write a value at a path of a document."""
    *before, last = path.split(".")
    for key in before:
        document = document.setdefault(key, {})
    document[last] = value
