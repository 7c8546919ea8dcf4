"""Weights before and after any layer, found in the autograd graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from ndg.activations.batches import compute_batches, fixed
from ndg.errors import LayerError
from ndg.gradients.tape import Tape
from ndg.importance.weights.outgoing import outgoing

Weights = Mapping[str, Float64[Tensor, "unit weight"]]


def weights_of(model: nn.Module, led: Mapping[str, Sequence[str]]) -> Weights:
    """Copy of the weights before each layer, one row per unit."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {
        layer: torch.cat([parameters[name].detach().double().flatten(1) for name in names], dim=1).cpu()
        for layer, names in led.items()
        if names
    }


def leading(model: nn.Module, loader: Iterable[Any], layers: Sequence[str], batch: int) -> dict[str, list[str]]:
    """Nearest parameters before each layer, one row per unit."""
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    first = next(iter(compute_batches(loader, batch, short=True)))
    with torch.inference_mode(False), fixed(model, torch.get_num_threads(), grad=True), Tape(model, layers) as tape:
        tape.run(first)
        return {
            layer: [named[key] for key in _nearest(tape.raw[layer][0], tape[layer].shape[1]) if key in named]
            for layer in layers
        }


def read_by(
    model: nn.Module, loader: Iterable[Any], layers: Sequence[str], batch: int
) -> dict[str, Float64[np.ndarray, " unit"]]:
    """Norm of the weights that read each unit."""
    first = next(iter(compute_batches(loader, batch, short=True)))

    def squares(weight: Tensor) -> Tensor:
        return weight.detach().double().square()

    with torch.inference_mode(False), fixed(model, torch.get_num_threads(), grad=True):
        try:
            sums = outgoing(model, first, layers, squares, each=False) if layers else {}
        except LayerError:
            sums = {}
            for layer in layers:
                with suppress(LayerError):
                    sums |= outgoing(model, first, [layer], squares, each=False)
    return {layer: total.sqrt().cpu().numpy() for layer, total in sums.items()}


def _nearest(output: Tensor, units: int) -> list[int]:
    """Nearest tensors with one row per unit before an output."""
    level, seen = [output.grad_fn], set()
    while any(level):
        leaves = [node.variable for node in level if node is not None and hasattr(node, "variable")]
        leading = [id(tensor) for tensor in leaves if tensor.ndim > 1 and len(tensor) == units]
        if leading:
            return leading
        seen |= {node for node in level if node is not None}
        after = [other for node in level if node is not None for other, _ in node.next_functions]
        level = list(dict.fromkeys(node for node in after if node is not None and node not in seen))
    return []
