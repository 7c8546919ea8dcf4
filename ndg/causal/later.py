"""Modules that run after a layer, and a network whose rest is re-initialised."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import Inputs, compute_batches, forward
from ndg.comparison.sources import reinitialised
from ndg.errors import LayerError
from ndg.units.resolve import find_layers

WITH_UNITS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Modules that count as later layers when none are named; a pre-activation above 0 is a unit that ReLU leaves on."""


def later_layers(model: nn.Module, loader: Iterable[Any], layer: str) -> list[str]:
    """Linear and convolutional modules after a layer, without the last.

    They stand in the order in which they run; the one that gives the logits is left out.
    """
    ran, logits = _after(model, loader, layer)
    modules = dict(model.named_modules())
    later = [path for path, output in ran if isinstance(modules[path], WITH_UNITS) and not _equal(output, logits)]
    return list(dict.fromkeys(later))


def reinitialised_rest(model: nn.Module, loader: Iterable[Any], layer: str, seed: int) -> nn.Module:
    """Copy of a network with new parameters after a layer.

    Parameters that are used after the layer alone are drawn anew.

    Raises LayerError where nothing after the layer has parameters.
    """
    ran, _ = _after(model, loader, layer)
    fresh, redrawn = copy.deepcopy(model), dict(reinitialised(model, seed).model.named_modules())
    changed = False
    for path in dict.fromkeys(path for path, _ in ran):
        module = fresh.get_submodule(path)
        own = list(module.named_parameters(recurse=False)) + list(module.named_buffers(recurse=False))
        changed |= bool(own)
        with torch.no_grad():
            for name, value in own:
                value.copy_(getattr(redrawn[path], name))
    if not changed:
        raise LayerError(
            f"a rest that is drawn anew has parameters; nothing after {layer!r} has; choose an earlier layer"
        )
    return fresh


def _after(model: nn.Module, loader: Iterable[Any], layer: str) -> tuple[list[tuple[str, Any]], Tensor]:
    return ran_after(model, next(iter(compute_batches([next(iter(loader))], 2))).inputs, layer)


def ran_after(model: nn.Module, inputs: Inputs, layer: str) -> tuple[list[tuple[str, Any]], Tensor]:
    """Modules that ran after a layer, their outputs, and the logits.

    They are modules without children or with parameters of their own.
    """
    (layer,) = find_layers(model, [layer])
    modules = dict(model.named_modules())
    home = layer if layer in modules else layer.rpartition(".")[0]
    ran: list[tuple[str, Any]] = []
    hooks = [
        module.register_forward_hook(lambda _, __, output, path=path: ran.append((path, output)))
        for path, module in modules.items()
        if path and (path == home or not list(module.children()) or list(module.parameters(recurse=False)))
    ]
    try:
        with torch.no_grad():
            logits = forward(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    order = [path for path, _ in ran]
    after = ran[order.index(home) + 1 :] if home in order else []
    inside = f"{home}."
    return [(path, output) for path, output in after if path != home and not path.startswith(inside)], logits


def _equal(output: Any, logits: Tensor) -> bool:
    return isinstance(output, Tensor) and output.shape == logits.shape and torch.equal(output, logits)
