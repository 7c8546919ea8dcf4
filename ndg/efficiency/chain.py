"""Which activations a layer's units become, and which layers read them.

A mode of torch functions follows the output of each layer through activations, norms, dropout, pooling and flattening.
The last output that is not yet pooled or moved is the activation of the units. The next linear layer or convolution
reads them. Where something else takes the values (attention, the end of the network) the units have no reader of their
own, and that function is named. Layers whose outputs are added share their units: the residual width, with all readers
of the sums and of the layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType, ref

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ndg.importance.weights.outgoing import ACTIVATIONS, POOLS, SILENT

ELEMENTWISE = ACTIVATIONS | {
    "alpha_dropout", "batch_norm", "clone", "contiguous", "detach", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "feature_dropout", "group_norm", "instance_norm", "layer_norm", "rms_norm", "to",
}  # fmt: skip
"""Functions whose result takes the place of a unit's activation."""
POSITIVE = {"hardsigmoid", "relu", "relu6", "sigmoid", "softplus"}
KEEPS_SIGN = {"clone", "contiguous", "detach", "dropout", "dropout1d", "dropout2d", "dropout3d", "to"}
NORMS = {"group_norm", "instance_norm", "layer_norm", "rms_norm"}
"""Functions that read all units of an example together."""
ADDS = {"add", "__add__", "__radd__", "__iadd__", "add_"}
MOVES = {"__getitem__", "flatten", "mean", "reshape", "select", "squeeze", "unsqueeze", "view"}
"""Functions that may keep the units where they are; the shape of their result tells."""
LOOKS = SILENT | {"dim", "numel", "size", "requires_grad_"}

AGAIN = "a further call of the layer"


@dataclass(eq=False)
class Trail:
    """What became of one layer's output in a pass.

    `channels` says whether its second axis holds the units, else the last. `readers` are the layers that read them,
    each with its input; `other` names a function that takes the values without being one. `positive`: the activation
    is never below 0. `foreign` names what takes the values neither as a reader nor in a sum, or reads all units of an
    example together.
    """

    units: int
    channels: bool
    activation: Tensor
    readers: list[tuple[str, Tensor]] = field(default_factory=list)
    other: str = ""
    calls: int = 1
    positive: bool = False
    foreign: str = ""


@dataclass(eq=False)
class Width:
    """Layers that share their units, the readers of their sums, and what else takes these."""

    layers: list[str]
    readers: list[tuple[str, Tensor]] = field(default_factory=list)
    foreign: str = ""


class Chain(TorchFunctionMode):
    """Follows outputs by layer: `begin` starts a trail, `read` ends it at a layer."""

    def __init__(self, linear: Callable[[Tensor, Tensor, Tensor], bool] = lambda inputs, weight, output: False) -> None:
        super().__init__()
        self._linear = linear
        self._known: dict[int, tuple[ReferenceType[Tensor], str, bool]] = {}
        self._inside = 0
        self.trails: dict[str, Trail] = {}
        self._widths: dict[str, Width] = {}

    def clear(self) -> None:
        """Forget a pass."""
        self._known.clear()
        self.trails.clear()
        self._widths.clear()
        self._inside = 0

    def widths(self) -> list[Width]:
        """Widths that layers share, and layers with several readers, each with all that takes its units."""
        shared = {id(width): width for width in self._widths.values()}
        alone = [name for name, trail in self.trails.items() if name not in self._widths and len(trail.readers) > 1]
        result = []
        for width in [*shared.values(), *(Width([name]) for name in alone)]:
            trails = [self.trails[name] for name in width.layers]
            foreign = [width.foreign, *(trail.foreign or AGAIN * (trail.calls > 1) for trail in trails)]
            readers = [reader for trail in trails for reader in trail.readers] + width.readers
            result.append(Width(width.layers, readers, next(filter(None, foreign), "")))
        return result

    def begin(self, layer: str, output: Tensor, channels: bool) -> None:
        """Follow the output of a layer."""
        if layer in self.trails:
            self.trails[layer].calls += 1
        else:
            axis = 1 if channels else output.ndim - 1
            self.trails[layer] = Trail(output.shape[axis], channels, output)
        self._know(output, layer)

    def read(self, layer: str, inputs: Tensor) -> None:
        """Note that a layer reads what it is given."""
        if (known := self._source(inputs)) is not None:
            source, summed = known
            (self._widths[source] if summed else self.trails[source]).readers.append((layer, inputs))

    def enter(self) -> None:
        """A layer runs; its own functions take no values elsewhere."""
        self._inside += 1

    def leave(self) -> None:
        """The layer has run."""
        self._inside -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._inside:
            return result
        name = getattr(func, "__name__", str(func)).removesuffix("_with_indices")
        if name == "linear" and self._linear(args[0], args[1], result):
            return result
        if not self._known or name == "__get__":
            return result
        sources = [
            (tensor, *known)
            for tensor in tree_leaves((args, kwargs))
            if isinstance(tensor, Tensor) and (known := self._source(tensor)) is not None
        ]
        if name in ADDS and len(sources) == 2 and sources[0][0].shape == sources[1][0].shape:
            self._join(sources, result)
            return result
        for tensor, source, summed in sources:
            self._follow(source, summed, name, tensor, args, result)
        return result

    def _join(self, sources: list[tuple[Tensor, str, bool]], result: Tensor) -> None:
        """The units of both terms of a sum are the same from here on."""
        names = [source for _, source, _ in sources]
        first, second = (self._widths.get(name) or Width([name]) for name in names)
        if first is not second:
            first.layers.extend(name for name in second.layers if name not in first.layers)
            first.readers.extend(second.readers)
            first.foreign = first.foreign or second.foreign
        if self.trails[names[0]].channels != self.trails[names[1]].channels:
            first.foreign = first.foreign or "add"
        for name in first.layers:
            self._widths[name] = first
        for _, source, summed in sources:
            if not summed:
                self.trails[source].other = self.trails[source].other or "add"
        self._know(result, names[0], True)

    def _follow(self, source: str, summed: bool, name: str, tensor: Tensor, args: Any, result: Any) -> None:
        trail = self.trails[source]
        taker = self._widths[source] if summed else trail
        outputs = [part for part in tree_leaves(result) if isinstance(part, Tensor) and part.is_floating_point()]
        plain = name if name.startswith("__") else name.removesuffix("_")
        if not outputs or name in LOOKS or plain in LOOKS:
            return
        first = bool(args) and args[0] is tensor
        if first and plain in ELEMENTWISE and outputs[0].shape == tensor.shape:
            if plain in NORMS:
                taker.foreign = taker.foreign or plain
            if not summed and tensor.shape == trail.activation.shape:
                trail.activation = outputs[0]
                trail.positive = plain in POSITIVE or (trail.positive and plain in KEEPS_SIGN)
        elif not (first and (plain in POOLS or (plain in MOVES and _keeps(trail, outputs[0])))):
            taker.foreign = taker.foreign or name.strip("_")
            if not summed:
                trail.other = trail.other or name.strip("_")
            return
        self._know(outputs[0], source, summed)

    def _know(self, tensor: Tensor, layer: str, summed: bool = False) -> None:
        self._known[id(tensor)] = ref(tensor), layer, summed

    def _source(self, tensor: Tensor) -> tuple[str, bool] | None:
        known = self._known.get(id(tensor))
        return known[1:] if known is not None and known[0]() is tensor else None


def _keeps(trail: Trail, moved: Tensor) -> bool:
    """Whether a moved output still holds the units, channel by channel or on its last axis."""
    before = trail.activation
    if not trail.channels:
        return moved.ndim > 1 and moved.shape[-1] == trail.units
    whole = moved.ndim > 1 and len(moved) == len(before)
    return whole and (moved.shape[1] == trail.units or (moved.ndim == 2 and moved.shape[1] % trail.units == 0))
