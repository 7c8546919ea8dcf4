"""Layers by name: module paths, heads, gates and regular expressions.

`X.heads` of an attention module and `X.gates` of a recurrent layer name units that no module outputs, see
`ndg.units.heads` and `ndg.units.gates`. A module of the network's own at that path comes first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ndg.activations.hooks import find_layer
from ndg.errors import LayerError, nearest
from ndg.units import gates, heads
from ndg.units.virtual import Virtual


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with units, which the module at `path` outputs in `around()`.

    With `heads`, the last axis of the output holds so many groups of equal width, and a group is a unit. With `steps`,
    the module runs once for each time step, `backwards` from the last one. `levels` are thresholds in the middle of
    what each unit can give, where its range is known.
    """

    path: str
    heads: int | None = None
    steps: bool = False
    backwards: bool = False
    levels: tuple[float, ...] | None = None
    around: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def virtual(self) -> bool:
        """Whether no module of the network's own outputs the units."""
        return self.steps or self.heads is not None


def resolve_layer(model: nn.Module, path: str) -> Layer:
    """The layer of that name; LayerError for an unknown one."""
    modules = dict(model.named_modules())
    owner, _, name = path.rpartition(".")
    present = modules.get(path)
    if owner in modules and (present is None or isinstance(present, Virtual)):
        if name == heads.NAME:
            number, around = heads.find_heads(model, owner)
            return Layer(path, heads=number, around=around)
        if gates.NAME.fullmatch(name):
            around = gates.find_gates(model, owner, name)
            backwards, levels = name.endswith("_reverse"), gates.middles(modules[owner])
            return Layer(path, steps=True, backwards=backwards, levels=levels, around=around)
    if isinstance(find_layer(model, path), torch.jit.ScriptModule):
        raise LayerError(
            f"the units of a layer are seen by a hook, which scripted code does not call; {path!r} is scripted; choose "
            "the module that it was made from"
        )
    return Layer(path)


@contextmanager
def visible(layers: Iterable[Layer]) -> Iterator[None]:
    """Make the units of these layers outputs of modules meanwhile."""
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(layer.around())
        yield


def find_layers(model: nn.Module, layers: Iterable[str]) -> list[str]:
    """Names of layers in the network's order, each once.

    An entry is a name, or an expression that whole module paths match; heads and gates are looked at where none does.
    Raises LayerError without any entry, and for one that is neither.
    """
    paths = [path for path, _ in model.named_modules() if path]
    known = set(paths)
    chosen: set[str] = set()
    entries = list(layers) if isinstance(layers, Iterable) and not isinstance(layers, (str, nn.Module)) else [layers]
    check_paths(model, entries)
    if not entries:
        raise LayerError("at least one layer is needed; got none; name one, or an expression that matches some")
    for entry in entries:
        names = {entry} if entry in known else _matches(entry, paths) or _virtual_matches(model, entry, known)
        if not names:
            find_layer(model, entry)  # raises, naming the nearest
        chosen |= names
    return [name for name in _in_order(paths, chosen - known) if name in chosen]


def check_paths(model: nn.Module, layers: Iterable[Any]) -> None:
    """Raise LayerError for layers that are not texts."""
    for layer in layers:
        if not isinstance(layer, str):
            path = next((path for path, module in model.named_modules() if path and module is layer), None)
            raise LayerError(
                f"layers are paths, as model.named_modules() has them; got {type(layer).__name__}; give its path"
                + (f", {path!r}" if path else "")
            )


def expand_layers(model: nn.Module, layers: Iterable[str]) -> list[str]:
    """Names of layers in the requested order, each once."""
    return list(dict.fromkeys(name for entry in layers for name in find_layers(model, [entry])))


def _matches(expression: str, names: Iterable[str]) -> set[str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise LayerError(
            f"a layer is a module path or a regular expression that matches whole paths; {expression!r} is no path and "
            f"no expression: {error}; {nearest(expression, names)}"
        ) from error
    return {name for name in names if pattern.fullmatch(name)}


def _virtual_matches(model: nn.Module, entry: str, known: set[str]) -> set[str]:
    """Heads and gates of that name or expression."""
    owner, _, name = entry.rpartition(".")
    if owner in known and (name == heads.NAME or gates.NAME.fullmatch(name)):
        return {resolve_layer(model, entry).path}
    return _matches(entry, [*heads.names(model), *gates.names(model)])


def _in_order(paths: list[str], virtual: set[str]) -> list[str]:
    """Paths in order; heads and gates follow their module's parts."""
    names = list(paths)
    for name in sorted(virtual):
        owner = name.rpartition(".")[0]
        inside = [at for at, path in enumerate(names) if path == owner or path.startswith(f"{owner}.") or not owner]
        names.insert(inside[-1] + 1 if inside else 0, name)
    return names
