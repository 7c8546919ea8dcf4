"""Text of a config as YAML."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import yaml

try:
    from yaml import CSafeDumper as SafeDumper
except ImportError:  # PyYAML without libyaml
    from yaml import SafeDumper  # type: ignore[assignment]


class _Dumper(SafeDumper):
    """Writes as OmegaConf does, by which earlier versions wrote."""


def dump(document: dict[str, Any]) -> str:
    """YAML text of plain values, in their order.

    It is the text that OmegaConf writes, as the configs of earlier runs.
    """
    return str(yaml.dump(document, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=_Dumper))


def _text(dumper: SafeDumper, text: str) -> yaml.ScalarNode:
    """A text, quoted where YAML reads a number or a boolean."""
    quoted = text in ("y", "Y", "n", "N")  # other booleans are quoted by themselves
    with suppress(ValueError):
        float(text)
        quoted = True
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


_Dumper.add_representer(str, _text)
