"""The reference of all config keys, from the docstrings of the sections."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from ndg.config.networks import NETWORKS
from ndg.config.schema import Experiment
from ndg.config.validation import MODEL_RULES, RULES

ENTRY = re.compile(r"^(\w+): (.+(?:\n +.+)*)", re.MULTILINE)
"""A field in a docstring: `epochs: at most so many`."""


TYPES = {"Any": "any", "dict[str, Any]": "keys"} | {
    f"list[{item}]": f"list of {item}" for item in ("str", "int", "float")
}


@dataclass(frozen=True)
class Key:
    """A config key; `meaning` ends with the rule of its values."""

    key: str
    type: str
    default: Any
    meaning: str

    def with_choices(self, names: Iterable[str]) -> Key:
        """The same key, with the names that it takes."""
        return replace(self, meaning=f"{self.meaning}: {', '.join(names)}")

    @property
    def cells(self) -> tuple[str, str, str, str]:
        return self.key, self.type, json.dumps(self.default), self.meaning


def keys() -> list[Key]:
    """Every key of a config, with the keys of each network."""
    rows: list[Key] = []
    for each in fields(Experiment):
        section = getattr(Experiment(), each.name)
        if each.name == "model":
            rows += _networks()
        elif is_dataclass(section):
            rows += _section(section, f"{each.name}.")
        else:
            rows += [key for key in _section(Experiment(), "") if key.key == each.name]
    return rows


def _networks() -> Iterator[Key]:
    """The keys of all networks; equal ones once, with the names of their networks."""
    names: dict[tuple[str, ...], list[str]] = {}
    known: dict[tuple[str, ...], Key] = {}
    for network in NETWORKS:
        for key in _section(network(), "model."):
            known.setdefault(key.cells, key)
            names.setdefault(key.cells, []).append(network.name)
    yield Key("model.name", "str", NETWORKS[0].name, "network")
    for cells, key in sorted(known.items()):
        if key.key != "model.name":
            yield replace(key, meaning=f"{', '.join(names[cells])}: {key.meaning}")


def _section(section: Any, prefix: str) -> Iterator[Key]:
    meanings: dict[str, str] = {}
    for base in reversed(type(section).__mro__):
        meanings |= {name: " ".join(text.split()) for name, text in ENTRY.findall(inspect.cleandoc(base.__doc__ or ""))}
    for each in fields(section):
        part = getattr(section, each.name)
        if prefix and is_dataclass(part):
            yield Key(prefix + each.name, "keys", {}, meanings.get(each.name, ""))
            yield from _section(part, f"{prefix}{each.name}.")
            continue
        rule = RULES.get(prefix + each.name) or (MODEL_RULES.get(each.name) if prefix == "model." else None)
        kind = TYPES.get(str(each.type)) or str(each.type).replace(" | None", " or null")
        meaning = meanings.get(each.name, "") + (f" ({rule[0]})" if rule else "")
        yield Key(prefix + each.name, kind, getattr(section, each.name), meaning)
