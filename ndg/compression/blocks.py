"""Residual blocks, which can be left out since they only add."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ndg.activations.batches import COMPUTE_BATCH, compute_batches, fixed, forward
from ndg.importance.weights.incoming import CONVOLUTIONS

WEIGHTS = (nn.Linear, *CONVOLUTIONS)


def residual_blocks(model: nn.Module, loader: Iterable[Any], batch: int = COMPUTE_BATCH) -> list[str]:
    """Paths of the residual blocks, in the order of the modules, without sequences of them.

    A block takes one tensor, returns one of the same shape, and with all its weights at zero returns its input, or its
    input after a ReLU. So a block with a projection on its shortcut is none.
    """
    seen: dict[str, tuple[Any, Any]] = {}
    with ExitStack() as stack, fixed(model, torch.get_num_threads()):
        for path, module in model.named_modules():
            if path and any(isinstance(part, WEIGHTS) for part in module.modules()) and list(module.children()):
                hook = module.register_forward_hook(lambda _, args, out, path=path: seen.update({path: (args, out)}))
                stack.enter_context(hook)
        forward(model, next(iter(compute_batches(loader, batch, short=True))).inputs)
    blocks = [path for path in _in_order(model, seen) if _passes(model.get_submodule(path), *seen[path])]
    return [path for path in blocks if not any(other.startswith(f"{path}.") for other in blocks)]


def _in_order(model: nn.Module, seen: Iterable[str]) -> list[str]:
    """Paths in the order of the network's modules."""
    known = set(seen)
    return [path for path, _ in model.named_modules() if path in known]


def weighted_parts(model: nn.Module, block: str) -> list[str]:
    """Layers with weights inside of a block."""
    inner = model.get_submodule(block).named_modules()
    return [f"{block}.{name}" for name, part in inner if isinstance(part, WEIGHTS)]


def block_fitness(units: Mapping[str, np.ndarray]) -> float:
    """Fitness of a block: the mean over the units of all its layers."""
    return float(np.mean(np.concatenate(list(units.values()))))


def _passes(block: nn.Module, args: Any, output: Any) -> bool:
    """Whether a block without its weights returns its input."""
    if len(args) != 1 or not isinstance(args[0], Tensor) or not isinstance(output, Tensor):
        return False
    if args[0].shape != output.shape:
        return False
    empty = copy.deepcopy(block).eval()
    with torch.no_grad():
        for parameter in empty.parameters():
            parameter.zero_()
        for name, buffer in empty.named_buffers():
            if name.endswith("running_mean"):
                buffer.zero_()
        rest = empty(args[0])
    return torch.allclose(rest, args[0], atol=1e-6) or torch.allclose(rest, args[0].relu(), atol=1e-6)
