"""Removal of units in training, and the optimiser of the smaller network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ndg.config import Experiment
from ndg.config.schema import Apoptosis
from ndg.data.examples import Splits
from ndg.training.step import Learner

Lost = dict[str, Any]
"""Units that a layer lost: `epoch` after which, `layer`, `units` by their number in the first network."""


@dataclass(frozen=True, eq=False)
class Removal:
    """A smaller network, what it lost, and what it kept.

    `kept` has, for each parameter of the smaller network, the flat index of each of its numbers in the former one. Its
    weights are those of the former network; no other parameter is made.
    """

    network: nn.Module
    lost: Sequence[Lost]
    kept: Mapping[str, Int64[Tensor, "..."]]


Remover = Callable[[nn.Module, int, Sequence[Lost]], Removal | None]
"""Removal after an epoch, from the network and what it lost before; None if nothing can be removed any more."""
MakeRemover = Callable[[Experiment, Splits, nn.Module, torch.device], Remover]


def due(settings: Apoptosis, epoch: int) -> bool:
    """Whether units are removed after an epoch."""
    return settings.fitness is not None and epoch >= settings.start and (epoch - settings.start) % settings.every == 0


def carried(learner: Learner, removal: Removal) -> Learner:
    """Learner of the smaller network that goes on with the state of the optimiser."""
    device = next(removal.network.parameters()).device
    smaller = Learner.of(removal.network, learner.settings, device)
    former = dict(learner.network.named_parameters())
    for name, parameter in removal.network.named_parameters():
        slots = learner.optimizer.state.get(former[name], {})
        for slot, value in slots.items():
            whole = not isinstance(value, Tensor) or value.shape != former[name].shape
            smaller.optimizer.state[parameter][slot] = (
                value if whole else value.flatten()[removal.kept[name].flatten().to(device)].reshape(parameter.shape)
            )
    smaller.scaler.load_state_dict(learner.scaler.state_dict())
    return smaller
