"""How the output of a layer becomes one value per unit of each example.

`[example, unit]` is that already. A convolution gives `[example, channel, position...]`, and a channel is one unit: its
`max` or `mean` over the positions, or whether `any` position is above the threshold. A token model gives
`[example, token, unit]`: the `first` token is read, the `mean` over the tokens, or `every` token is an example of its
own. Tokens that an attention mask leaves out do not count: the first is the first that is no padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from ndg.activations.batches import Batch
from ndg.errors import ConfigError, DataError, LayerError, nearest
from ndg.nodes import UNIT

Output = Shaped[Tensor, "example ..."]
Rows = Shaped[Tensor, "row unit"]
Mask = Bool[Tensor, "example token"]

EVERY = "every"


def _whole(output: Output, mask: Mask | None) -> Rows:
    return output.clone()  # the network may change its own output in place afterwards


def _largest(output: Output, mask: Mask | None) -> Rows:
    return output.amax(dim=tuple(range(2, output.ndim)))


def _average(output: Output, mask: Mask | None) -> Rows:
    return output.mean(dim=tuple(range(2, output.ndim)))


def _positions(output: Output, mask: Mask | None) -> Rows:
    return output.flatten(2).transpose(1, 2).flatten(0, 1)


def _first(output: Output, mask: Mask | None) -> Rows:
    if mask is None or bool(mask[:, 0].all()):
        return output[:, 0].clone()  # a view would keep all tokens
    return output[torch.arange(len(output), device=output.device), mask.int().argmax(dim=1)]


def _average_token(output: Output, mask: Mask | None) -> Rows:
    if mask is None:
        return output.mean(dim=1)
    kept = output.masked_fill(~mask[:, :, None], 0)  # a product would let NaN at padding through
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _every(output: Output, mask: Mask | None) -> Rows:
    return output.flatten(0, 1) if mask is None else output[mask]


Function = Callable[[Output, Mask | None], Rows]

SELECTIONS = (_positions, _every)
"""What gives several rows for an example, and computes nothing."""


@dataclass(frozen=True)
class Reading:
    """`rows` are the values that are compared with a threshold; `sample` those that one is fitted to, where others."""

    rows: Function
    sample: Function | None = None


READINGS: dict[str, dict[str, Reading]] = {
    "units": {UNIT: Reading(_whole)},
    "channels": {
        "max": Reading(_largest),
        "mean": Reading(_average),
        "any": Reading(_largest, sample=_positions),  # a position is above a threshold iff the largest is
    },
    "tokens": {"first": Reading(_first), "mean": Reading(_average_token), EVERY: Reading(_every)},
}
"""By what the axes after the first are."""

CHANNELS_FIRST: tuple[type[nn.Module], ...] = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.GroupNorm,
    nn.MaxPool1d,
    nn.MaxUnpool1d,
    nn.AvgPool1d,
    nn.LPPool1d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveAvgPool1d,
    nn.ConstantPad1d,
    nn.ReflectionPad1d,
    nn.ReplicationPad1d,
    nn.Upsample,
)
"""Modules whose output of three axes is `[example, channel, position]`; an activation after one keeps that."""


UNITS_LAST: tuple[type[nn.Module], ...] = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding)
"""Modules whose units are the last axis, however many there are; an activation after one keeps that."""


def asked(channels: str, tokens: str) -> dict[str, str]:
    """The reading of each kind of output; ConfigError for one that is not known."""
    for what, name in (("channels", channels), ("tokens", tokens)):
        if name not in READINGS[what]:
            known = READINGS[what]
            raise ConfigError(f"{what} are read by {', '.join(known)}; got {name!r}; {nearest(name, known)}")
    return {"units": UNIT, "channels": channels, "tokens": tokens}


def kind(
    layer: str, output: Tensor, rows: int, channels: Callable[[Tensor], bool], units: Callable[[Tensor], bool]
) -> str:
    """`units`, `channels` or `tokens`; LayerError for an output that is none of them or not of `rows` examples.

    `channels` says of an output of three axes whether the second one is the channel, `units` of one of more axes
    whether the last one is the unit.
    """
    shape = tuple(output.shape)
    if not output.is_floating_point():
        raise LayerError(
            f"activations are floating-point numbers; {layer!r} gives {output.dtype} of shape {shape}; "
            "choose the layer before or after it"
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
    """Which tokens are not padding, where that is not all and an `attention_mask` of so many tokens says so."""
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
