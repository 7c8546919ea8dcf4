"""What commands share: sorting the words that were asked, and printing for people or for programs."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ndg import config
from ndg.config import Experiment
from ndg.errors import ConfigError, UserError
from ndg.locations import Locations
from ndg.runs.provenance import mask

OVERRIDE = re.compile(r"[a-z_]+(\.[a-z_]+)*=")
STORE = re.compile(r"\s*store(\.\w+)?\s*=")


def seeds_of(asked: Namespace) -> list[int]:
    """The whole numbers after --seeds; other words that follow them are configs and overrides."""
    words = asked.seeds or []
    found = [int(word) for word in words if word.isdecimal()]
    if words and not found:
        raise UserError(f"--seeds takes whole numbers, as in --seeds 0 1 2; got {' '.join(words)}")
    asked.what += [word for word in words if not word.isdecimal()]
    return found


def with_store(
    asked: Namespace, names: Iterable[str], overrides: Sequence[str], where: Locations
) -> tuple[list[str], Locations]:
    """The other overrides, and the locations with the run log that `store.uri=...` or the configs name.

    The option --store goes before both. Raises ConfigError for configs that name different run logs.
    """
    of_store = [word for word in overrides if STORE.match(word)]
    others = [word for word in overrides if word not in of_store]
    if asked.store:
        return others, where
    uris = (
        {config.store_uri({}, of_store)}
        if of_store
        else {config.store_uri(config.find(name), smoke=asked.smoke) for name in names if config.is_config(name)}
    )
    if len(uris) > 1:
        logs = ", ".join(sorted(mask(uri or where.store) for uri in uris))
        raise ConfigError(f"one command writes to one run log; these configs name {logs}; choose one with --store")
    uri = next(iter(uris), None)
    return others, where if uri is None else replace(where, store=uri)


def sort(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and overrides, apart."""
    overrides = [word for word in words if "=" in word]
    return [word for word in words if "=" not in word], overrides


def print_configs(experiments: Sequence[Experiment]) -> int:
    if len(experiments) != 1:
        raise ConfigError(f"--print-config prints one config; got {len(experiments)}; name one")
    print(experiments[0].to_yaml(), end="")
    return 0


def output(asked: Namespace, text: Any, document: Any) -> int:
    """Text for people, or with --json the document: results go to stdout."""
    if getattr(asked, "json", False):
        json.dump(document, sys.stdout, indent=2, allow_nan=False)
        print()
    else:
        print(text.text(width=120) if hasattr(text, "columns") else text)
    return 0


def near(path: Path) -> Path:
    """A path as a person in this folder would type it."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
