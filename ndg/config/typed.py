"""Scalars of a config as they were typed, before YAML makes numbers and booleans of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


class _TextLoader(yaml.SafeLoader):
    """Reads every scalar as the text that was typed."""

    yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}  # noqa: RUF012


def texts_of(source: str | Path | dict[str, Any], overrides: Sequence[str], smoke: bool) -> dict[str, Any]:
    """The same config as `_document`, which read it without an error, with all scalars as typed texts."""
    from omegaconf import OmegaConf

    content = {} if isinstance(source, dict) else yaml.load(Path(source).read_text("utf-8"), _TextLoader)
    document: Any = OmegaConf.create(content or {})
    if smoke:
        document = OmegaConf.merge(document, document.pop("smoke", None) or {})
        document["name"] = f"{document.get('name', 'experiment')}-smoke"
    for override in overrides:
        key, _, value = override.partition("=")
        change = OmegaConf.create({})
        OmegaConf.update(change, key, yaml.load(value, _TextLoader))
        document = OmegaConf.merge(document, change)
    return OmegaConf.to_container(document)  # type: ignore[return-value]


def as_typed(value: Any, text: Any) -> Any:
    """The typed text of a value that YAML read as something else."""
    if isinstance(value, list) and isinstance(text, list) and len(value) == len(text):
        return [as_typed(item, each) for item, each in zip(value, text, strict=True)]
    typed = isinstance(text, str) and text and "${" not in text  # an interpolation is resolved
    return text if typed and not isinstance(value, str | list | dict) else value


def as_other_number(value: Any, text: Any) -> tuple[str, Any] | None:
    """A typed text and the other number that YAML reads: minutes (`1:30` is 90) and octals (`010` is 8)."""
    if isinstance(value, list) and isinstance(text, list) and len(value) == len(text):
        pairs = (as_other_number(item, each) for item, each in zip(value, text, strict=True))
        return next((pair for pair in pairs if pair), None)
    number = isinstance(text, str) and isinstance(value, int | float) and not isinstance(value, bool)
    return (text, value) if number and (":" in text or re.match(r"[+-]?0[0-9_]", text)) else None
