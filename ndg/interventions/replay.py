"""Run only the part of a network that an intervention changes.

Modules that end before the first changed layer begins run once, and give the same output, to the bit, for any rows.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ndg.activations.hooks import find_modules

Recorded = dict[str, list[Any]]
"""Outputs of modules by path, in the order of their calls."""


class Replay:
    """Records outputs of modules before layers, and replays them.

    The modules are those beside the way from the network to the layers: of `encoder`, `latent` and `decoder` it is
    `encoder`. A module that has hooks, is called by another of them, changes its input in place, or returns other
    things than tensors in tuples, lists and dictionaries is run again. Tensors are copied or selected at first use.
    Outputs that only the next module of a `Sequential` reads, which is replayed too, are not kept: None is replayed.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], recorded: Recorded | None = None) -> None:
        self._layers = find_modules(model, layers)
        self._beside = _beside(model, self._layers)
        self._reader = _only_readers(model, self._beside)
        self.recorded: Recorded = recorded or {}

    def of(self, recorded: Recorded) -> Replay:
        """A replay of the same layers with these recorded outputs."""
        other = Replay.__new__(Replay)
        other._layers, other._beside, other._reader = self._layers, self._beside, self._reader
        other.recorded = recorded
        return other

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record outputs of modules until the first layer begins."""
        outputs: Recorded = {}
        running: list[tuple[str, list[int]]] = []
        reached = False

        def layer_begins(module: nn.Module, arguments: Any) -> None:
            nonlocal reached
            reached = True

        def watch(path: str, module: nn.Module) -> None:
            def begins(module: nn.Module, arguments: Any) -> None:
                running.append((path, _versions(arguments)))

            def ends(module: nn.Module, arguments: Any, output: Any) -> None:
                began = next(entry for entry in reversed(running) if entry[0] == path)
                running.remove(began)
                if not reached:
                    again = bool(running) or began[1] != _versions(arguments)
                    kept = None if path in self._reader else _map(torch.clone, output)
                    outputs.setdefault(path, []).append(UNKNOWN if again else kept)

            stack.enter_context(module.register_forward_pre_hook(begins))
            stack.enter_context(module.register_forward_hook(ends))

        with ExitStack() as stack:
            for layer in self._layers.values():
                stack.enter_context(layer.register_forward_pre_hook(layer_begins))
            for path, module in self._beside.items():
                watch(path, module)
            yield
        known = {path: calls for path, calls in outputs.items() if not any(output is UNKNOWN for output in calls)}
        for path, reader in reversed(self._reader.items()):
            if len(known.get(reader, [])) != len(known.get(path, [])):
                known.pop(path, None)
        self.recorded = known if reached else {}

    @contextmanager
    def replaying(self, rows: Int64[Tensor, " row"] | None = None, of: int = 0) -> Iterator[None]:
        """Replay the recorded outputs; further calls of a module run.

        With `rows` they give these rows of every tensor whose first axis has `of` entries.
        """
        replaced: list[nn.Module] = []
        try:
            for path, outputs in self.recorded.items():
                module = self._beside[path]
                object.__setattr__(module, "forward", _player(outputs, module.forward, rows, of))
                replaced.append(module)
            yield
        finally:
            for module in replaced:
                object.__delattr__(module, "forward")


UNKNOWN = object()


class Selected(Tensor):
    """A copy of a tensor or of rows, made at first use."""

    _source: Tensor
    _rows: Tensor | None
    _made: Tensor | None

    @staticmethod
    def __new__(cls, source: Tensor, rows: Int64[Tensor, " row"] | None = None) -> Selected:
        shape = source.shape if rows is None else (len(rows), *source.shape[1:])
        made = Tensor._make_wrapper_subclass(cls, shape, dtype=source.dtype, device=source.device)
        made._source, made._rows, made._made = source, rows, None
        return made

    def tensor(self) -> Tensor:
        """The copy; always the same one, for changes in place."""
        if self._made is None:
            source, rows = self._source, self._rows
            copied = source.contiguous().clone() if rows is None else source.index_select(0, rows.to(source.device))
            self._made = copied
        return self._made

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function on the copy.

        Only its shape, type and device are known without.
        """
        if function in DESCRIBING:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs or {})
        return function(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return function(*tree_map(_plain, args), **tree_map(_plain, kwargs or {}))


def _plain(value: Any) -> Any:
    return value.tensor() if isinstance(value, Selected) else value


DESCRIBING = {getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "layout", "requires_grad")}
DESCRIBING |= {Tensor.__len__, Tensor.size, Tensor.dim, Tensor.numel, Tensor.is_floating_point}
"""Functions that read no value."""


def selected(output: Any, rows: Int64[Tensor, " row"] | None = None, of: int = 0) -> Any:
    """An output whose tensors are copied, or their rows selected, late."""

    def copied(tensor: Tensor) -> Tensor:
        return Selected(tensor, rows if rows is not None and tensor.ndim and len(tensor) == of else None)

    return _map(copied, output)


def _beside(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Children of the layers' ancestors that can be replayed."""
    ancestors = dict.fromkeys(
        ".".join(path.split(".")[:depth]) for path in layers for depth in range(len(path.split(".")))
    )
    children: dict[nn.Module, str] = {}
    for ancestor in ancestors:
        for name, child in model.get_submodule(ancestor).named_children():
            children.setdefault(child, f"{ancestor}.{name}" if ancestor else name)
    targets = set(layers.values())
    return {
        path: child
        for child, path in children.items()
        if targets.isdisjoint(child.modules())
        and not isinstance(child, torch.jit.ScriptModule)
        and "forward" not in vars(child)
        and not any(part._forward_hooks or part._forward_pre_hooks for part in child.modules())
    }


def _only_readers(model: nn.Module, beside: Mapping[str, nn.Module]) -> dict[str, str]:
    """Only readers of the module before, in a `Sequential`, by its path.

    They are modules of PyTorch that do not change it in place; both are in one place of the network.
    """
    places = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    readers = {}
    for path, module in beside.items():
        parent, _, name = path.rpartition(".")
        if type(sequence := model.get_submodule(parent)) is not nn.Sequential or "forward" in vars(sequence):
            continue
        names = list(sequence._modules)  # a module in two places has two names
        after = ".".join([*parent.split("."), *names[names.index(name) + 1 :][:1]]).lstrip(".")
        reader = beside.get(after)
        if reader is not None and _pure(reader) and places[id(module)] == places[id(reader)] == 1:
            readers[path] = after
    return readers


def _pure(module: nn.Module) -> bool:
    """Whether it is a plain PyTorch module that works out of place."""
    own = type(module).__module__.startswith("torch.nn.modules.")
    return own and not any(module.children()) and not getattr(module, "inplace", False)


@contextmanager
def in_place(module: nn.Module) -> Iterator[list[bool]]:
    """List a module's calls that change their input in place."""
    before: list[list[int]] = []
    calls: list[bool] = []

    def begins(module: nn.Module, arguments: Any) -> None:
        before.append(_versions(arguments))

    def ends(module: nn.Module, arguments: Any, output: Any) -> None:
        if before.pop() != _versions(arguments):
            calls.append(True)

    with module.register_forward_pre_hook(begins), module.register_forward_hook(ends):
        yield calls


def _versions(arguments: Any) -> list[int]:
    return [value._version for value in arguments if isinstance(value, Tensor) and not value.is_inference()]


def _player(outputs: list[Any], run: Callable[..., Any], rows: Tensor | None, of: int) -> Callable[..., Any]:
    following = iter(outputs)

    def forward(*arguments: Any, **named: Any) -> Any:
        output = next(following, UNKNOWN)
        return run(*arguments, **named) if output is UNKNOWN else selected(output, rows, of)

    return forward


def _map(change: Callable[[Tensor], Tensor], output: Any) -> Any:
    """An output with each tensor changed; UNKNOWN for other values."""
    if isinstance(output, Tensor):
        return change(output)
    if output is None or isinstance(output, (bool, int, float, str)):
        return output
    if type(output) in (tuple, list):
        parts = [_map(change, part) for part in output]
        return UNKNOWN if any(part is UNKNOWN for part in parts) else type(output)(parts)
    if isinstance(output, dict):
        copied: Any = copy.copy(output)
        for key, part in output.items():
            copied[key] = _map(change, part)
            if copied[key] is UNKNOWN:
                return UNKNOWN
        return copied
    return UNKNOWN
