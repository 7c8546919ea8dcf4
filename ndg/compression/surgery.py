"""A smaller network without some units, and the original with these units masked, which computes the same."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ndg.activations.batches import Inputs, fixed, forward
from ndg.compression.groups import Group
from ndg.errors import FailureError

CLOSE = 1e-5
"""Largest difference of logits, relative to the largest logit, that rounding explains."""

Kept = Mapping[str, np.ndarray]
"""Numbers of the units that stay, by group."""


def smaller(model: nn.Module, groups: Mapping[str, Group], kept: Kept, inputs: Inputs) -> nn.Module:
    """A copy of a network without the other units, checked against the masked original on some inputs.

    Raises FailureError if the two differ by more than rounding.
    """
    expected = _logits(masked(model, groups, kept), inputs)
    reason = ""
    for resize in (False, True):
        network = without(model, groups, kept, resize)
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
    for name, group in groups.items():
        gone = np.setdiff1d(np.arange(group.units), kept[name])
        for part in group.readers:
            columns = torch.from_numpy(part.index[gone].flatten())
            for weight in _reading(network.get_submodule(part.path)):
                weight.data[:, columns] = 0
        if group.kind == "hidden unit":
            for weight_name, weight in network.get_submodule(group.makers[0].path).named_parameters():
                if weight_name.startswith("weight_hh"):
                    weight.data[:, torch.from_numpy(gone)] = 0
    return network


def without(model: nn.Module, groups: Mapping[str, Group], kept: Kept, resize: bool = False) -> nn.Module:
    """A copy of a network without the other units.

    `resize`: also change whole numbers of modules of attention that equal the number of heads or their width.
    """
    network = copy.deepcopy(model)
    rows: dict[str, np.ndarray] = {}
    columns: dict[str, np.ndarray] = {}
    for name, group in groups.items():
        gone = np.setdiff1d(np.arange(group.units), kept[name])
        for parts, entries in ((group.makers, rows), (group.scales, rows), (group.readers, columns)):
            for part in parts:
                entries[part.path] = np.union1d(entries.get(part.path, gone[:0]), part.index[gone].flatten())
        if resize and group.kind == "head":
            _resize(network.get_submodule(name), group, len(kept[name]))
    for path in {**rows, **columns}:
        none = np.zeros(0, dtype=np.int64)
        _take(network.get_submodule(path), rows.get(path, none), columns.get(path, none))
    return network


def _take(module: Any, rows: np.ndarray, columns: np.ndarray) -> None:
    """Remove rows and columns from a module in place."""
    if isinstance(module, nn.RNNBase):
        _take_recurrent(module, rows, columns)
        return
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        keep = _rest(module.num_features, rows)
        for name in ("weight", "bias", "running_mean", "running_var"):
            _set(module, name, getattr(module, name), keep, 0)
        module.num_features = len(keep)
        return
    keep_rows, keep_columns = _rest(module.weight.shape[0], rows), _rest(module.weight.shape[1], columns)
    _set(module, "weight", module.weight[:, keep_columns], keep_rows, 0)
    _set(module, "bias", module.bias, keep_rows, 0)
    if isinstance(module, nn.Linear):
        module.in_features, module.out_features = len(keep_columns), len(keep_rows)
    elif module.groups == 1:
        module.in_channels, module.out_channels = len(keep_columns), len(keep_rows)
    else:
        module.in_channels = module.out_channels = module.groups = len(keep_rows)


def _take_recurrent(module: Any, units: np.ndarray, columns: np.ndarray) -> None:
    """Remove hidden units from all gates and from what they read, and columns of the inputs."""
    hidden, gates = module.hidden_size, module.weight_hh_l0.shape[0] // module.hidden_size
    keep, inputs = _rest(hidden, units), _rest(module.input_size, columns)
    rows = (keep + hidden * torch.arange(gates)[:, None]).flatten()
    for name, value in list(module.named_parameters()):
        narrow = value[:, inputs] if name.startswith("weight_ih") else value
        narrow = value[:, keep] if name.startswith("weight_hh") else narrow
        _set(module, name, narrow, rows, 0)
    module.hidden_size, module.input_size = len(keep), len(inputs)
    module.flatten_parameters()


def _set(module: nn.Module, name: str, value: Tensor | None, keep: Tensor, axis: int) -> None:
    if value is None:
        return
    old = getattr(module, name)
    narrow = value.detach().index_select(axis, keep.to(value.device)).clone()
    setattr(module, name, nn.Parameter(narrow, old.requires_grad) if isinstance(old, nn.Parameter) else narrow)


def _rest(count: int, gone: np.ndarray) -> Tensor:
    return torch.from_numpy(np.setdiff1d(np.arange(count), gone))


def _resize(module: nn.Module, group: Group, heads: int) -> None:
    widths = {part.width * group.units: part.width * heads for part in group.makers}
    for name, value in list(vars(module).items()):
        if type(value) is int and not name.startswith("_"):
            new = heads if value == group.units else widths.get(value, value)
            setattr(module, name, new)


def _reading(module: nn.Module) -> Iterable[Tensor]:
    """Weights whose columns are the inputs of a module."""
    if isinstance(module, nn.RNNBase):
        return [weight for name, weight in module.named_parameters() if name.startswith("weight_ih")]
    return [module.weight]  # type: ignore[list-item]


def _logits(model: nn.Module, inputs: Inputs) -> Tensor:
    with fixed(model, torch.get_num_threads()):
        return forward(model, inputs)
