"""Public API: every exported name with its signature, and its docstring as Markdown.

python -m tools.site.api        # write docs/reference/api.txt, which a test compares with the code
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import ndg

ENTRY = re.compile(r"^(\S+(?:, \S+)*) {2,}(\S.*)$")
"""A line `name    meaning` of a docstring; lines that continue it are indented."""
STORED = Path(__file__).parents[2] / "docs" / "reference" / "api.txt"
SPECIAL = re.compile(r"([\\*_<>\[\]|#])")


def exports() -> dict[str, dict[str, Any]]:
    """Public names with their values, by module: `ndg`, then the modules that it exports."""
    values = {name: getattr(ndg, name) for name in ndg.__all__ if not name.startswith("__")}
    modules = {name: value for name, value in values.items() if isinstance(value, ModuleType)}
    own = {name: value for name, value in values.items() if name not in modules}
    return {"ndg": own, **{f"ndg.{name}": _members(module) for name, module in modules.items()}}


def _members(module: ModuleType) -> dict[str, Any]:
    """Exported functions and classes of a module; without `__all__`, those that it defines."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    values = {name: getattr(module, name) for name in names if not name.startswith("_")}
    return {name: value for name, value in sorted(values.items()) if not isinstance(value, ModuleType)}


def signature(value: Any) -> str:
    """Parameters and result of a function, in one line; defaults that are settings without their fields."""
    if inspect.isclass(value) and not _makes_itself(value):
        return ""
    known = inspect.signature(value)
    parameters = [
        parameter.replace(default=_short(parameter.default), annotation=_unquoted(parameter.annotation))
        for parameter in known.parameters.values()
    ]
    return str(known.replace(parameters=parameters, return_annotation=_unquoted(known.return_annotation)))


def _makes_itself(kind: type) -> bool:
    """Whether a class of ndg says how it is made; exceptions and protocols do not."""
    own = [vars(base) for base in kind.__mro__ if base.__module__.startswith("ndg")]
    return not getattr(kind, "_is_protocol", False) and any({"__init__", "__new__"} & names.keys() for names in own)


class _Text(str):
    """A text whose representation is itself."""

    __slots__ = ()
    __repr__ = str.__str__


def _unquoted(annotation: Any) -> Any:
    return _Text(annotation) if isinstance(annotation, str) else annotation


def _short(default: Any) -> Any:
    if default is inspect.Parameter.empty:
        return default
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return _Text(f"{type(default).__name__}()")
    if isinstance(default, str):
        return _Text(f'"{default}"')
    if callable(default):
        return _Text(getattr(default, "__name__", "..."))
    return default


def members(kind: type) -> Iterator[tuple[str, Any, str]]:
    """Public methods and properties that a class of ndg defines or inherits from one: name, value, signature."""
    for name in sorted({name for base in kind.__mro__ if base.__module__.startswith("ndg") for name in vars(base)}):
        value = inspect.getattr_static(kind, name)
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            yield name, value, ""
        elif isinstance(value, staticmethod | classmethod):
            yield name, value.__func__, signature(getattr(kind, name))
        elif inspect.isfunction(value):
            yield name, value, signature(value)


def lines() -> Iterator[str]:
    """The public API, one name with its signature a line."""
    for module, values in exports().items():
        for name, value in values.items():
            path = f"{module}.{name}"
            if inspect.isclass(value):
                yield f"{path}{signature(value)}"
                yield from (f"{path}.{member}{text}" for member, _, text in members(value))
            elif callable(value):
                yield f"{path}{signature(value)}"
            else:
                yield f"{path}: {type(value).__name__}"


def markdown(text: str) -> str:
    """A docstring as Markdown; lines `name    meaning` become a list, examples code."""
    parts: list[str] = []
    in_list = in_code = in_example = False
    for line in [*inspect.cleandoc(text).splitlines(), ""]:
        if in_example or line.startswith(">>> "):
            parts += [*(["", "```pycon"] if not in_example else []), line or "```"]
            in_example, in_list = bool(line), False
            continue
        entry = ENTRY.match(line)
        if not in_list and line.startswith("    "):
            in_code = True
        elif line.strip():
            in_code = False
        if in_code:
            parts.append(line)
        elif entry:
            if not in_list and parts and parts[-1]:
                parts.append("")
            parts.append(f"- `{entry[1]}`: {_escaped(entry[2])}")
            in_list = True
        elif in_list and line.startswith(" "):
            parts.append(f"    {_escaped(line.strip())}")
        else:
            if in_list and line:
                parts.append("")
            in_list = False
            parts.append(_escaped(line))
    return "\n".join(parts).rstrip()


def _escaped(text: str) -> str:
    """Markdown that shows the text; what stands in backticks stays."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else SPECIAL.sub(r"\\\1", piece) for piece in pieces)


if __name__ == "__main__":
    STORED.parent.mkdir(exist_ok=True)
    STORED.write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")
    print(STORED)
