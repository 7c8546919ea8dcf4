"""The type checker of the tests: beartype, which reads the signature of a nested function once, however often it is
made. What jaxtyping hands over is a stand-in of that signature, so one checks for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype

_known: dict[tuple[Any, ...], Callable[..., Any]] = {}


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
