"""Specifications of methods: a name with options, `magnitude:side=outgoing,norm=1`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from ndg.errors import ConfigError, check_list
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.score import IMPORTANCE, check_option, known, score
from ndg.importance.scores import Scores
from ndg.importance.settings import Loader, Settings

ALL = "all"


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a specification. Raises ConfigError for unknown ones."""
    name, colon, rest = text.partition(":")
    method, options = known(name), {}
    for part in rest.split(",") if colon else []:
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(
                f"options of a method are written name:option=value,option=value; got {text!r}; "
                f"{name} has {', '.join(method.options) or 'none'}"
            )
        check_option(name, method, key)
        options[key] = _literal(value)
    return name, options


def every(methods: Iterable[str]) -> list[str]:
    """Distinct requested methods; `all` means every method.

    Raises ConfigError for unknown ones.
    """
    check_list(methods, "methods")
    names = [name for entry in methods for name in (IMPORTANCE if entry == ALL else [entry])]
    for entry in names:
        parse(entry)
    return list(dict.fromkeys(names))


def of_network(methods: Iterable[str]) -> list[str]:
    """Distinct requested methods that score a network."""
    return every(name for name in methods if name not in OF_GRAPH)


def of_graph(methods: Iterable[str]) -> list[str]:
    """Distinct requested methods that score a graph.

    `all` contains none of them.
    """
    return list(dict.fromkeys(name for name in methods if name in OF_GRAPH))


def fitting(text: str, settings: Settings) -> Settings:
    """Settings without what a method does not take."""
    method, settings = IMPORTANCE[parse(text)[0]], stepping(text, settings)
    if not method.target:
        settings = replace(settings, target=None)
    if isinstance(settings.baselines, str) and settings.baselines not in method.baselines:
        settings = replace(settings, baselines="zero")
    return settings


def stepping(text: str, settings: Settings) -> Settings:
    """The same without `n_steps` for a method that follows no path."""
    return settings if IMPORTANCE[parse(text)[0]].steps else replace(settings, n_steps=None)


def scored(
    model: nn.Module, loader: Loader, layers: Iterable[str] | None, text: str, settings: Settings = Settings()
) -> Scores:
    """Scores of a specification; their method is the specification."""
    name, own = parse(text)
    how: dict[str, Any] = {"settings": settings, "options": settings.options, **settings.own, **own}
    scores = score(model, loader, layers, name, settings.target, **how)
    return replace(scores, method=text) if own else scores


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None, "inf": float("inf")}.get(text, text)
