"""Choices of the registries for --help, the reference and completion."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pkgutil import resolve_name
from typing import Any

from ndg import config, terminal
from ndg.runs.query import FIELD, LOGICAL
from ndg.workflows import studies

Named = Mapping[str, str]
"""Names with what they mean, or with nothing."""


def _titles(registry: Mapping[str, Any], attribute: str) -> Named:
    """The names of a registry with the first line of an attribute."""
    return {name: str(getattr(entry, attribute) or "").partition("\n")[0] for name, entry in registry.items()}


def _registry(path: str, attribute: str = "") -> Callable[[], Named]:
    """A registry at `module:NAME`, which is imported when it is needed."""

    def read() -> Named:
        registry = resolve_name(path)
        return _titles(registry, attribute) if attribute else dict.fromkeys(registry, "")

    return read


CHOICES: dict[str, tuple[str, Callable[[], Named]]] = {
    "studies": (
        "studies, as the first word",
        lambda: {studies.TRIAL: "interventions (default)", **studies.STUDIES},
    ),
    "criterion.name": ("criteria", _registry("ndg.mining.criteria:CRITERIA", "__doc__")),
    "trial.interventions": ("interventions", _registry("ndg.interventions.intervention_sets:INTERVENTIONS")),
    "trial.values": ("values for booleans", _registry("ndg.interventions.substitution:WRITINGS")),
    "extract.binarizer": ("binarizers", _registry("ndg.activations.binarize:BINARIZERS")),
    "importance.methods": ("methods", _registry("ndg.importance.score:IMPORTANCE", "title")),
    "of_graph": ("methods of nodes", _registry("ndg.importance.graph_scores:OF_GRAPH", "__doc__")),
    "model.name": ("networks", _registry("ndg.config:MODELS", "__doc__")),
    "data.name": ("data sets", _registry("ndg.data.sources:SOURCES", "what")),
    "operators": ("operators of --where", lambda: dict.fromkeys(FIELD + LOGICAL, "")),
    "configs": ("configs", lambda: {name: about(name) for name in config.configs()}),
}
"""Title and names of each choice. The choice of a config key has its name."""


def names(choice: str) -> Named:
    """The names of a choice, with what they mean."""
    return CHOICES[choice][1]()


def about(name: str) -> str:
    """The first line of a config that ships, which describes it."""
    with config.configs()[name].open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def text(choices: Iterable[str]) -> str:
    """The choices with their names, as lines that fit the terminal."""
    width = shutil.get_terminal_size().columns - 2
    parts = []
    for choice in choices:
        title, key = CHOICES[choice][0], f" ({choice}=NAME)" if "." in choice else ""
        known = names(choice)
        if any(known.values()):
            lines = terminal.table(list(known.items()), width=width - 2)
        else:
            lines = terminal.table([(", ".join(known),)], width=width - 2)
        parts.append("\n  ".join([f"{title}{key}:", *lines.splitlines()]))
    return "\n\n".join(parts)
