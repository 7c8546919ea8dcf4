"""Least-squares repair of a smaller network, from front to back.

Each layer that reads fewer units gets the weights and the intercept that bring its outputs nearest to those of the
original network, given what it now reads. For a dense layer behind a flatten the channels are rebuilt from those that
are left, and the result is folded into its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import compute_batches, fixed, output_of
from ndg.activations.sampling import count
from ndg.compression.groups import Group
from ndg.compression.statistics import CONVOLUTIONS, ROWS, Places, Slot, drawn, patches, slots
from ndg.compression.surgery import Kept
from ndg.options import RunOptions

ROUNDING = 1e-6
"""Root mean square of an error, over that of the outputs, that single precision explains."""


class _ReachedError(Exception):
    """A pass is ended at the layer that is asked for."""


@dataclass(frozen=True)
class LeastSquares:
    """Ridge, rows of activations of one layer, and how passes run."""

    ridge: float
    rows: int = ROWS
    options: RunOptions = RunOptions()


@dataclass(frozen=True, eq=False)
class Goal:
    """Target of a reader's repair, from the original network.

    `values` are its outputs, or what a pooled reader reads.
    """

    slot: Slot
    values: Tensor


def goals(
    model: nn.Module, loader: Iterable[Any], groups: Mapping[str, Group], options: RunOptions, most: int = ROWS
) -> list[Goal]:
    """Targets of the repair, from one pass of the original network, in order of execution."""
    wanted = {(slot.part.path, slot.recurrent): slot for slot in slots(model, groups)}
    rows: Rows = {}
    total = count(loader)
    for batch in compute_batches(loader, options.batch, short=True):
        places = drawn(batch, total, most, options.seed)
        handles = []
        for (path, _), slot in wanted.items():
            hook = partial(_record, rows, slot, batch.count, places)
            handles.append(model.get_submodule(path).register_forward_hook(hook))
        try:
            with fixed(model, options.threads):
                output_of(model, batch.inputs)
        finally:
            for handle in handles:
                handle.remove()
    return [Goal(wanted[key], torch.cat(parts)) for key, parts in rows.items()]


Rows = dict[tuple[str, bool], list[Tensor]]


def _record(rows: Rows, slot: Slot, examples: int, places: Places, module: Any, arguments: Any, output: Any) -> None:
    """Keep the targets of one batch, from a hook."""
    values = _target(module, slot, arguments[0][:examples], output, examples, places)
    rows.setdefault((slot.part.path, slot.recurrent), []).append(values)


def _target(module: Any, slot: Slot, value: Tensor, output: Any, examples: int, places: Places) -> Tensor:
    """Targets of one batch.

    Of recurrent weights the hidden states that they read.
    """
    if isinstance(module, nn.RNNBase):
        states = output[0][:examples]
        if slot.recurrent:
            return states.flatten(0, -2)
        weights = torch.cat([weight for name, weight in module.named_parameters() if name.startswith("weight_ih")])
        return value.flatten(0, -2) @ weights.T
    if slot.pooled:
        index = torch.from_numpy(slot.part.index).to(value.device)
        return value[:, index.flatten()].unflatten(1, tuple(index.shape)).transpose(1, 2)
    flat = output[:examples].movedim(1, -1) if isinstance(module, CONVOLUTIONS) else output[:examples]
    flat = flat.flatten(0, -2)
    picked = places(len(flat))
    return flat if picked is None else flat[picked]


def repair(
    network: nn.Module,
    original: nn.Module,
    loader: Iterable[Any],
    groups: Mapping[str, Group],
    kept: Kept,
    targets: Iterable[Goal],
    settings: LeastSquares,
) -> None:
    """Repair a smaller network in place."""
    rows = _kept_rows(groups, kept)
    ridge, options, most = settings.ridge, settings.options, settings.rows
    for goal in targets:
        slot = goal.slot
        small, large = network.get_submodule(slot.part.path), original.get_submodule(slot.part.path)
        stay = rows.get(slot.part.path)
        if isinstance(small, nn.RNNBase):
            if small.bias:
                values = None if slot.recurrent else _read(network, loader, slot, options, most)
                _repair_recurrent(small, large, goal, values, stay, ridge)
            continue
        values = _read(network, loader, slot, options, most)
        if slot.pooled:
            _fold(small, large, goal.values, values, stay, ridge)
        else:
            wanted = goal.values if stay is None else goal.values[:, stay]
            weight, bias = least_squares(values, wanted, small.weight.detach().flatten(1), ridge)  # type: ignore[operator]
            _write(small, weight, bias)


def _kept_rows(groups: Mapping[str, Group], kept: Kept) -> dict[str, Tensor]:
    """Output rows of modules that lose some, in order."""
    result = {}
    for name, group in groups.items():
        for part in group.makers:
            result[part.path] = torch.from_numpy(part.index[kept[name]].flatten()).sort().values
    return result


def _read(network: nn.Module, loader: Iterable[Any], slot: Slot, options: RunOptions, most: int) -> Tensor:
    """What one layer of the smaller network reads; passes end there."""
    module: Any = network.get_submodule(slot.part.path)
    total, parts = count(loader), []

    def before(layer: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        seen.append(arguments[0] if arguments else next(iter(keywords.values())))
        raise _ReachedError

    handle = module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        with fixed(network, options.threads):
            for batch in compute_batches(loader, options.batch, short=True):
                seen: list[Tensor] = []
                with suppress(_ReachedError):
                    output_of(network, batch.inputs)
                value, places = seen[0][: batch.count], drawn(batch, total, most, options.seed)
                if isinstance(module, CONVOLUTIONS):
                    parts.append(patches(module, value, places).flatten(1))
                elif slot.pooled or isinstance(module, nn.RNNBase):
                    parts.append(value if slot.pooled else value.flatten(0, -2))
                else:
                    flat = value.flatten(0, -2)
                    picked = places(len(flat))
                    parts.append(flat if picked is None else flat[picked])
    finally:
        handle.remove()
    return torch.cat(parts)


def least_squares(read: Tensor, wanted: Tensor, start: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Weights `[output, input]` and intercepts from what is read to what is wanted, in double precision.

    The ridge, a share of the mean variance, pulls towards the weights `start`. They stay where they miss by rounding
    alone, which least squares would take for a signal.
    """
    x, y, old = read.double(), wanted.double(), start.double()
    means = x.mean(0), y.mean(0)
    x, y = x - means[0], y - means[1]
    missed = y - x @ old.T
    if missed.square().mean() <= ROUNDING**2 * wanted.double().square().mean():
        return old, means[1] - old @ means[0]
    gram = x.T @ x / len(x)
    shift = ridge * gram.diagonal().mean()
    gram.diagonal().add_(shift if shift > 0 else 1.0)
    change = torch.linalg.solve(gram, x.T @ missed / len(x)).T
    weight = old + change
    return weight, means[1] - weight @ means[0]


def _fold(small: Any, large: Any, wanted: Tensor, read: Tensor, rows: Tensor | None, ridge: float) -> None:
    """Rebuild the channels that a dense layer read from those that are left, the same way at all positions."""
    _, positions, channels = wanted.shape
    left = read.unflatten(1, (-1, positions)).transpose(1, 2).double()
    wanted = wanted.double()
    means = left.mean(0), wanted.mean(0)
    flat, goal = (left - means[0]).flatten(0, 1), (wanted - means[1]).flatten(0, 1)
    gram = flat.T @ flat / len(flat)
    shift = ridge * gram.diagonal().mean()
    gram.diagonal().add_(shift if shift > 0 else 1.0)
    mix = torch.linalg.solve(gram, flat.T @ goal / len(flat))  # left channel, channel
    offset = means[1] - means[0] @ mix  # position, channel
    weight = large.weight.detach().double() if rows is None else large.weight.detach().double()[rows]
    weight = weight.unflatten(1, (channels, positions))
    bias = large.weight.new_zeros(len(large.weight)) if large.bias is None else large.bias.detach()
    bias = bias.double() if rows is None else bias.double()[rows]
    folded = torch.einsum("lc,ocp->olp", mix, weight).flatten(1)
    _write(small, folded, bias + torch.einsum("pc,ocp->o", offset, weight))


def _repair_recurrent(
    small: Any, large: Any, goal: Goal, read: Tensor | None, units: Tensor | None, ridge: float
) -> None:
    """Repair what an LSTM or GRU reads: its inputs, or its own hidden states."""
    gates = large.weight_hh_l0.shape[0] // large.hidden_size
    device = large.weight_hh_l0.device
    keep = torch.arange(large.hidden_size, device=device) if units is None else units.to(device)
    rows = (keep + large.hidden_size * torch.arange(gates, device=device)[:, None]).flatten()
    for number, end in enumerate(["", "_reverse"][: 2 if large.bidirectional else 1]):
        kind = "hh" if goal.slot.recurrent else "ih"
        weight, bias = getattr(small, f"weight_{kind}_l0{end}"), getattr(small, f"bias_{kind}_l0{end}")
        old = getattr(large, f"bias_{kind}_l0{end}").detach().double()[rows]
        if read is None:
            states = goal.values[:, number * large.hidden_size : (number + 1) * large.hidden_size].double()
            wanted = states @ getattr(large, f"weight_hh_l0{end}").detach().double()[rows].T
            values = states[:, keep]
        else:
            size = gates * large.hidden_size
            wanted, values = goal.values[:, number * size : (number + 1) * size][:, rows], read
        new, offset = least_squares(values, wanted, weight.detach(), ridge)
        weight.data.copy_(new)
        bias.data.copy_(old + offset)


def _write(module: Any, weight: Tensor, bias: Tensor) -> None:
    """Set weights and bias; a layer without bias gets one."""
    module.weight.data = weight.to(module.weight.dtype).view_as(module.weight).contiguous()
    if module.bias is None:
        module.bias = nn.Parameter(torch.empty(len(bias), dtype=module.weight.dtype), module.weight.requires_grad)
    module.bias.data = bias.to(module.weight.dtype)
