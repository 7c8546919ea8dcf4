"""Weights from which no units can be taken: refused by name before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ndg.errors import LayerError

DENSE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def check_weights(model: nn.Module) -> None:
    """Raise LayerError for weights that are quantised, no plain numbers, empty, or computed by a hook."""
    for path, module in model.named_modules():
        name = repr(path or type(model).__name__)
        if _quantised(module):
            raise LayerError(
                f"weights are removed from networks of floats; {name} is quantised; compress the network first, then "
                "quantise it"
            )
        for weight in _tensors(module):
            if is_lazy(weight):
                raise LayerError(
                    f"weights are removed from networks that have their sizes; {name} is lazy and has none yet; run "
                    "the network on one batch first"
                )
            if weight.layout != torch.strided or weight.is_complex():
                kind = weight.dtype if weight.is_complex() else f"{weight.layout} tensors"
                raise LayerError(
                    f"weights are removed from dense tensors of real numbers; those of {name} are {kind}; convert them "
                    "first, or leave the network as it is"
                )
        if isinstance(module, DENSE) and not module.weight.numel():
            raise LayerError(
                f"layers of a network that is compressed have weights; those of {name} are of shape "
                f"{tuple(module.weight.shape)}; build the network without this layer"
            )
        if any(isinstance(value, Tensor) and value.grad_fn is not None for value in vars(module).values()):
            raise LayerError(
                f"weights are removed from parameters; those of {name} are computed from others by a hook (weight "
                "norm, pruning masks); fold them first, such as with torch.nn.utils.prune.remove"
            )


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def _quantised(module: nn.Module) -> bool:
    """Whether a module holds quantised weights, whole numbers in the place of weights, or imitates them in training."""
    if hasattr(module, "_packed_params") or type(module).__module__.startswith("torch.ao.nn.quantized"):
        return True
    tensors = [tensor for tensor in _tensors(module) if not is_lazy(tensor)]
    weight = getattr(module, "weight", None) if isinstance(module, DENSE) else None
    whole = isinstance(weight, Tensor) and not (is_lazy(weight) or weight.is_floating_point() or weight.is_complex())
    return whole or hasattr(module, "weight_fake_quant") or any(tensor.is_quantized for tensor in tensors)
