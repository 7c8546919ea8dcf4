"""A smaller network without some units, and the original with these units masked, which computes the same.

Nothing is repaired: each weight of the smaller network is a weight of the former one. So the state of an optimiser can
follow, and units that are zero on every example can go without any effect.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ndg.activations.batches import Inputs, fixed, forward
from ndg.compression.examples import check_logits
from ndg.compression.groups import Group, Part
from ndg.errors import FailureError
from ndg.models.resize import resize

CLOSE = 1e-5
"""Largest difference of logits, relative to the largest logit, that rounding explains."""

Units = Int64[np.ndarray, " _"]
Kept = Mapping[str, np.ndarray]
"""Numbers of the units that stay, by group."""
Numbers = Int64[Tensor, "..."]
NONE = np.zeros(0, dtype=np.int64)


def smaller(model: nn.Module, groups: Mapping[str, Group], kept: Kept, inputs: Inputs) -> nn.Module:
    """A copy of a network without the other units, checked against the masked original on some inputs.

    Raises FailureError if the two differ by more than rounding, LayerError for logits that are not finite.
    """
    expected = _logits(masked(model, groups, kept), inputs)
    check_logits(model, expected)
    network, _ = without(model, groups, rest(groups, kept))
    reason = ""
    for heads in (False, True):
        if heads:
            _count_heads(network, groups, kept)
        try:
            difference = float((_logits(network, inputs) - expected).abs().max() / expected.abs().max().clamp(min=1))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            continue
        if difference <= CLOSE:
            return network
        reason = f"largest difference {difference:.1e} of the largest logit"
    raise FailureError(
        f"a network without some units computes what the original computes with them masked; {type(model).__name__} "
        f"does not ({reason}): its forward holds widths or numbers of heads as constants; compute them from the tensors"
    )


def masked(model: nn.Module, groups: Mapping[str, Group], kept: Kept) -> nn.Module:
    """A copy of a network in which nothing reads the units that go."""
    network = copy.deepcopy(model)
    for name, gone in rest(groups, kept).items():
        group = groups[name]
        for part in group.readers:
            columns = torch.from_numpy(part.index[gone].flatten())
            for weight in _reading(network.get_submodule(part.path)):
                weight.data[:, columns] = 0
        if group.kind == "hidden unit":
            for weight_name, weight in network.get_submodule(group.makers[0].path).named_parameters():
                if weight_name.startswith("weight_hh"):
                    weight.data[:, torch.from_numpy(gone)] = 0
    return network


def without(
    model: nn.Module, groups: Mapping[str, Group], gone: Mapping[str, Units]
) -> tuple[nn.Module, dict[str, Numbers]]:
    """A copy of a network without some units of its groups, and the numbers that it kept.

    The latter are, for each parameter and buffer, flat indices into that of the former network. Modules of attention
    still know their former number of heads.
    """
    former = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    kept = {name: torch.arange(value.numel()).reshape(value.shape) for name, value in former.items()}
    rows, columns = _entries(groups, gone)
    for path in dict.fromkeys([*rows, *columns]):
        module = model.get_submodule(path)
        for name in [*module._parameters, *module._buffers]:
            full = f"{path}.{name}".lstrip(".")
            if full in kept and kept[full].ndim:
                kept[full] = _taken(module, name, kept[full], rows.get(path, NONE), columns.get(path, NONE))
    network = copy.deepcopy(model)
    tensors = {
        name: value.detach().flatten()[kept[name].flatten().to(value.device)].reshape(kept[name].shape)
        for name, value in former.items()
        if value.shape != kept[name].shape
    }
    resize(network, tensors)
    with torch.no_grad():
        for name, value in tensors.items():
            owner, _, last = name.rpartition(".")
            getattr(network.get_submodule(owner), last).copy_(value)
    return network, kept


def narrowed(groups: Mapping[str, Group], gone: Mapping[str, Units]) -> dict[str, Group]:
    """The groups of the network that `without` returns, without another trace of it."""
    rows, columns = _entries(groups, gone)

    def part_of(part: Part, stays: Units, lost: Mapping[str, Units]) -> Part:
        index = part.index[stays]
        return Part(part.path, index - np.searchsorted(lost.get(part.path, NONE), index))

    result = {}
    for name, group in groups.items():
        stays = np.setdiff1d(np.arange(group.units), gone.get(name, NONE))
        result[name] = replace(
            group,
            units=len(stays),
            makers=tuple(part_of(part, stays, rows) for part in group.makers),
            scales=tuple(part_of(part, stays, rows) for part in group.scales),
            readers=tuple(part_of(part, stays, columns) for part in group.readers),
        )
    return result


def original(units: Units, layer: str, count: int, removed: Sequence[Mapping[str, Any]]) -> list[int]:
    """Numbers that some units had in the first network."""
    gone = {unit for row in removed if row.get("layer") == layer for unit in row["units"]}
    left = [unit for unit in range(count) if unit not in gone]
    return [left[unit] for unit in units.tolist()]


def rest(groups: Mapping[str, Group], units: Kept) -> dict[str, Units]:
    """The other units of each group."""
    return {name: np.setdiff1d(np.arange(group.units), units[name]) for name, group in groups.items()}


def _entries(groups: Mapping[str, Group], units: Mapping[str, Units]) -> tuple[dict[str, Units], dict[str, Units]]:
    """Sorted rows and columns of some units in each module."""
    sides: tuple[dict[str, list[Units]], dict[str, list[Units]]] = ({}, {})
    for name, numbers in units.items():
        group = groups[name]
        for parts, side in (((*group.makers, *group.scales), sides[0]), (group.readers, sides[1])):
            for part in parts:
                side.setdefault(part.path, []).append(part.index[numbers].reshape(-1))
    rows, columns = ({path: np.unique(np.concatenate(each)) for path, each in side.items()} for side in sides)
    return rows, columns


def _taken(module: nn.Module, name: str, numbers: Numbers, rows: Units, columns: Units) -> Numbers:
    """Numbers of a weight without the rows that make some units and the columns that read others."""
    if not isinstance(module, nn.RNNBase):
        numbers = _along(numbers, 0, rows)
        return _along(numbers, 1, columns) if numbers.ndim > 1 else numbers
    hidden = int(module.hidden_size)
    gates = len(numbers) // hidden
    if name.startswith("weight_hh"):
        numbers = _along(numbers, 1, rows)
    elif name.startswith("weight_ih"):
        numbers = _along(numbers, 1, columns)
    return _along(numbers, 0, np.concatenate([gate * hidden + rows for gate in range(gates)]))


def _along(numbers: Numbers, axis: int, gone: Units) -> Numbers:
    stays = np.setdiff1d(np.arange(numbers.shape[axis]), gone)
    return numbers.index_select(axis, torch.from_numpy(stays))


def _count_heads(network: nn.Module, groups: Mapping[str, Group], kept: Kept) -> None:
    """Change whole numbers of modules of attention that equal the number of heads or their width."""
    for path, group in groups.items():
        sizes = {part.width * group.units: part.width * len(kept[path]) for part in group.makers}
        sizes[group.units] = len(kept[path])
        for name, value in list(vars(network.get_submodule(path)).items()) if group.kind == "head" else ():
            if type(value) is int and not name.startswith("_"):
                setattr(network.get_submodule(path), name, sizes.get(value, value))


def _reading(module: nn.Module) -> Iterable[Tensor]:
    """Weights whose columns are the inputs of a module."""
    if isinstance(module, nn.RNNBase):
        return [weight for name, weight in module.named_parameters() if name.startswith("weight_ih")]
    return [module.weight]  # type: ignore[list-item]


def _logits(model: nn.Module, inputs: Inputs) -> Tensor:
    with fixed(model, torch.get_num_threads()):
        return forward(model, inputs)
