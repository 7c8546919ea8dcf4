"""Config: YAML with the keys of the reference.

`schema` at the top is the version of the keys. Configs of ndg 0.1 have none and are version 1: the early name
`importance.steps` becomes `importance.n_steps`, and keys that they lack have their defaults. Configs that runs write
and that `--print-config` prints are version 2; in a config of your own the number may be missing. A later version is
refused. The number is no part of a config's digest, so runs of ndg 0.1 still match the same config.
"""

from __future__ import annotations

from typing import Any

from ndg.config.typed import shown, typed
from ndg.errors import ConfigError

KEY, READABLE = "schema", (1, 2)
FORMER = {"importance": {"steps": "n_steps"}}
"""Keys of version 1 that have another name since, by section."""


def migrated(document: dict[str, Any], where: object) -> dict[str, Any]:
    """The config with the keys of the newest version, without its number. Raises ConfigError."""
    values = {key: value for key, value in document.items() if key != KEY}
    version = typed(KEY, int, document.get(KEY, READABLE[0]))
    if version not in READABLE:
        raise ConfigError(
            f"this version of ndg reads configs of schema {READABLE[0]} to {READABLE[-1]}; {where} has schema "
            f"{shown(document[KEY])}; use the version of ndg that wrote it"
        )
    return _renamed(values) if version == 1 else values


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The same keys under their present names, also in the section `smoke`."""
    result = dict(values)
    for section, names in FORMER.items():
        if isinstance(old := values.get(section), dict):
            result[section] = {names.get(key, key): value for key, value in old.items()}
    if isinstance(smoke := values.get("smoke"), dict):
        result["smoke"] = _renamed(smoke)
    return result
