"""A network without some units, and which numbers of each weight it kept.

Nothing is repaired: each weight of the smaller network is a weight of the former one. So the state of an optimiser can
follow, and units that are zero on every example can go without any effect.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ndg.compression.groups import Group, Part
from ndg.errors import LayerError
from ndg.models.resize import resize

Units = Int64[np.ndarray, " _"]
Numbers = Int64[Tensor, "..."]


def without(
    model: nn.Module, groups: Mapping[str, Group], chosen: Mapping[str, Units]
) -> tuple[nn.Module, dict[str, Numbers]]:
    """A copy of a network without the chosen units of its groups, and the numbers that it kept.

    The latter are, for each parameter and buffer, flat indices into that of the former network. Raises LayerError for
    attention heads, whose modules know their number of heads.
    """
    kept = {
        name: torch.arange(value.numel()).reshape(value.shape)
        for name, value in model.state_dict(keep_vars=True).items()
    }
    heads = [name for name in chosen if groups[name].kind == "head"]
    if heads:
        raise LayerError(f"attention heads are removed after training; {heads[0]!r} has heads; name other layers")
    rows, columns = _gone(groups, chosen)
    for path, numbers in rows.items():
        _drop(model, path, numbers, kept, made=True)
    for path, numbers in columns.items():
        _drop(model, path, numbers, kept, made=False)
    smaller = copy.deepcopy(model)
    tensors = {
        name: value.detach().flatten()[kept[name].flatten().to(value.device)].reshape(kept[name].shape)
        for name, value in model.state_dict().items()
    }
    resize(smaller, tensors)
    smaller.load_state_dict(tensors)
    return smaller, kept


def narrowed(groups: Mapping[str, Group], chosen: Mapping[str, Units]) -> dict[str, Group]:
    """The groups of the network that `without` returns, without another trace of it."""
    rows, columns = _gone(groups, chosen)
    none = np.zeros(0, dtype=np.int64)

    def part_of(part: Part, stays: Units, gone: Mapping[str, Units]) -> Part:
        index = part.index[stays]
        return Part(part.path, index - np.searchsorted(gone.get(part.path, none), index))

    smaller = {}
    for name, group in groups.items():
        stays = np.setdiff1d(np.arange(group.units), chosen.get(name, none))
        smaller[name] = replace(
            group,
            units=len(stays),
            makers=tuple(part_of(part, stays, rows) for part in group.makers),
            scales=tuple(part_of(part, stays, rows) for part in group.scales),
            readers=tuple(part_of(part, stays, columns) for part in group.readers),
        )
    return smaller


def _gone(groups: Mapping[str, Group], chosen: Mapping[str, Units]) -> tuple[dict[str, Units], dict[str, Units]]:
    """Sorted rows and columns that leave each module."""
    sides: tuple[dict[str, list[Units]], dict[str, list[Units]]] = ({}, {})
    for name, units in chosen.items():
        group = groups[name]
        for parts, side in (((*group.makers, *group.scales), sides[0]), (group.readers, sides[1])):
            for part in parts:
                side.setdefault(part.path, []).append(part.index[units].reshape(-1))
    rows, columns = ({path: np.unique(np.concatenate(each)) for path, each in side.items()} for side in sides)
    return rows, columns


def original(units: Units, layer: str, count: int, removed: Sequence[Mapping[str, Any]]) -> list[int]:
    """Numbers that some units had in the first network."""
    gone = {unit for row in removed if row.get("layer") == layer for unit in row["units"]}
    left = [unit for unit in range(count) if unit not in gone]
    return [left[unit] for unit in units.tolist()]


def _drop(model: nn.Module, path: str, gone: Units, kept: dict[str, Numbers], *, made: bool) -> None:
    """Drop the rows that make some units, or the columns that read them."""
    module = model.get_submodule(path)
    for name in [*module._parameters, *module._buffers]:
        full = f"{path}.{name}".lstrip(".")
        if full not in kept or kept[full].ndim == 0:
            continue
        numbers = kept[full]
        if isinstance(module, nn.RNNBase):
            kept[full] = _of_recurrent(name, numbers, gone, module, made)
        elif made:
            kept[full] = _along(numbers, 0, gone)
        elif numbers.ndim > 1:
            kept[full] = _along(numbers, 1, gone)


def _of_recurrent(name: str, numbers: Numbers, gone: Units, module: nn.RNNBase, made: bool) -> Numbers:
    """Rows of every gate and columns of the state, or columns of the first layer's input."""
    if not made:
        return _along(numbers, 1, gone) if name.startswith("weight_ih_l0") else numbers
    hidden = int(module.hidden_size)
    gates = len(numbers) // hidden
    numbers = _along(numbers, 0, np.concatenate([gate * hidden + gone for gate in range(gates)]))
    inner = name.startswith("weight_hh") or (name.startswith("weight_ih") and not name.startswith("weight_ih_l0"))
    if inner:
        blocks = numbers.shape[1] // hidden  # of directions
        numbers = _along(numbers, 1, np.concatenate([block * hidden + gone for block in range(blocks)]))
    return numbers


def _along(numbers: Numbers, axis: int, gone: Units) -> Numbers:
    stays = np.setdiff1d(np.arange(numbers.shape[axis]), gone)
    return numbers.index_select(axis, torch.from_numpy(stays))
