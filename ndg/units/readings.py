"""One value per unit and example, read from an output.

`[example, unit]` is that already. Other outputs hold several positions of a unit:

    channels   [example, channel, position...]     max, mean or any position
    tokens     [example, token, unit]              first token, mean over tokens, or every token as an example
    heads      [example, token, head, number]      mean or norm (root mean square) of a head's numbers over all tokens
    gates      [example, step, unit]               mean over the time steps

With `each`, every position is a unit of its own, unit by unit. Tokens that an attention mask leaves out do not count:
the first token is the first that is no padding. `each` reads them as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from ndg.errors import ConfigError, nearest
from ndg.nodes import UNIT

Output = Shaped[Tensor, "example ..."]
Rows = Shaped[Tensor, "row unit"]
Mask = Bool[Tensor, "example token"]

EVERY, EACH = "every", "each"


def _largest(output: Output, mask: Mask | None) -> Rows:
    return output.amax(dim=tuple(range(2, output.ndim)))


def _positions(output: Output, mask: Mask | None) -> Rows:
    return output.flatten(2).transpose(1, 2).flatten(0, 1)


def _first(output: Output, mask: Mask | None) -> Rows:
    if mask is None or bool(mask[:, 0].all()):
        return output[:, 0].clone()  # a view would keep all tokens
    return output[torch.arange(len(output), device=output.device), mask.int().argmax(dim=1)]


def _average_token(output: Output, mask: Mask | None) -> Rows:
    if mask is None:
        return output.mean(dim=1)
    return unpadded(output, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _every(output: Output, mask: Mask | None) -> Rows:
    return output.flatten(0, 1) if mask is None else output[mask]


def _each_token(output: Output, mask: Mask | None) -> Rows:
    return unpadded(output, mask).transpose(1, 2).flatten(1).clone()


def _average_head(output: Output, mask: Mask | None) -> Rows:
    means = output.mean(dim=-1)
    return _average_token(means.reshape(len(means), -1, means.shape[-1]), mask)


def unpadded(output: Output, mask: Mask | None) -> Output:
    """An output `[example, token, ...]` with zeros at padded tokens."""
    if mask is None:
        return output
    kept = mask.reshape(*mask.shape, *[1] * (output.ndim - 2))
    return output.masked_fill(~kept, 0)  # a product would let NaN at padding through


Function = Callable[[Output, Mask | None], Rows]

SELECTIONS = (_positions, _every)
"""Functions that give several rows for an example, and compute nothing."""


@dataclass(frozen=True)
class Reading:
    """Functions for values, and for samples that thresholds are fitted to."""

    rows: Function
    sample: Function | None = None


READINGS: dict[str, dict[str, Reading]] = {
    "units": {UNIT: Reading(lambda output, _: output.clone())},  # a network may change its output in place afterwards
    "channels": {
        "max": Reading(_largest),
        "mean": Reading(lambda output, _: output.mean(dim=tuple(range(2, output.ndim)))),
        "any": Reading(_largest, sample=_positions),  # a position is above a threshold iff the largest is
        EACH: Reading(lambda output, _: output.flatten(1).clone()),
    },
    "tokens": {
        "first": Reading(_first),
        "mean": Reading(_average_token),
        EVERY: Reading(_every),
        EACH: Reading(_each_token),
    },
    "heads": {
        "mean": Reading(_average_head),
        "norm": Reading(lambda output, mask: _average_head(output.square(), mask).sqrt()),
        EACH: Reading(lambda output, mask: unpadded(output, mask).movedim(-2, 1).flatten(1).clone()),
    },
    "gates": {"mean": Reading(_average_token), EACH: Reading(_each_token)},
}
"""By the kind of a layer's layout; the first of each kind is the default."""

DEFAULTS = {kind: next(iter(readings)) for kind, readings in READINGS.items()}


def choose_readings(readings: Mapping[str, str]) -> dict[str, str]:
    """The reading of each kind of output; ConfigError for unknown names."""
    for kind, name in readings.items():
        if kind not in READINGS:
            raise ConfigError(f"readings are of {', '.join(READINGS)}; got {kind!r}; {nearest(kind, READINGS)}")
        if name not in READINGS[kind]:
            known = READINGS[kind]
            raise ConfigError(f"{kind} are read by {', '.join(known)}; got {name!r}; {nearest(name, known)}")
    return DEFAULTS | dict(readings)
