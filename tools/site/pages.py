"""Pages of the reference, made from the code: API, commands, config keys, files."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest import mock

from ndg import config
from ndg.commands import choices, parser
from ndg.config.reference import Key, keys
from tools.site import api

ROOT = Path(__file__).parents[2]
FILES = {
    "Config: `config.yaml`": ("ndg.config.migration", "READABLE"),
    "Packed booleans: `bits.ndg`": ("ndg.bits.file_format", "VERSION"),
    "Graph: `ndg.json`": ("ndg.graph.files", "READABLE"),
    "Votes": ("ndg.graph.votes", "SCHEMA"),
    "Node-link JSON of a graph": ("ndg.graph.formats.node_link", "SCHEMA"),
    "Journal of a run: `journal.jsonl`": ("ndg.runs.journal", ""),
    "Run document": ("ndg.runs.record", "FORMAT"),
    "Embedded run log: `ndg.db`": ("ndg.runs.embedded", "VERSION"),
    "Journal of finished tasks": ("ndg.executors.journal", "FORMAT"),
    "Weights and resume state: `*.safetensors`": ("ndg.models.checkpoint", ""),
    "Counterfactual data": ("ndg.counterfactual.counterfactual_set", "FORMAT"),
}
"""Formats by title: the module whose docstring describes one, and its constant with the version."""
NARROW = {"COLUMNS": "100"}


def reference() -> dict[str, str]:
    """Markdown of every page by its path below docs/."""
    return {
        "reference/commands.md": _commands(),
        "reference/keys.md": _keys(),
        "reference/configs.md": _configs(),
        "reference/files.md": _files(),
        "reference/benchmarks.md": _benchmarks(),
        **{f"reference/api/{module}.md": _module(module, values) for module, values in api.exports().items()},
    }


def _commands() -> str:
    """The help of `ndg` and of each command."""
    with mock.patch.dict(os.environ, NARROW):
        whole = parser.make_parser("ndg")
        parts = ["# Commands", "Each text is what `ndg COMMAND --help` prints.", _code(whole.format_help())]
        for name, command in whole.commands.items():
            parts += [f"## ndg {name}", _code(command.format_help())]
    return "\n\n".join(parts)


def _code(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _keys() -> str:
    """A table of keys for each section of a config."""
    parts = [
        "# Config keys",
        "As `ndg configs --keys` prints them. `KEY=VALUE` behind a config overrides a key. A config that a run wrote "
        "begins with `schema`, [the version of its keys](files.md).",
    ]
    section = None
    for key in sorted(keys(), key=lambda key: "." in key.key):
        if key.key in choices.CHOICES:
            key = key.with_choices(choices.names(key.key))
        name = key.key.partition(".")[0] if "." in key.key else "general"
        if name != section:
            section = name
            parts += ["", f"## {name}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        parts.append(_row(key))
    return "\n".join(parts)


def _row(key: Key) -> str:
    default = json.dumps(key.default)
    meaning = key.meaning.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return f"| `{key.key}` | {key.type} | `{default}` | {meaning} |"


def _configs() -> str:
    """The configs that ship, with their text."""
    parts = ["# Configs", "As `ndg configs` lists them; each is a file of `configs/`."]
    for name, path in config.configs().items():
        parts += [f"## {name}", f"```yaml\n{path.read_text(encoding='utf-8').rstrip()}\n```"]
    return "\n\n".join(parts)


def _files() -> str:
    """The formats of files, from the docstrings of the modules that read them."""
    parts = [
        "# Files and their versions",
        "What ndg writes and reads again. [Checksums](checksums.md) say how damage is found.",
    ]
    for title, (path, constant) in FILES.items():
        module = import_module(path)
        version = getattr(module, constant, None)
        if version is not None:
            number = ", ".join(map(str, version)) if isinstance(version, tuple) else version
            title = f"{title}, version {number}"
        parts += [f"## {title}", f"`{path}`", api.markdown(inspect.getdoc(module) or "")]
    return "\n\n".join(parts)


def _benchmarks() -> str:
    """The benchmarks, from the docstrings of their modules."""
    parts = [
        "# Benchmarks",
        "`make bench` runs all of them; `--quick` takes small sizes, `--json FILE` writes the figures.",
    ]
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "from benchmarks.frame import" in source:
            parts += [f"## python -m benchmarks.{path.stem}", api.markdown(ast.get_docstring(ast.parse(source)) or "")]
    return "\n\n".join(parts)


def _module(module: str, values: dict[str, object]) -> str:
    """Every name that a module exports, with its signature and docstring."""
    about = api.markdown(inspect.getdoc(import_module(module)) or "")
    return "\n\n".join([f"# {module}", about, *_entries(module, values)])


def _entries(module: str, values: dict[str, object]) -> Iterator[str]:
    for name, value in values.items():
        yield f"## {module}.{name} {{#{name}}}"
        if callable(value):
            yield _signature(name, api.signature(value))
        elif isinstance(value, int | float | str | tuple):
            yield f"`{value!r}`"
        if inspect.isclass(value) or inspect.isroutine(value):
            yield api.markdown(_own_doc(value))
        if inspect.isclass(value):
            for member, function, signature in api.members(value):
                yield f"### {name}.{member} {{#{name}.{member}}}"
                if signature:
                    yield _signature(member, signature)
                yield api.markdown(inspect.getdoc(function) or "")


def _own_doc(value: object) -> str:
    """A docstring; not that which dataclasses make."""
    text = inspect.getdoc(value) or ""
    return "" if inspect.isclass(value) and text.startswith(f"{value.__name__}(") else text


def _signature(name: str, signature: str) -> str:
    """Code of a signature, one parameter a line where it is long."""
    text = f"{name}{signature}"
    if len(text) > 90 and (inner := re.fullmatch(r"(\w+)\((.*)\)( -> .*)?", text)):
        depth, start, cut = 0, 0, []
        for position, character in enumerate(inner[2]):
            depth += (character in "([{") - (character in ")]}")
            if character == "," and not depth:
                cut.append(inner[2][start:position].strip())
                start = position + 1
        lines = [f"    {part}," for part in (*cut, inner[2][start:].strip()) if part]
        text = "\n".join([f"{inner[1]}(", *lines, f"){inner[3] or ''}"])
    return f"```python\n{text}\n```"
