"""Where the units of a layer lie in its output: linear units, channels, units of every token, attention heads, gates.

A layer is named by its module path; `X.heads` of an attention module and `X.gates` of a recurrent layer name units that
no module outputs, see `ndg.units.heads` and `ndg.units.gates`. All methods see the output of a layer as
`[example, unit, position]`: a channel has all its pixels as positions, a unit of a token model all tokens, and what
fills a text up is no position. A unit is scored, and set, with all its positions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from ndg.activations.hooks import find_layer
from ndg.errors import LayerError
from ndg.units import gates, heads
from ndg.units.readings import Mask
from ndg.units.virtual import Virtual

Output = Shaped[Tensor, "example ..."]
View = Shaped[Tensor, "example unit position"]


@dataclass(frozen=True, eq=False)
class Place:
    """A layer that can be scored. While `around()` lasts the module at `path` is part of the network, and its output
    holds the units.

    Where `heads` is a number the last axis holds so many groups of equal width, and a group is a unit. With `steps` the
    module runs once for each time step, `backwards` from the last one.
    """

    path: str
    heads: int | None = None
    steps: bool = False
    backwards: bool = False
    around: Callable[[], AbstractContextManager[None]] = nullcontext


def find_place(model: nn.Module, path: str) -> Place:
    """The place of that name. Raises LayerError when there is none, naming the nearest.

    A module of the network's own with that path comes before heads or gates.
    """
    modules = dict(model.named_modules())
    owner, _, name = path.rpartition(".")
    if owner in modules and isinstance(modules.get(path, VIRTUAL), Virtual):
        if name == heads.NAME:
            number, around = heads.find_heads(model, owner)
            return Place(path, heads=number, around=around)
        if gates.NAME.fullmatch(name):
            backwards, around = gates.find_gates(model, owner, name)
            return Place(path, steps=True, backwards=backwards, around=around)
    if isinstance(find_layer(model, path), torch.jit.ScriptModule):
        raise LayerError(
            f"a scored layer is seen by a hook, which scripted code does not call; {path!r} is scripted; score the "
            "module that it was made from"
        )
    return Place(path)


VIRTUAL = Virtual()
"""Stands for a path at which no module is."""


@dataclass(frozen=True, eq=False)
class Form:
    """How an output holds its units: `kind` is units, channels, tokens or heads; of `heads` there are `groups`.

    `each` makes every position a unit of its own, in the order unit by unit.
    """

    layer: str
    kind: str
    groups: int = 0
    each: bool = False

    def view(self, output: Output, mask: Mask | None = None) -> View:
        """The output as `[example, unit, position]`, zero at padded tokens."""
        if self.kind == "units":
            found = output[:, :, None]
        elif self.kind == "channels":
            found = output.flatten(2)
        elif self.kind == "tokens":
            found = _kept(output, mask).transpose(1, 2)
        else:
            split = _kept(output, mask).unflatten(-1, (self.groups, -1)).movedim(-2, 1)
            found = split.flatten(2)
        return found.flatten(1)[:, :, None] if self.each else found

    def back(self, view: Shaped[Tensor, "row unit position"], output: Output) -> Shaped[Tensor, "row ..."]:
        """Values of units, for every position or one for all of them, in a shape that broadcasts to an output."""
        one = view.shape[2] == 1
        if self.each:
            whole = replace(self, each=False)
            units = self.groups or output.shape[2 if self.kind == "tokens" else 1]
            return whole.back(view[:, :, 0].unflatten(1, (units, -1)), output)
        if self.kind in ("units", "channels"):
            return view.reshape(*view.shape[:2], *([1] * (output.ndim - 2) if one else output.shape[2:]))
        if self.kind == "tokens":
            return view.transpose(1, 2)
        width = output.shape[-1] // self.groups
        if one:
            wide = view[:, :, 0].repeat_interleave(width, dim=1)
            return wide.reshape(len(wide), *[1] * (output.ndim - 2), wide.shape[1])
        return view.reshape(len(view), self.groups, *output.shape[1:-1], width).movedim(1, -2).flatten(-2)


def _kept(output: Output, mask: Mask | None) -> Output:
    if mask is None or output.ndim != 3:
        return output
    return output.masked_fill(~mask[:, :, None], 0)  # a product would let NaN at padding through


def heads_fit(layer: str, output: Output, heads: int) -> None:
    """Raise LayerError when the last axis of an output does not fall into so many heads."""
    if output.ndim < 2 or output.shape[-1] % heads:
        raise LayerError(
            f"the heads of a layer are equal parts of its last axis; {layer!r} gives {tuple(output.shape)} and has "
            f"{heads} heads; name the module whose output holds the heads side by side"
        )
