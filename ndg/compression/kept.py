"""A network without some units, and which numbers of each weight it kept.

Nothing is repaired: each weight of the smaller network is a weight of the former one. So the state of an optimiser can
follow, and units that are zero on every example can go without any effect.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ndg.compression.groups import Group
from ndg.errors import LayerError
from ndg.models.resize import resize

Units = Int64[np.ndarray, " chosen"]
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
    rows: dict[str, list[Units]] = {}
    columns: dict[str, list[Units]] = {}
    for name, units in chosen.items():
        if groups[name].kind == "head":
            raise LayerError(f"attention heads are removed after training; {name!r} has heads; name other layers")
        for parts, gone in ((groups[name].makers + groups[name].scales, rows), (groups[name].readers, columns)):
            for part in parts:
                gone.setdefault(part.path, []).append(part.index[units].reshape(-1))
    for path, numbers in rows.items():
        _drop(model, path, np.concatenate(numbers), kept, made=True)
    for path, numbers in columns.items():
        _drop(model, path, np.concatenate(numbers), kept, made=False)
    smaller = copy.deepcopy(model)
    tensors = {
        name: value.detach().flatten()[kept[name].flatten().to(value.device)].reshape(kept[name].shape)
        for name, value in model.state_dict().items()
    }
    resize(smaller, tensors)
    smaller.load_state_dict(tensors)
    return smaller, kept


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
