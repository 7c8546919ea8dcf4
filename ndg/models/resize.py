"""Networks with fewer units than their config: shapes of stored tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ndg.errors import CheckpointError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def resize(network: nn.Module, tensors: Mapping[str, Tensor], dropped: Iterable[str] = ()) -> None:
    """Give a network the shapes of its stored tensors, in place.

    Changed weights hold no values yet.

    `dropped` are residual blocks that were removed: an identity takes their place. Dense layers, convolutions, batch
    norms, LSTM and GRU can be smaller than the config says. Raises CheckpointError for others, and for larger ones;
    the network may be changed in part then.
    """
    for path in dropped:
        drop(network, path)
    for path, module in network.named_modules():
        own = {**module._parameters, **module._buffers}
        shapes = {
            name: (tensors[full].shape, value)
            for name, value in own.items()
            if value is not None and (full := f"{path}.{name}".lstrip(".")) in tensors
        }
        smaller = {name: (shape, value) for name, (shape, value) in shapes.items() if shape != value.shape}
        if not smaller:
            continue
        for name, (shape, value) in smaller.items():
            fits = len(shape) == value.ndim and all(new <= old for new, old in zip(shape, value.shape, strict=True))
            if not fits or not isinstance(module, (nn.Linear, *CONVOLUTIONS, *NORMS, nn.LSTM, nn.GRU)):
                raise CheckpointError(
                    f"a network with removed units has smaller dense layers, convolutions, batch norms, LSTMs or GRUs; "
                    f"got {path}.{name} ({type(module).__name__}) of shape {tuple(shape)} for {tuple(value.shape)}; "
                    "load it with the config that it was trained with"
                )
            empty = torch.empty(shape, dtype=value.dtype, device=value.device)
            new = nn.Parameter(empty, value.requires_grad) if isinstance(value, nn.Parameter) else empty
            setattr(module, name, new)
        _rename(module)


def drop(network: nn.Module, path: str) -> None:
    """Put an identity in the place of a block.

    Raises CheckpointError without such a block.
    """
    parent, _, name = path.rpartition(".")
    try:
        owner = network.get_submodule(parent)
        owner.get_submodule(name)
    except AttributeError as error:
        raise CheckpointError(
            f"a removed block is a module of the network; there is no {path!r}; use the config that it was trained with"
        ) from error
    setattr(owner, name, nn.Identity())


def _rename(module: Any) -> None:
    """Set the sizes that a module knows beside its weights."""
    if isinstance(module, nn.Linear):
        sizes = {"out_features": len(module.weight), "in_features": module.weight.shape[1]}
    elif isinstance(module, CONVOLUTIONS):
        groups = len(module.weight) if module.groups > 1 else 1  # of a depthwise convolution, one per channel
        sizes = {"out_channels": len(module.weight), "in_channels": module.weight.shape[1] * groups, "groups": groups}
    elif isinstance(module, NORMS):
        tensors = (*module.parameters(), *module.buffers())
        sizes = {"num_features": next((len(tensor) for tensor in tensors if tensor.ndim), module.num_features)}
    else:
        sizes = {"hidden_size": module.weight_hh_l0.shape[1], "input_size": module.weight_ih_l0.shape[1]}
    for name, size in sizes.items():
        setattr(module, name, size)
