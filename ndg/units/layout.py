"""Where the units of a layer lie in its output.

All methods see an output as `[example, unit, position]`: a channel has its pixels as positions, a unit of a token model
its tokens, a head its numbers over all tokens, a gate its time steps. Padding is no position. With `each`, every
position is a unit of its own, unit by unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from ndg.activations.batches import Batch
from ndg.activations.hooks import Lineage
from ndg.errors import DataError, LayerError
from ndg.units.readings import READINGS, Mask, Output, Reading, Rows, unpadded
from ndg.units.resolve import Layer

View = Shaped[Tensor, "example unit position"]

_POOLS = (nn.MaxPool1d, nn.MaxUnpool1d, nn.AvgPool1d, nn.LPPool1d, nn.AdaptiveMaxPool1d, nn.AdaptiveAvgPool1d)
_NORMS = (nn.BatchNorm1d, nn.SyncBatchNorm, nn.InstanceNorm1d, nn.GroupNorm)
_PADS = (nn.ConstantPad1d, nn.ReflectionPad1d, nn.ReplicationPad1d)
CHANNELS_FIRST: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.ConvTranspose1d, *_NORMS, *_POOLS, *_PADS, nn.Upsample)
"""Modules whose output of three axes is `[example, channel, position]`; an activation after one keeps that."""

UNITS_LAST: tuple[type[nn.Module], ...] = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding)
"""Modules whose units are the last axis, however many there are; an activation after one keeps that."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How an output holds its units.

    `kind` is a key of `READINGS`. Of `heads`, the last axis holds so many parts of equal width, each a unit. The output
    of `gates` is that of all time steps, `[example, step, unit]`, in the order in which they ran.
    """

    layer: str
    kind: str
    heads: int = 0
    each: bool = False

    @property
    def tokens(self) -> bool:
        """Whether the second axis of an output can hold padding."""
        return self.kind in ("tokens", "heads", "gates")

    def view(self, output: Output, mask: Mask | None = None) -> View:
        """The output as `[example, unit, position]`, zero at padded tokens."""
        if self.tokens and output.ndim == 3:
            output = unpadded(output, mask)
        if self.kind == "units":
            view = output[:, :, None]
        elif self.kind == "channels":
            view = output.flatten(2)
        elif self.kind == "heads":
            view = self.parts(output).movedim(-2, 1).flatten(2)
        else:
            view = output.transpose(1, 2)
        return view.flatten(1)[:, :, None] if self.each else view

    def broadcast(self, view: Shaped[Tensor, "row unit position"], output: Output) -> Shaped[Tensor, "row ..."]:
        """Values of units, per position or one, that broadcast to an output."""
        single = view.shape[2] == 1
        if self.each:
            units = self.heads or output.shape[1 if self.kind in ("units", "channels") else 2]
            return replace(self, each=False).broadcast(view[:, :, 0].unflatten(1, (units, -1)), output)
        if self.kind in ("units", "channels"):
            return view.reshape(*view.shape[:2], *([1] * (output.ndim - 2) if single else output.shape[2:]))
        if self.kind != "heads":
            return view.transpose(1, 2)
        width = output.shape[-1] // self.heads
        if single:
            wide = view[:, :, 0].repeat_interleave(width, dim=1)
            return wide.reshape(len(wide), *[1] * (output.ndim - 2), wide.shape[1])
        return view.reshape(len(view), self.heads, *output.shape[1:-1], width).movedim(1, -2).flatten(-2)

    def of_units(self, values: Shaped[Tensor, "row unit"], output: Output) -> Shaped[Tensor, "row ..."]:
        """One value per unit, in a shape that broadcasts to an output."""
        return self.broadcast(values[:, :, None], output)

    def reading(self, name: str, output: Output) -> Reading:
        """The reading of that name; LayerError for an unknown one."""
        readings = READINGS[self.kind]
        if name not in readings:
            raise LayerError(
                f"a layer is read as it was before, {self.layer!r} by {name!r}; it gives {tuple(output.shape)} now, "
                f"which is read by {' or '.join(readings)}; use the bits or the graph of this network"
            )
        return readings[name]

    def read(self, reading: str, output: Output, mask: Mask | None = None) -> Rows:
        """The value of each unit."""
        return READINGS[self.kind][reading].rows(self.parts(output), mask)

    def parts(self, output: Output) -> Output:
        """The output with an axis for heads, as readings take it."""
        return output.unflatten(-1, (self.heads, -1)) if self.kind == "heads" else output

    def unpadded_places(
        self, places: Bool[Tensor, "_ ..."], output: Tensor, mask: Bool[Tensor, "row token"] | None
    ) -> Tensor:
        """These places without those at padded tokens."""
        if mask is None or not self.tokens or output.ndim != 3:
            return places
        return places & mask[:, :, None].to(places.device)


class Layouts:
    """Finds layouts of outputs while a network runs.

    Enter it before hooks that ask for layouts, and call `begin` before each pass. `each` makes every position a unit.
    """

    def __init__(self, model: nn.Module, *, each: bool = False) -> None:
        self._each = each
        self._channels = Lineage(model, CHANNELS_FIRST, UNITS_LAST)
        self._last = Lineage(model, UNITS_LAST, CHANNELS_FIRST)
        self._stack = ExitStack()
        self._masks: dict[tuple[int, bool], Mask | None] = {}

    def __enter__(self) -> Layouts:
        self._stack.enter_context(self._channels)
        self._stack.enter_context(self._last)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self, batch: Batch) -> None:
        """Forget the outputs of the pass before."""
        self._batch = batch
        self._masks.clear()
        self._channels.clear()
        self._last.clear()

    def of(self, layer: Layer, output: Any) -> Layout:
        """The layout of an output or time step; LayerError without units."""
        rows = self._batch.rows
        if not isinstance(output, Tensor):
            raise LayerError(
                f"a layer with units returns a tensor, alone or first in a tuple; {layer.path!r} returns "
                f"{type(output).__name__}; choose a layer inside it"
            )
        if layer.heads is not None:
            if len(output) != rows:
                raise LayerError(
                    f"the first axis of a layer with units is the example; {layer.path!r} gives {tuple(output.shape)} "
                    f"for {rows} examples (windows of an image, say); choose a layer whose first axis is the example"
                )
            heads_fit(layer.path, output, layer.heads)
            return Layout(layer.path, "heads", layer.heads, self._each)
        kind = kind_of(layer.path, output, rows, self._channels.__contains__, self._last.__contains__)
        return Layout(layer.path, "gates" if layer.steps else kind, each=self._each)

    def mask(self, layer: Layer, layout: Layout, output: Tensor) -> Mask | None:
        """Tokens that are no padding, by time step; None for all."""
        inputs = self._batch.inputs
        if not isinstance(inputs, dict) or "attention_mask" not in inputs or not layout.tokens:
            return None
        if output.ndim != 3 and not layer.steps:
            return None
        key = (inputs["attention_mask"].shape[-1] if layer.steps else output.shape[1], layer.backwards)
        if key not in self._masks:
            mask = attention(self._batch, key[0])
            mask = mask.flip(1) if mask is not None and layer.backwards else mask
            self._masks[key] = None if mask is None else mask.to(output.device)
        return self._masks[key]

    def hand_on(self, output: Tensor, copy: Tensor) -> None:
        """Treat a copy of an output as that output."""
        for lineage in (self._channels, self._last):
            if output in lineage:
                lineage.add(copy)


def stack_steps(layer: str, steps: Sequence[Output], mask: Mask | None = None) -> Output:
    """Outputs of time steps as `[example, step, unit]`.

    LayerError unless they fit the mask.
    """
    if mask is not None and mask.shape[1] != len(steps):
        raise LayerError(
            f"a recurrent layer runs once for each token of the attention_mask; {layer!r} ran {len(steps)} times "
            f"for {mask.shape[1]} tokens; leave the mask out, or choose a layer that runs for every token"
        )
    return torch.stack(list(steps), dim=2).transpose(1, 2)


def kind_of(
    layer: str, output: Tensor, rows: int, channels: Callable[[Tensor], bool], units: Callable[[Tensor], bool]
) -> str:
    """`units`, `channels` or `tokens`; LayerError for other outputs.

    `channels` says of an output of three axes whether the second one is the channel, `units` of one of more axes
    whether the last one is the unit.
    """
    shape = tuple(output.shape)
    if not output.is_floating_point():
        raise LayerError(
            f"activations are floating-point numbers; {layer!r} gives {output.dtype} of shape {shape}; "
            "choose the layer before or after it"
        )
    if output.layout is not torch.strided:
        raise LayerError(
            f"a layer with units returns a dense tensor; {layer!r} returns a sparse one of shape {shape}; choose the "
            "layer before or after it"
        )
    if not 2 <= output.ndim <= 5:
        raise LayerError(
            "a layer gives (example, unit), (example, channel, position...) or (example, token, unit); "
            f"{layer!r} gives {shape}; choose another layer, or wrap it in a module that gives one of these"
        )
    if not output.numel() or len(output) != rows:
        raise LayerError(
            f"a layer gives at least one value for each of the {rows} examples of a compute batch; {layer!r} gives "
            f"{shape}; choose a layer whose first axis is the example"
        )
    if output.ndim > 3 and units(output):
        raise LayerError(
            f"of four or more axes the second is the channel; {layer!r} gives {shape}, whose units are the last axis; "
            "choose a layer of (example, token, unit), or wrap it in a module that flattens its positions to tokens"
        )
    if output.ndim == 2:
        return "units"
    return "channels" if output.ndim > 3 or channels(output) else "tokens"


def attention(batch: Batch, tokens: int) -> Mask | None:
    """Tokens that an `attention_mask` of this length keeps; None for all."""
    mask = batch.inputs.get("attention_mask") if isinstance(batch.inputs, dict) else None
    if mask is None or mask.ndim != 2 or mask.shape[1] != tokens:
        return None
    mask = mask != 0
    empty = ~mask.any(dim=1)
    if empty.any():
        raise DataError(
            f"an example has at least one token that is not padding; the attention_mask of example "
            f"{batch.number(int(empty.nonzero()[0, 0]))} leaves out all {tokens}; leave such examples out of the loader"
        )
    return None if mask.all() else mask


def heads_fit(layer: str, output: Output, heads: int) -> None:
    """Raise LayerError unless the last axis falls into these heads."""
    if output.ndim < 2 or output.shape[-1] % heads:
        raise LayerError(
            f"the heads of a layer are equal parts of its last axis; {layer!r} gives {tuple(output.shape)} and has "
            f"{heads} heads; name the module whose output holds the heads side by side"
        )
