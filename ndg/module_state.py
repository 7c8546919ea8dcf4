"""Modules of a network and their attributes, as hashable values.

Attributes count with what they contain: lists, dictionaries, small arrays and other objects, such as a config. Tensors
and functions count as the same while they are the same objects, and tensors while they were not written to. Variables
outside the network, such as globals that its forward reads, are not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import ref

import numpy as np
import torch
from torch import Tensor, nn

MOST = 64
"""Entries of a container, or of an object's attributes, that are looked into."""

DEPTH = 4
"""Levels of containers and objects that are looked into."""

PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size})

OWN = frozenset(vars(nn.Module()))
"""Attributes of every module. `training` is one, since all studies run in evaluation mode, and so are hooks."""


class Identity:
    """Identity of an object, unlike that of later objects at its address."""

    __slots__ = ("_number", "_value")

    def __init__(self, value: Any) -> None:
        self._number = id(value)
        self._value: Callable[[], Any]
        try:
            self._value = ref(value)
        except TypeError:
            self._value = lambda: value

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and (value := self._value()) is not None and value is other._value()


def module_state(model: nn.Module) -> dict[Any, Any]:
    """Types and attributes by module and name.

    A change of one may change what a network computes.
    """
    state: dict[Any, Any] = {}
    seen: dict[int, Any] = {}
    for module in model.modules():
        if type(module).__module__.startswith("ndg.units"):
            continue
        identity = Identity(module)
        state[identity, ""] = type(module)
        for name, value in vars(module).items():
            if name not in OWN:
                state[identity, name] = _summary(value, seen, DEPTH)
    return state


def _summary(value: Any, seen: dict[int, Any], depth: int) -> Any:
    """A hashable value that differs where the value, or what it contains, differs.

    `seen` has those of objects.
    """
    kind = type(value)
    if kind in PLAIN:
        return kind, value
    if isinstance(value, Tensor):
        return Identity(value), None if isinstance(value, nn.Parameter) else _version(value)
    if isinstance(value, np.ndarray) and value.nbytes <= 8 * MOST and value.dtype != object:
        return kind, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return kind, value.tobytes()
    if callable(value) or isinstance(value, type | ModuleType | nn.Module):
        return Identity(value)
    if id(value) not in seen:
        seen[id(value)] = Identity(value)  # where it contains itself
        seen[id(value)] = _contents(value, seen, depth)
    return seen[id(value)]


def _contents(value: Any, seen: dict[int, Any], depth: int) -> Any:
    """Summaries of what a container or an object contains."""
    entries: Any = None
    if isinstance(value, dict):
        entries = value.items()
    elif isinstance(value, list | tuple):
        entries = enumerate(value)
    elif isinstance(value, set | frozenset):
        plain = all(type(entry) in PLAIN for entry in value)
        return (type(value), frozenset(value)) if plain and len(value) <= MOST else (Identity(value), len(value))
    elif hasattr(value, "__dict__"):
        entries = vars(value).items()
    if entries is None or not depth or len(entries := list(entries)) > MOST:
        return Identity(value), len(entries) if isinstance(entries, list) else 0
    own = () if isinstance(value, dict | list | tuple) else (Identity(value),)
    return type(value), *own, *((_summary(key, seen, 0), _summary(part, seen, depth - 1)) for key, part in entries)


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to.

    Tensors of inference mode do not count that.
    """
    return -1 if tensor.is_inference() else tensor._version
