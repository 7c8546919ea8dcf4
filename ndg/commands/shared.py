"""Names, overrides, seeds and store of a command line; printing."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ndg import config, terminal
from ndg.addresses import mask
from ndg.config import Experiment
from ndg.errors import ConfigError, RunNotFoundError, UserError
from ndg.escape import printable
from ndg.literal import whole_number
from ndg.locations import Locations
from ndg.progress import log
from ndg.runs.log import Log
from ndg.runs.store import FILE

OVERRIDE = re.compile(r"[a-z_]+(\.[a-z_]+)*=")
STORE = re.compile(r"\s*store(\.\w+)?\s*=")
LISTS = ("method", "layers", "scoreboard", "importance", "rivals")
"""Options that take several words, so that overrides may follow them."""


def seeds_of(options: Namespace) -> list[int]:
    """The numbers after --seeds. Other words are moved to `what`."""
    words = options.seeds or []
    numbers = list(map(whole_number, words))
    seeds = [number for number in numbers if number is not None]
    if words and not seeds:
        raise UserError(f"--seeds takes whole numbers, as in --seeds 0 1 2; got {' '.join(words)}")
    if len(set(seeds)) < len(seeds):
        raise UserError(
            f"--seeds names each training once; got {' '.join(map(str, seeds))}; leave out the repeated ones"
        )
    options.what += [word for word, number in zip(words, numbers, strict=True) if number is None]
    return seeds


def names_and_overrides(options: Namespace) -> tuple[list[str], list[str]]:
    """Names of configs and runs, and all overrides."""
    words = list(options.what)
    for name in LISTS:
        if values := getattr(options, name, None):
            words += [value for value in values if OVERRIDE.match(value)]
            setattr(options, name, [value for value in values if not OVERRIDE.match(value)])
    return [word for word in words if "=" not in word], [word for word in words if "=" in word]


def with_store(
    options: Namespace, names: Sequence[str], overrides: Sequence[str], where: Locations
) -> tuple[list[str], Locations]:
    """Overrides without `store.uri=...`, and locations with the named run log; ConfigError for several."""
    of_store = [word for word in overrides if STORE.match(word)]
    others = [word for word in overrides if word not in of_store]
    if options.store:
        return others, where
    if of_store:
        uris = {config.store_uri({}, of_store)}
    else:
        own = getattr(options, "model", None) or getattr(options, "hf", None)
        configs = [name for name in names or ([] if own else config.configs()) if config.is_config(name)]
        uris = {config.store_uri(config.find(name), smoke=options.smoke) for name in configs}
    if len(uris) > 1:
        logs = ", ".join(sorted(mask(uri or where.store) for uri in uris))
        raise ConfigError(f"one command writes to one run log; these configs name {logs}; choose one with --store")
    uri = next(iter(uris), None)
    return others, where if uri is None else replace(where, store=uri)


def say(text: object = "", end: str = "\n") -> None:
    """Print to stdout, with control characters made visible."""
    print(printable(text), end=end)


def own_target(options: Namespace, *words: Any, **how: Any) -> Any:
    """The network of --model or --hf, by `ndg.workflows.targets.own`."""
    from ndg.workflows import targets

    if options.seeds:
        raise UserError("--seeds names trainings of a config; a network of --model or --hf has none")
    return targets.own(options.model, options.hf, options.layers or [], *words, **how)


def with_seeds(overrides: Sequence[str], seeds: Sequence[int]) -> list[list[str]]:
    """The overrides once for each seed, or once without seeds."""
    return [[*overrides, f"seed={seed}"] for seed in seeds] or [list(overrides)]


def networks_of(options: Namespace, where: Locations) -> tuple[list[Any], Locations]:
    """The networks that a command names, and locations with their run log."""
    from ndg.workflows import targets

    seeds = seeds_of(options)
    names, overrides = names_and_overrides(options)
    overrides, where = with_store(options, names, overrides, where)
    if getattr(options, "model", None) or getattr(options, "hf", None):
        return [own_target(options, names, overrides, where, fitted=False, layered=False)], where
    if not names:
        own = hasattr(options, "model")
        kinds = "network: a config, a run, --model or --hf" if own else "trained network: a config or a train run"
        raise UserError(f"`ndg {options.act.__name__}` needs a {kinds}; got none")
    each = [targets.find(names, words, where, options.smoke) for words in with_seeds(overrides, seeds)]
    return [target for group in each for target in group], where


def log_targets(targets: Sequence[Any]) -> None:
    """Say which networks a command works on, and why."""
    for target in targets:
        log.info("%s: %s (%s)", target.experiment.name, target.id, target.why)


def print_configs(experiments: Sequence[Experiment]) -> int:
    """Print one experiment as YAML. Raises ConfigError for several."""
    if len(experiments) != 1:
        raise ConfigError(f"--print-config prints one config; got {len(experiments)}; name one")
    say(experiments[0].to_yaml(), end="")
    return 0


def output(options: Namespace, text: Any, document: Any) -> int:
    """Print the text or table, or with --json the document, to stdout."""
    if getattr(options, "json", False):
        json.dump(document, sys.stdout, indent=2, allow_nan=False)
        say()
    else:
        say(fitted(text))
    return 0


def fitted(result: Any) -> str:
    """Text of a table or of findings, wrapped to the terminal."""
    shape = terminal.size()
    if not isinstance(result, str):
        return str(result.text(width=120) if shape is None else result.text(width=shape[0], fit=True))
    if shape is None:
        return result
    wrap = partial(textwrap.wrap, width=shape[0], subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(line for long in result.split("\n") for line in (wrap(long) if len(long) > shape[0] else [long]))


def near(path: Path) -> Path:
    """A path relative to the current folder where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path


def check_log(where: Locations, log: Log, found: int) -> None:
    """Raise RunNotFoundError for a file that was named and is not there."""
    path = log.store.path
    if not found and path is not None and not path.exists() and path != (where.runs / FILE).resolve():
        raise RunNotFoundError(f"a run log that is read exists; there is none at {log.uri}; name another by --store")
