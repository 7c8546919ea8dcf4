"""Re-initialised copies of networks, as controls."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ndg import seeds
from ndg.activations.batches import device_of


@dataclass(frozen=True, eq=False)
class Reinitialised:
    """A re-initialised copy, with names of its redrawn and permuted parameters."""

    model: nn.Module
    drawn: tuple[str, ...]
    permuted: tuple[str, ...]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the run log."""
        return {"seed": self.seed, "drawn": len(self.drawn), "permuted": list(self.permuted)}


def reinitialised(model: nn.Module, seed: int) -> Reinitialised:
    """A copy of a network with fresh parameters, drawn on the CPU.

    Modules with `reset_parameters` draw new ones and reset their running statistics; other parameters are permuted.
    """
    device, fresh = device_of(model), copy.deepcopy(model).cpu()
    before = {name: parameter.detach().clone() for name, parameter in fresh.named_parameters()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seeds.integer(seed, "reinitialised"))
        for module in reversed(list(fresh.modules())):  # parts before the wholes that set them
            name = "_reset_parameters" if isinstance(module, nn.MultiheadAttention) else "reset_parameters"
            if callable(reset := getattr(module, name, None)):
                reset()
    drawn, permuted = [], []
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            if torch.equal(parameter, before[name]) and bool((parameter != parameter.reshape(-1)[:1]).any()):
                order = seeds.generator(seed, "reinitialised", name).permutation(parameter.numel())
                parameter.copy_(parameter.reshape(-1)[torch.from_numpy(order)].reshape(parameter.shape))
                permuted.append(name)
            else:
                drawn.append(name)
    return Reinitialised(fresh.to(device), tuple(drawn), tuple(permuted), seed)
