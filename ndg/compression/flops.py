"""Floating-point operations of a network, and of the same network with fewer units."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ndg.activations.batches import Inputs, fixed, output_of, pick
from ndg.compression.groups import Group
from ndg.compression.sizes import Gone


def module_flops(model: nn.Module, inputs: Inputs) -> dict[str, float]:
    """Operations of one example in each module itself, without its parts.

    "" is the network.

    A multiplication and an addition count as two. Attention runs as plain products and MKL-DNN is off: the counter of
    torch is exact then alone.
    """
    model = copy.deepcopy(model)  # the counter leaves hooks on an interrupted network
    counter = FlopCounterMode(display=False)
    single = pick(inputs, torch.arange(1))
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            fixed(model, torch.get_num_threads()),
            sdpa_kernel(SDPBackend.MATH),
            torch.backends.mkldnn.flags(enabled=False, allow_tf32=None),
            counter,
        ):
            output_of(model, single)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    root = type(model).__name__
    totals = {
        path.removeprefix(root).lstrip("."): float(sum(counts.values()))
        for path, counts in counter.get_flop_counts().items()
        if path == root or path.startswith(f"{root}.")
    }
    own = dict(totals)
    for path, total in totals.items():
        if path:
            own[_parent(path, totals)] -= total
    return own


def _parent(path: str, known: Mapping[str, Any]) -> str:
    """The nearest module above that was counted."""
    while path:
        path = path.rpartition(".")[0]
        if path in known:
            return path
    return ""


def flops_without(model: nn.Module, own: Mapping[str, float], groups: Mapping[str, Group], gone: Gone) -> float:
    """Operations of one example once each group has lost some units."""
    left = {name: 1 - gone[name] / group.units for name, group in groups.items()}
    rows: dict[str, float] = {}
    columns: dict[str, float] = {}
    for name, group in groups.items():
        for part in (*group.makers, *group.scales):
            rows[part.path] = left[name]
        if group.kind == "head":
            rows.setdefault(name, left[name])
        for part in group.readers:
            share = part.index.size / _width(model.get_submodule(part.path))
            columns[part.path] = columns.get(part.path, 1.0) - share * (1 - left[name])
    total = 0.0
    for path, count in own.items():
        module = model.get_submodule(path)
        made, read = rows.get(path, 1.0), columns.get(path, 1.0)
        if isinstance(module, nn.RNNBase):
            inputs, hidden = module.input_size, module.hidden_size
            read = (inputs * read + hidden * made) / (inputs + hidden)
        total += count * made * read
    return total


def _width(module: Any) -> int:
    """Inputs that a module reads along the axis of its units."""
    return int(module.input_size if isinstance(module, nn.RNNBase) else module.weight.shape[1])
