"""A network that knows nothing, of the same make as one that does."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import device_of


@dataclass(frozen=True, eq=False)
class Reinitialised:
    """`model` is the copy; `drawn` names the parameters that their module drew anew, `permuted` those whose own entries
    were put into a drawn order, because their module has no way to draw them."""

    model: nn.Module
    drawn: tuple[str, ...]
    permuted: tuple[str, ...]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the run log."""
        return {"seed": self.seed, "drawn": len(self.drawn), "permuted": list(self.permuted)}


def reinitialised(model: nn.Module, seed: int) -> Reinitialised:
    """A copy of a network with fresh parameters; the network and the caller's random generators stay as they are.

    A module with `reset_parameters` draws its own, as when it was made, and running statistics start anew. What a
    module of another kind holds, and what a reset leaves unchanged, is permuted: its values stay and say nothing where
    they stand. Draws are made on the CPU, so the copy is the same for a network on any device.
    """
    place, fresh = device_of(model), copy.deepcopy(model).cpu()
    before = {name: parameter.detach().clone() for name, parameter in fresh.named_parameters()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seeds.integer(seed, "reinitialised"))
        for module in reversed(list(fresh.modules())):  # parts before the wholes that set them
            reset = _reset(module)
            if reset is not None:
                reset()
    drawn, permuted = [], []
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            if not torch.equal(parameter, before[name]):
                drawn.append(name)
            elif _varies(parameter):
                order = seeds.generator(seed, "reinitialised", name).permutation(parameter.numel())
                parameter.copy_(parameter.reshape(-1)[torch.from_numpy(order)].reshape(parameter.shape))
                permuted.append(name)
            else:
                drawn.append(name)
    return Reinitialised(fresh.to(place), tuple(drawn), tuple(permuted), seed)


def _reset(module: nn.Module) -> Any:
    """What draws the own parameters of a module anew, if it can."""
    if isinstance(module, nn.MultiheadAttention):
        return module._reset_parameters
    found = getattr(module, "reset_parameters", None)
    return found if callable(found) else None


def _varies(parameter: Tensor) -> bool:
    return parameter.numel() > 1 and bool((parameter != parameter.reshape(-1)[0]).any())
