"""Changes and gradients of units where units first mix.

The neutral state of a unit is propagated exactly through operations that keep units separate: activation functions,
normalisation in evaluation mode, sums with other branches, pooling. It stops where units mix or where a value is read
twice; from there the effect is assumed linear. All layers together cost less than one more forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ndg.activations.batches import Batch, check_finite
from ndg.activations.hooks import find_modules
from ndg.gradients.tape import Tape, check_gradients, gradients_at
from ndg.interventions.baselines import Neutrals
from ndg.units.layout import View, stack_steps
from ndg.units.readings import Output

# fmt: off
ELEMENTWISE = frozenset((
    "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh", "softplus",
    "hardtanh", "hardsigmoid", "hardswish", "softsign", "logsigmoid", "threshold", "clamp", "clamp_min", "dropout",
    "add", "radd", "iadd", "sub", "rsub", "isub", "mul", "rmul", "imul", "div", "truediv", "itruediv", "neg", "abs",
    "square", "exp", "clone", "contiguous",
))
"""Elementwise functions, by name without leading and trailing underscores."""

POOLS = frozenset(f"{how}_pool{axes}d" for how in ("max", "avg", "adaptive_avg", "adaptive_max") for axes in (1, 2, 3))
CHANNELWISE = POOLS | {"batch_norm", "prelu", "dropout1d", "dropout2d", "dropout3d"}
# fmt: on
"""Functions that keep channels separate."""


@dataclass(eq=False)
class _Stop:
    """A tensor on the path of a layer, with readers."""

    value: Tensor
    neutral: Tensor
    through: tuple[str, ...]
    reads: int = 0


@dataclass(eq=False)
class _Way:
    """Stops of a layer in forward order."""

    channels: bool
    stops: list[_Stop] = field(default_factory=list)

    @property
    def end(self) -> int:
        return next((place for place, stop in enumerate(self.stops[:-1]) if stop.reads > 1), len(self.stops) - 1)


class Carried:
    """Context that propagates the changes of units.

    After `run(batch)`, `changes` has each layer's change where its units first mix, and `carried.gradients(values)` the
    gradients there. Enter it within the tape.
    """

    def __init__(
        self, model: nn.Module, tape: Tape, layers: Iterable[str], neutrals: Neutrals, *, each: bool = False
    ) -> None:
        self._model, self._tape, self._layers = model, tape, tuple(layers)
        self._neutrals, self._each = neutrals, each
        self._ways: dict[str, _Way] = {}
        self._handles: list[Any] = []
        self._batch: Batch | None = None
        self.changes: dict[str, View] = {}

    def __enter__(self) -> Carried:
        for path, module in find_modules(self._model, self._layers).items():
            self._handles.append(module.register_forward_hook(self._begin(path)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._ways.clear()
        self.changes.clear()

    @property
    def through(self) -> dict[str, tuple[str, ...]]:
        """Functions on the path of each layer, in forward order."""
        ways = {layer: self._ways[layer] for layer in self._layers if layer in self._ways}
        return {
            layer: tuple(name for stop in way.stops[: way.end + 1] for name in stop.through)
            for layer, way in ways.items()
        }

    def run(self, batch: Batch) -> Float[Tensor, "example logit"]:
        """The logits. Raises LayerError for NaN activations."""
        self._ways.clear()
        self._batch = batch
        with _Following(self._ways):
            logits = self._tape.run(batch)
        self.changes = {layer: self._change(layer, batch) for layer in self._layers}
        for layer, change in self.changes.items():
            check_finite(change[: batch.count], layer, batch)
        return logits

    def gradients(self, values: Float[Tensor, " example"], *, last: bool = True) -> dict[str, View]:
        """Gradient of each example's value where each layer stops.

        `last` frees the graph.
        """
        gradients = gradients_at(values, {layer: self.ends(layer) for layer in self._layers}, last=last)
        for layer, parts in gradients.items():
            check_gradients(parts, layer, "behind")
        return {layer: self.seen(layer, parts) for layer, parts in gradients.items()}

    def _begin(self, layer: str) -> Callable[..., None]:
        def begin(module: nn.Module, arguments: Any, output: Any) -> None:
            layout, steps = self._tape.layouts[layer], self._tape.layers[layer].steps
            tokens = layout.kind in ("tokens", "heads") and self._tape.masks[layer] is not None
            if not isinstance(output, Tensor) or len(self._tape.raw[layer]) > 1 or tokens:
                self._ways.pop(layer, None)
                return
            with torch.no_grad():
                view = self._tape[layer]
                neutral = self._neutrals.of(layer, view, layout, self._batch)
                whole = output[:, None] if steps else output
                standing = layout.broadcast(neutral, whole).to(output).expand_as(whole).reshape(output.shape)
            way = _Way(layout.kind in ("units", "channels", "gates") and not self._each, [_Stop(output, standing, ())])
            self._ways[layer] = way

        return begin

    def _change(self, layer: str, batch: Batch) -> View:
        way = self._ways.get(layer)
        if way is None:
            view = self._tape[layer]
            return self._tape.unpadded(layer, view - self._neutrals.of(layer, view, self._tape.layouts[layer], batch))
        end = way.stops[way.end]
        return self.seen(layer, [end.value.detach() - end.neutral])

    def seen(self, layer: str, parts: list[Tensor]) -> View:
        """Values at a stop, arranged as units."""
        mask = self._tape.masks[layer]
        output = stack_steps(layer, parts, mask) if self._tape.layers[layer].steps else parts[0]
        return self._tape.layouts[layer].view(output, mask)

    def ends(self, layer: str) -> list[Output]:
        """Tensors where a layer stops, in the autograd graph, one per time step."""
        way = self._ways.get(layer)
        return self._tape.raw[layer] if way is None else [way.stops[way.end].value]


class _Following(TorchFunctionMode):
    """Function mode that propagates neutral states through operations that keep units separate."""

    def __init__(self, ways: dict[str, _Way]) -> None:
        super().__init__()
        self._ways = ways

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        read = {id(tensor) for tensor in _tensors(args, kwargs)}
        met = [(way, stop) for way in self._ways.values() for stop in way.stops if id(stop.value) in read]
        name = getattr(function, "__name__", "").strip("_")
        carried = [
            (way, _neutral(function, args, kwargs, stop))
            for way, stop in met
            if stop is way.stops[-1] and _alone(name, way, args, kwargs)
        ]
        result = function(*args, **kwargs)
        if not any(tensor.requires_grad for tensor in _tensors((result,), {})):
            return result
        for _, stop in met:
            stop.reads += 1
        for way, neutral in carried:
            last = way.stops[-1]
            if not isinstance(neutral, Tensor) or not _fits(name, result, last.value) or neutral.shape != result.shape:
                continue
            if result is last.value:  # in place
                last.neutral, last.reads, last.through = neutral, last.reads - 1, (*last.through, name)
            else:
                way.stops.append(_Stop(result, neutral, (name,)))
        return result


def _tensors(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    for value in (*args, *kwargs.values()):
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, Tensor):
                yield part


def _alone(name: str, way: _Way, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function keeps the units of a path separate."""
    if name == "batch_norm" and (args[5] if len(args) > 5 else kwargs.get("training", False)):
        return False
    if name in POOLS and way.stops[-1].value.ndim < 3:  # pooling over units
        return False
    return name in ELEMENTWISE or (name in CHANNELWISE and way.channels)


def _fits(name: str, result: Any, value: Tensor) -> bool:
    """Whether the units keep their positions in the output of a function."""
    if not isinstance(result, Tensor):
        return False
    return result.shape == value.shape if name in ELEMENTWISE else result.shape[:2] == value.shape[:2]


def _neutral(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], stop: _Stop) -> Any:
    """Output of a function with the units of a stop neutral."""

    def instead(value: Any) -> Any:
        value = stop.neutral if value is stop.value else value
        return value.detach().clone() if isinstance(value, Tensor) and value.is_floating_point() else value

    with torch.no_grad():
        return function(*map(instead, args), **{key: instead(value) for key, value in kwargs.items()})
