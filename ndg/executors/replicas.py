"""Replicas of shared values for threads, with copied networks.

Hooks, virtual modules and `.eval()` are set on modules, so threads must not share a module. Everything else that the
tasks read (parameters, bits, pools, caches) exists once. Buffers are copied, since a forward pass may write to them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ndg.errors import WorkerError

T = TypeVar("T")

PLAIN = (str, bytes, int, float, complex, type, np.ndarray, np.generic, Tensor, torch.device, torch.dtype, ModuleType)
"""Types of values that hold no network."""


def replica(value: T) -> T:
    """The value with a copy of each network.

    WorkerError if it cannot be copied.
    """
    return _Replica().of(value)


def why_not(model: nn.Module) -> str | None:
    """Why a network cannot be copied; None where it can."""
    try:
        replica(model)
    except WorkerError as error:
        return str(error)
    return None


class _Replica:
    """A replica of a value; shared parts are copied once."""

    def __init__(self) -> None:
        self._memo: dict[int, Any] = {}
        self._copies: dict[int, Any] = {}
        self._held: list[Any] = []

    def of(self, value: Any) -> Any:
        if value is None or isinstance(value, PLAIN):
            return value
        if isinstance(value, nn.Module) and id(value) in self._memo:
            return self._memo[id(value)]
        if id(value) not in self._copies:
            self._held.append(value)  # an id is that of a living object
            self._copies[id(value)] = value  # where the value holds itself
            self._copies[id(value)] = self._copy(value)
        return self._copies[id(value)]

    def _copy(self, value: Any) -> Any:
        if isinstance(value, nn.Module):
            return self._network(value)
        if isinstance(value, dict):
            return self._changed(value, value.values(), lambda parts: _rebuilt(value, zip(value, parts, strict=True)))
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._changed(value, value, lambda parts: type(value)(*parts))
        if type(value) in (list, tuple, set, frozenset):
            return self._changed(value, value, type(value))
        if isinstance(value, partial):
            parts = (value.func, value.args, value.keywords)
            return self._changed(value, parts, lambda new: partial(new[0], *new[1], **new[2]))
        if isinstance(value, MethodType):
            return self._changed(value, [value.__self__], lambda new: MethodType(value.__func__, new[0]))
        if isinstance(value, FunctionType):
            held = [cell.cell_contents if _filled(cell) else None for cell in value.__closure__ or ()]
            return self._changed(value, held, lambda parts: _function(value, parts))
        if isinstance(value, BuiltinFunctionType) or not hasattr(value, "__dict__"):
            return value
        return self._changed(value, vars(value).values(), lambda parts: _with(value, parts))

    def _changed(self, value: Any, parts: Iterable[Any], rebuild: Any) -> Any:
        """The value itself where none of its parts is copied."""
        parts = list(parts)
        copies = [self.of(part) for part in parts]
        same = all(copy is part for copy, part in zip(copies, parts, strict=True))
        return value if same else rebuild(copies)

    def _network(self, model: nn.Module) -> nn.Module:
        self._memo |= {id(parameter): parameter for parameter in model.parameters()}
        for module in model.modules():  # what a pass left in an attribute, with its graph of gradients
            passed = [value for value in vars(module).values() if isinstance(value, Tensor) and not value.is_leaf]
            self._memo |= {id(value): value.detach() for value in passed}
        try:
            copied = copy.deepcopy(model, self._memo)
        except Exception as error:  # copying runs the code of any module
            raise _uncopied(f"{type(error).__name__}: {error}", "remove what cannot be copied") from error
        originals = {id(module) for module in model.modules()}
        for module in copied.modules():
            for name, value in vars(module).items():
                if name in _REGISTERED or not _reaches(value, originals):
                    continue
                vars(module)[name] = self.of(value)  # hooks and forward functions hold modules of the original
                if _reaches(vars(module)[name], originals):
                    raise _uncopied(
                        f"{name} of {type(module).__name__} holds a module of the network itself",
                        "use a method in its place",
                    )
        return copied


_REGISTERED = ("_parameters", "_buffers", "_modules")


def _uncopied(reason: str, remedy: str) -> WorkerError:
    return WorkerError(
        f"each thread runs a copy of the network, and this one cannot be copied ({reason}); {remedy}, or use the "
        "executor 'serial'"
    )


def _rebuilt(value: dict[Any, Any], items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    copied = copy.copy(value)
    copied.update(items)
    return copied


def _with(value: Any, parts: Iterable[Any]) -> Any:
    """A copy of an object with other parts and its own containers."""
    copied = copy.copy(value)
    for (name, before), part in zip(vars(value).items(), parts, strict=True):
        vars(copied)[name] = _own(part) if part is before else part
    return copied


def _own(value: Any) -> Any:
    """Containers with the same content, themselves new."""
    if type(value) is dict:
        return {key: _own(part) for key, part in value.items()}
    return type(value)(map(_own, value)) if type(value) in (list, set, tuple) else value


def _function(function: FunctionType, held: list[Any]) -> FunctionType:
    """A function with other captured variables."""
    cells = tuple(CellType(value) for value in held)
    copied = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


def _reaches(value: Any, modules: set[int]) -> bool:
    return any(id(held) in modules for held in _reached(value))


def _reached(value: Any) -> Iterator[Any]:
    """A value and what its functions and containers hold."""
    seen: set[int] = set()
    left = [value]
    while left:
        part = left.pop()
        if part is None or isinstance(part, PLAIN) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            left += part.values()
        elif isinstance(part, list | tuple | set | frozenset):
            left += part
        elif isinstance(part, FunctionType):
            left += [cell.cell_contents for cell in part.__closure__ or () if _filled(cell)]
            left += [*(part.__defaults__ or ()), *(part.__kwdefaults__ or {}).values()]
        elif isinstance(part, partial):
            left += [part.func, part.args, part.keywords]
        elif isinstance(part, MethodType):
            left.append(part.__self__)


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
