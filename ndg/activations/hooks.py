"""Hooks on layers by module path, removed after a `with` block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import count
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

from ndg.errors import LayerError, nearest


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The module at a path such as `encoder.fc1`, or LayerError."""
    return find_modules(model, [path])[path]


def find_modules(model: nn.Module, paths: Iterable[str]) -> dict[str, nn.Module]:
    """The modules at paths, as `find_layer` finds one."""
    modules = dict(model.named_modules())
    paths = list(paths)
    for path in paths:
        if path not in modules or not path:
            raise LayerError(f"no layer {path!r} in {type(model).__name__}; {_instead(model, path, modules)}")
    return {path: modules[path] for path in paths}


def _instead(model: nn.Module, path: str, modules: dict[str, nn.Module]) -> str:
    """Another name of the module at a path, or the nearest paths."""
    same = dict(model.named_modules(remove_duplicate=False)).get(path) if path else None
    known = next((name for name, module in modules.items() if name and module is same), None)
    return nearest(path, filter(None, modules)) if known is None else f"it is {known!r} under another name; give that"


class _Hooks:
    """Base of contexts that hook modules."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _hook(self, module: nn.Module, hook: Callable[..., Any]) -> None:
        self._stack.enter_context(module.register_forward_hook(hook))


class Trace(_Hooks):
    """Outputs of layers in the latest forward pass: `trace["fc1"]`.

    A module that returns a tuple is read at its first element. With `reduce`, `reduce(path, module, output)` is kept
    instead, called as soon as the layer has run. Of layers in `steps`, which run once for each time step, it is called
    when they are read, with all outputs as a list. Reading raises LayerError when the layer was not reached, or was
    used more than once in that pass.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Iterable[str],
        reduce: Callable[[str, nn.Module, Any], Any] | None = None,
        steps: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self._modules = find_modules(model, layers)
        self._reduce = reduce
        self._steps = frozenset(steps)
        self._seen: dict[str, Any] = {}
        self._times: Counter[str] = Counter()
        self._clock = count()
        self.order: dict[str, int] = {}
        """A number for each layer, that of a layer which ended later is larger."""

    def __enter__(self) -> Trace:
        for path, module in self._modules.items():
            self._hook(module, self._record(path))
        return self

    def clear(self) -> None:
        """Forget the outputs, before each forward pass."""
        self._seen.clear()
        self._times.clear()
        self.order.clear()

    def __getitem__(self, path: str) -> Any:
        if path in self._steps and path in self._seen:
            steps = self._seen[path]
            return steps if self._reduce is None else self._reduce(path, self._modules[path], steps)
        if self._times[path] != 1:
            raise LayerError(
                f"a traced layer is used once in a forward pass; {path!r} was used {self._times[path]} times; "
                "choose a layer on the way from inputs to logits that is used once"
            )
        return self._seen[path]

    def _record(self, path: str) -> Callable[..., None]:
        def record(module: nn.Module, arguments: Any, output: Any) -> None:
            self._times[path] += 1
            self.order[path] = next(self._clock)
            value = _tensor(output, path)
            if path in self._steps:
                self._seen.setdefault(path, []).append(value.clone())
                return
            if self._times[path] > 1:
                self._seen.pop(path, None)
                return
            self._seen[path] = value if self._reduce is None else self._reduce(path, module, value)

        return record


class Lineage(_Hooks):
    """Knows outputs of modules of some types, and their descendants.

    What hands on is a module without parts that keeps the shape: an activation, a dropout, a norm; none of `ends`. A
    norm over several axes at once tells nothing of them: it hands on, whatever its type.
    """

    def __init__(
        self, model: nn.Module, types: tuple[type[nn.Module], ...], ends: tuple[type[nn.Module], ...] = ()
    ) -> None:
        super().__init__()
        self._sources = [module for module in model.modules() if isinstance(module, types) and not _joint(module)]
        self._others: list[nn.Module] = []
        if self._sources:
            others = [module for module in model.modules() if not isinstance(module, (*types, *ends)) or _joint(module)]
            others = [module for module in others if next(module.children(), None) is None]
            self._others = [module for module in others if not isinstance(module, torch.jit.ScriptModule)]
        self._known: dict[int, ReferenceType[Tensor]] = {}

    def __enter__(self) -> Lineage:
        for module in self._sources:
            self._hook(module, lambda module, arguments, output: self.add(output))
        for module in self._others:
            self._hook(module, self._hand_on)
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._known.clear()

    def clear(self) -> None:
        """Forget the outputs of the pass before."""
        self._known.clear()

    def add(self, output: Any) -> None:
        """Know an output, or the first of a tuple."""
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor):
            self._known[id(first)] = ref(first)

    def __contains__(self, output: Tensor) -> bool:
        known = self._known.get(id(output))
        return known is not None and known() is output

    def _hand_on(self, module: nn.Module, arguments: Any, output: Any) -> None:
        before: Any = arguments[0] if arguments else None
        tensors = isinstance(before, Tensor) and isinstance(output, Tensor)
        if tensors and before in self and before.shape == output.shape:
            self.add(output)


def _joint(module: nn.Module) -> bool:
    """Whether a module normalizes several axes at once."""
    return isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and len(module.normalized_shape) > 1


class Overwrite(_Hooks):
    """Replace the output of a layer by `change(output)` meanwhile.

    `change` must keep the shape. A module that returns a tuple is changed at its first element. `module` is that of the
    layer, where it is known already.
    """

    def __init__(
        self, model: nn.Module, layer: str, change: Callable[[Tensor], Tensor], module: nn.Module | None = None
    ) -> None:
        super().__init__()
        self._module = find_layer(model, layer) if module is None else module  # an empty module is false
        self._layer, self._change = layer, change

    def __enter__(self) -> Overwrite:
        self._hook(self._module, self._apply)
        return self

    def _apply(self, module: nn.Module, arguments: Any, output: Any) -> Any:
        before = _tensor(output, self._layer)
        after = self._change(before)
        if after.shape != before.shape:
            raise LayerError(
                f"an intervention keeps the shape of {self._layer!r}: expected {tuple(before.shape)}, "
                f"got {tuple(after.shape)}"
            )
        return (after, *output[1:]) if isinstance(output, tuple) else after


def per_unit(output: Tensor, layer: str) -> Tensor:
    """The output of a layer as `[example, unit]`, or LayerError."""
    if output.ndim != 2:
        raise LayerError(
            f"a layer of neurons gives one value per unit, shape (example, unit); {layer!r} gives "
            f"{tuple(output.shape)}; choose a dense layer, or wrap the layer in a module that pools over positions"
        )
    return output


def _tensor(output: Any, path: str) -> Tensor:
    first = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(first, Tensor):
        raise LayerError(
            f"a traced layer returns a tensor; {path!r} returns {type(output).__name__}; trace a layer inside"
        )
    return first
