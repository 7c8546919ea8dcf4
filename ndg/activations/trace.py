"""Hooks on the layers of any network, by module path. A hook lives in a `with` block and is gone after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ndg.errors import LayerError, nearest


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The module at a path such as `encoder.fc1`; LayerError names the nearest paths when there is none."""
    modules = dict(model.named_modules())
    if path not in modules or not path:
        raise LayerError(f"no layer {path!r} in {type(model).__name__}; {nearest(path, filter(None, modules))}")
    return modules[path]


class _Hooks:
    """Registers hooks on entry and removes them on exit, also after an exception."""

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def _hook(self, module: nn.Module, hook: Callable[..., Any]) -> None:
        self._handles.append(module.register_forward_hook(hook))

    def _release(self) -> None:
        while self._handles:
            self._handles.pop().remove()


class Trace(_Hooks):
    """The outputs of layers in the latest forward pass: `with Trace(model, ["fc1"]) as trace: ...; trace["fc1"]`.

    A module that returns a tuple is read at its first element. Raises LayerError at reading when the layer was not
    reached, or was used more than once in that pass and so has no single output.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]) -> None:
        super().__init__()
        self._modules = {path: find_layer(model, path) for path in layers}
        self._seen: dict[str, list[Tensor]] = {}

    def __enter__(self) -> Trace:
        for path, module in self._modules.items():
            self._hook(module, self._record(path))
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def clear(self) -> None:
        """Forget the outputs seen so far; call it before each forward pass."""
        self._seen.clear()

    def __getitem__(self, path: str) -> Tensor:
        outputs = self._seen.get(path, [])
        if len(outputs) != 1:
            raise LayerError(
                f"a traced layer is used once in a forward pass; {path!r} was used {len(outputs)} times; "
                "choose a layer on the way from inputs to logits that is used once"
            )
        return outputs[0]

    def _record(self, path: str) -> Callable[..., None]:
        def record(module: nn.Module, arguments: Any, output: Any) -> None:
            self._seen.setdefault(path, []).append(_tensor(output, path))

        return record


class Overwrite(_Hooks):
    """While it lasts, the output of a layer is `change(output)`, and the rest of the network sees that.

    `change` must keep the shape. A module that returns a tuple is changed at its first element.
    """

    def __init__(self, model: nn.Module, layer: str, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._module, self._layer, self._change = find_layer(model, layer), layer, change

    def __enter__(self) -> Overwrite:
        self._hook(self._module, self._apply)
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

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
    """The output of a layer as `[example, unit]`; LayerError when it has another shape."""
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
