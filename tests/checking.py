"""Type checks while the tests run: shapes by jaxtyping, other types by mypy alone.

jaxtyping's import hook wraps every function, and the wrapper costs more than most functions that it wraps. Here only
functions and dataclasses whose annotations name a shape are wrapped. beartype reads the signature of a nested function
once, however often the function is made: what jaxtyping hands over is a stand-in of that signature, so one checks for
all.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jaxtyping
from beartype import beartype
from jaxtyping import _import_hook

_known: dict[tuple[Any, ...], Callable[..., Any]] = {}

ARRAY_TYPE = re.compile(r"\b(?:Bool|Shaped|Integer|U?Int\d*|Float\d*)\[(?:np\.ndarray|\w*Tensor)")
ALIAS = re.compile(rf"^(\w+)(?:: TypeAlias)? = {ARRAY_TYPE.pattern}", re.MULTILINE)


def checked(stand_in: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose arguments and result are checked when it is called."""
    if "<locals>" not in stand_in.__qualname__:
        return beartype(stand_in)
    key = _signature(stand_in)
    if key not in _known:
        _known[key] = beartype(stand_in)
    return _known[key]


def _signature(function: Any) -> tuple[Any, ...]:
    code, optional = function.__code__, (len(function.__defaults__ or ()), *sorted(function.__kwdefaults__ or ()))
    names = (function.__module__, function.__qualname__, code.co_varnames, code.co_argcount, code.co_kwonlyargcount)
    kind = (code.co_posonlyargcount, code.co_flags, code.co_code, optional)
    return (*names, *kind, repr(function.__annotations__))  # by text: each reading makes array types anew


def check_shapes(package: Path) -> None:
    """Wraps, from now on, the functions of a package whose annotations name a shape.

    Modules that numba compiles are left out: it cannot see through a wrapper.
    """
    sources = {
        path: path.read_text() for path in sorted(package.rglob("*.py")) if path.stem not in ("__init__", "__main__")
    }
    aliases = {name for source in sources.values() for name in ALIAS.findall(source)}
    _import_hook.JaxtypingTransformer = _ShapeTransformer.with_aliases(aliases)
    relative = [
        path.relative_to(package.parent).with_suffix("") for path, source in sources.items() if "@njit(" not in source
    ]
    # The names of compiled modules contain the checker's: modules depend on this file and on all aliases.
    digest = hashlib.sha256("\n".join([Path(__file__).read_text(), *sorted(aliases)]).encode()).hexdigest()[:16]
    globals()[f"checked_{digest}"] = checked
    jaxtyping.install_import_hook([".".join(path.parts) for path in relative], f"{__name__}.checked_{digest}")


class _ShapeTransformer(_import_hook.JaxtypingTransformer):
    """Decorates what has a shape in its annotations."""

    shape = ARRAY_TYPE

    @classmethod
    def with_aliases(cls, aliases: Iterable[str]) -> type[_ShapeTransformer]:
        words = "|".join(sorted(aliases)) or "(?!)"
        return type(cls.__name__, (cls,), {"shape": re.compile(rf"{ARRAY_TYPE.pattern}|\b(?:{words})\b")})

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:  # noqa: N802
        parameters = node.args
        every = [*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs, parameters.vararg, parameters.kwarg]
        annotations = [node.returns, *(parameter.annotation for parameter in every if parameter)]
        return self._decorated(node, annotations, super().visit_FunctionDef)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:  # noqa: N802
        fields = [item.annotation for item in node.body if isinstance(item, ast.AnnAssign)]
        return self._decorated(node, fields, super().visit_ClassDef)

    def _decorated(self, node: Any, annotations: Iterable[ast.expr | None], decorate: Callable[..., Any]) -> Any:
        if any(annotation and self.shape.search(ast.unparse(annotation)) for annotation in annotations):
            return decorate(node)
        self._parents.append(node)
        self.generic_visit(node)
        self._parents.pop()
        return node
