"""Outgoing weights: tracing units to the weights that read them.

Each tensor with values of a layer's units has a companion with the unit number of each value, which functions that move
values move too. A linear layer or convolution reads them, and tracing ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from ndg.activations.batches import Batch, pick
from ndg.activations.hooks import find_layer
from ndg.errors import LayerError
from ndg.gradients.tape import Tape
from ndg.units.resolve import resolve_layer

NONE = -1
"""Marks values that come from no unit of the layer."""

Numbers = Int64[Tensor, "..."]
Powers = Callable[[Tensor], Tensor]

ACTIVATIONS = {
    "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_sigmoid",
    "logsigmoid", "mish", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "threshold",
}  # fmt: skip
"""Elementwise functions, by name."""

EACH = ACTIVATIONS | {
    "abs", "alpha_dropout", "batch_norm", "bfloat16", "clamp", "clip", "clone", "contiguous", "data", "detach",
    "double", "dropout", "dropout1d", "dropout2d", "dropout3d", "erf", "exp", "feature_alpha_dropout",
    "feature_dropout", "float", "group_norm", "half", "instance_norm", "layer_norm", "local_response_norm",
    "masked_fill", "neg", "normalize", "pow", "requires_grad", "rms_norm", "sqrt", "square", "to", "type", "type_as",
}  # fmt: skip
"""Functions that keep the shape and the unit positions of their first argument."""

MOVES = {
    "T", "__getitem__", "channel_shuffle", "chunk", "expand", "expand_as", "flatten", "flip", "index_select", "mT",
    "movedim", "narrow", "permute", "pixel_shuffle", "pixel_unshuffle", "repeat", "reshape", "reshape_as", "roll",
    "select", "split", "squeeze", "swapaxes", "t", "transpose", "unbind", "unflatten", "unsqueeze", "view", "view_as",
}  # fmt: skip
"""Functions that move values; they move the numbers likewise."""

POOLS = (
    {f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_max", "adaptive_avg", "lp") for n in (1, 2, 3)}
    | {f"{kind}_pool{n}d_with_indices" for kind in ("max", "adaptive_max") for n in (1, 2, 3)}
    | {"interpolate"}
)
"""Functions that pool the positions of each channel."""

GATHERS = {"amax", "amin", "mean", "sum"}
JOINS = {
    "__add__", "__iadd__", "__imul__", "__isub__", "__mul__", "__radd__", "__rmul__", "__sub__", "__truediv__", "add",
    "div", "maximum", "minimum", "mul", "sub", "true_divide", "where",
}  # fmt: skip
STACKS = {"cat", "concat", "concatenate", "stack"}
SILENT = {
    "empty_like", "expand_as", "full_like", "new_empty", "new_full", "new_ones", "new_zeros", "ones_like", "reshape_as",
    "type_as", "view_as", "zeros_like",
}  # fmt: skip
"""Functions that read a tensor without passing on its values."""


def outgoing(
    model: nn.Module, batch: Batch, layers: Iterable[str], powers: Powers, *, each: bool
) -> dict[str, Float64[Tensor, " unit"]]:
    """Sum of `powers` of the weights that read each unit.

    Raises LayerError if the weights cannot be traced, or if there are none.
    """
    layers = tuple(layers)
    with ExitStack() as stack:
        for layer in layers:
            if resolve_layer(model, layer).steps:
                raise _lost(layer, "the next time step of a recurrence")
        tape = stack.enter_context(Tape(model, layers, each=each))
        follow = Follow(powers)
        for layer in layers:
            stack.enter_context(find_layer(model, layer).register_forward_hook(_begin(layer, tape, follow)))
        with follow:
            tape.run(pick(batch.inputs, torch.arange(1)))
    for layer in layers:
        if layer not in follow.read:
            raise LayerError(
                f"outgoing weights are those that read a layer; nothing with weights reads {layer!r}; choose a layer "
                "before the last one, or side='incoming'"
            )
    return follow.sums


class Follow(TorchFunctionMode):
    """Context that traces units: `begin` sets their positions, `sums` collects readers."""

    def __init__(self, powers: Powers) -> None:
        super().__init__()
        self._powers = powers
        self._known: dict[int, tuple[Tensor, dict[str, Numbers]]] = {}
        self.sums: dict[str, Float64[Tensor, " unit"]] = {}
        self.read: set[str] = set()

    def begin(self, layer: str, output: Tensor, numbers: Numbers) -> None:
        """Set the unit numbers of a layer in an output."""
        self.sums[layer] = torch.zeros(int(numbers.max()) + 1, dtype=torch.float64, device=output.device)
        self._known[id(output)] = (output, {**self._of(output), layer: numbers})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        tensors = [part for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)]
        values = any(isinstance(part, Tensor) and part.is_floating_point() for part in tree_leaves(result))
        if values and any(id(part) in self._known for part in tensors):
            name = getattr(func, "__name__", str(func))
            if name == "__get__":
                name = getattr(getattr(func, "__self__", None), "__name__", name)
            for layer in {layer: None for part in tensors for layer in self._of(part)}:
                self._step(layer, name, func, args, kwargs, result)
        return result

    def _step(self, layer: str, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        def here(value: Any) -> Numbers | None:
            return self._of(value).get(layer) if isinstance(value, Tensor) else None

        numbers: Any = here(args[0] if args else kwargs.get("input"))
        plain = name if name in MOVES | JOINS or name.endswith("__") else name.removesuffix("_")
        if name in READERS:
            return self._readers(layer, name, args, kwargs, here)
        if plain in STACKS:
            filled = tree_map(lambda x: _filled(x, here(x)) if isinstance(x, Tensor) else x, args)
            numbers = func(*filled, **kwargs)
        elif plain in JOINS:
            parts = [_filled(x, here(x)) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            numbers = _joined(layer, name, parts)
        elif numbers is not None and plain in MOVES:
            numbers = _moved(func, args, kwargs, here)
        elif numbers is not None and plain in POOLS:
            numbers = _pooled(layer, name, numbers, result)
        elif numbers is not None and plain in GATHERS:
            numbers = _gathered(layer, name, numbers, args, kwargs)
        elif numbers is None or plain not in EACH:
            if name in SILENT:
                return None
            raise _lost(layer, name)
        return self._keep(layer, result, numbers)

    def _readers(self, layer: str, name: str, args: Any, kwargs: Any, here: Callable[[Any], Numbers | None]) -> None:
        """Add the weights of a reading function; tracing ends there."""
        named = dict(zip(READERS[name], args, strict=False)) | kwargs
        for taken, by in _reads(layer, name, named):
            numbers = here(taken)
            if numbers is None:
                continue
            weights = _columns(name, self._powers(by), named.get("groups", 1))
            axis = 1 if name.startswith("conv") and numbers.ndim > 2 else -1
            column = _constant(layer, name, numbers.movedim(axis, 0).flatten(1))
            sums = self.sums[layer]
            sums.index_add_(0, column[column != NONE], weights[column != NONE].to(sums))
            self.read.add(layer)

    def _of(self, tensor: Tensor) -> dict[str, Numbers]:
        return self._known[id(tensor)][1] if id(tensor) in self._known else {}

    def _keep(self, layer: str, result: Any, numbers: Any) -> None:
        tensors = [part for part in tree_leaves(result) if isinstance(part, Tensor)]
        parts = [part for part in tree_leaves(numbers) if isinstance(part, Tensor)]
        for tensor, part in zip(tensors, parts, strict=False):
            if tensor.is_floating_point() and tensor.shape == part.shape:
                self._known[id(tensor)] = (tensor, {**self._of(tensor), layer: part})
            elif tensor.is_floating_point():
                raise _lost(layer, f"an operation that gives {tuple(tensor.shape)}")


READERS: dict[str, tuple[str, ...]] = {
    "linear": ("input", "weight", "bias"),
    **{f"conv{n}d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups") for n in (1, 2, 3)},
    **{
        f"conv_transpose{n}d": ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
        for n in (1, 2, 3)
    },
    "multi_head_attention_forward": ("query", "key", "value", "width", "heads", "in_proj_weight"),
}
"""Functions that read with weights, and their argument names."""


def _reads(layer: str, name: str, named: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """Input and weights of a reading function."""
    if name != "multi_head_attention_forward":
        return [(named["input"], named["weight"])]
    weight = named["in_proj_weight"]
    if weight is None:
        raise _lost(layer, "an attention with separate projections")
    return list(zip((named["query"], named["key"], named["value"]), weight.chunk(3), strict=True))


def _columns(name: str, powers: Tensor, groups: int) -> Float64[Tensor, " input"]:
    """Sum of powers of the weights that read each input unit or channel."""
    if name.startswith("conv_transpose"):
        return powers.flatten(1).sum(dim=1)
    if name.startswith("conv"):
        return powers.flatten(2).sum(dim=2).unflatten(0, (groups, -1)).sum(dim=1).flatten()
    return powers.sum(dim=0)


def _begin(layer: str, tape: Tape, follow: Follow) -> Callable[[nn.Module, Any, Any], None]:
    def begin(module: nn.Module, arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        with torch._C.DisableTorchFunction():
            units = tape[layer].shape[1]
            numbers = torch.arange(units, device=first.device)[None, :, None]
            follow.begin(layer, first, tape.layouts[layer].broadcast(numbers, first).expand_as(first))

    return begin


def _moved(func: Any, args: Any, kwargs: Any, here: Callable[[Any], Numbers | None]) -> Any:
    moved = tree_map(lambda x: x if here(x) is None else here(x), (args, kwargs))
    return func(*moved[0], **moved[1])


def _filled(value: Tensor, numbers: Numbers | None) -> Numbers:
    return torch.full(value.shape, NONE, device=value.device) if numbers is None else numbers


def _pooled(layer: str, name: str, numbers: Numbers, result: Any) -> Numbers:
    output = next(part for part in tree_leaves(result) if isinstance(part, Tensor))
    channels = _constant(layer, name, numbers.movedim(1, 0).flatten(1))
    return channels.reshape(1, -1, *[1] * (output.ndim - 2)).expand(output.shape)


def _gathered(layer: str, name: str, numbers: Numbers, args: Any, kwargs: Any) -> Numbers:
    dims = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    keep = kwargs.get("keepdim", args[2] if len(args) > 2 and isinstance(args[2], bool) else False)
    axes = tuple(range(numbers.ndim)) if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    low, high = (extreme(numbers, dim=axes, keepdim=keep) for extreme in (torch.amin, torch.amax))
    if not torch.equal(low, high):
        raise _lost(layer, f"{name} over several units")
    return high


def _joined(layer: str, name: str, parts: list[Numbers]) -> Numbers:
    """Unit numbers of joined values, each from at most one unit."""
    together = torch.broadcast_tensors(*parts)
    joined = together[0]
    for numbers in together[1:]:
        if bool(((joined != numbers) & (joined != NONE) & (numbers != NONE)).any()):
            raise _lost(layer, f"{name} of several units")
        joined = torch.maximum(joined, numbers)
    return joined


def _constant(layer: str, name: str, numbers: Int64[Tensor, "unit position"]) -> Int64[Tensor, " unit"]:
    """Unit of each row, constant over its positions."""
    if not bool((numbers == numbers[:, :1]).all()):
        raise _lost(layer, f"{name}, whose weights read several units")
    return numbers[:, 0].contiguous()


def _lost(layer: str, what: str) -> LayerError:
    return LayerError(
        "outgoing weights are found by following units through activations, norms, pooling, flattening, dropout and "
        f"sums to linear layers and convolutions; those of {layer!r} come to {what}; choose side='incoming'"
    )
