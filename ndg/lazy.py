"""Lazy loading of the names of a package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazily(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package (PEP 562), from its imports under TYPE_CHECKING.

    These imports are the only list of what the package exports: for type checkers, and at the first use of a name.
    """
    module = sys.modules[package]
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    imports = [statement for block in tree.body if isinstance(block, ast.If) for statement in block.body]
    home = {
        alias.asname or alias.name: (statement.module or package, alias.name)
        for statement in imports
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        where, own_name = home[name]
        value = import_module(f"{package}.{name}") if where == package else getattr(import_module(where), own_name)
        setattr(module, name, value)
        return value

    names = sorted([*home, *({"__version__"} & vars(module).keys())])
    return get, lambda: names, names
