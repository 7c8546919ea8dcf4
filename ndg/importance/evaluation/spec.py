"""Specifications of methods: a name with options, `magnitude:side=outgoing,norm=1`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from torch import nn

from ndg.errors import ConfigError, nearest
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.score import IMPORTANCE, known, score
from ndg.importance.scores import Scores
from ndg.importance.settings import Settings

ALL = "all"


def parse(asked: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a specification. Raises ConfigError for unknown ones."""
    name, colon, rest = asked.partition(":")
    method, options = known(name), {}
    for part in rest.split(",") if colon else []:
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(
                f"options of a method are written name:option=value,option=value; got {asked!r}; "
                f"{name} has {', '.join(method.options) or 'none'}"
            )
        if key not in method.options:
            raise ConfigError(
                f"an option of {name} is one of its own; got {key!r}; "
                + (nearest(key, method.options) if method.options else "it has none")
            )
        options[key] = _literal(value)
    return name, options


def every(methods: Iterable[str]) -> list[str]:
    """Distinct requested methods; `all` means every method. Raises ConfigError for unknown ones."""
    found = [name for asked in methods for name in (IMPORTANCE if asked == ALL else [asked])]
    for asked in found:
        parse(asked)
    return list(dict.fromkeys(found))


def of_network(methods: Iterable[str]) -> list[str]:
    """Distinct requested methods that score a network."""
    return every(name for name in methods if name not in OF_GRAPH)


def of_graph(methods: Iterable[str]) -> list[str]:
    """Distinct requested methods that score a graph; `all` contains none of them."""
    return list(dict.fromkeys(name for name in methods if name in OF_GRAPH))


def fitting(asked: str, how: Settings) -> Settings:
    """Settings without the target, baseline or steps that a method does not take."""
    method, how = IMPORTANCE[parse(asked)[0]], stepping(asked, how)
    if not method.target:
        how = replace(how, target=None)
    if isinstance(how.baselines, str) and how.baselines not in method.baselines:
        how = replace(how, baselines="zero")
    return how


def stepping(asked: str, how: Settings) -> Settings:
    """The same without `n_steps` for a method that follows no path."""
    return how if IMPORTANCE[parse(asked)[0]].steps else replace(how, n_steps=None)


def scored(
    model: nn.Module, loader: Iterable[Any], layers: Iterable[str] | None, asked: str, how: Settings = Settings()
) -> Scores:
    """Scores of a specification; their method is the specification."""
    name, own = parse(asked)
    scores = score(model, loader, layers, name, how.target, settings=how, options=how.options, **{**how.own, **own})
    return replace(scores, method=asked) if own else scores


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"True": True, "False": False, "None": None, "inf": float("inf")}.get(text, text)
