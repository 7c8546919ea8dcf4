"""Distributed alignment search: a basis in which variables of a high-level model can be interchanged (Geiger 2023).

And the search without rotation that it is compared with, for the best coordinates of a basis that is given.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

from ndg import seeds
from ndg.activations.batches import fixed
from ndg.errors import ConfigError
from ndg.options import RunOptions, old_keywords
from ndg.rotation.basis import DAS, Rotation, random_rotation
from ndg.rotation.interchange import Interchanges, Located, Units, check_sizes, directions, leading, locate

LAST_RATE = 0.05
"""The learning rate at the end, as a part of the first one."""


@dataclass(frozen=True)
class SearchSettings:
    """How directions are searched.

    steps          steps of Adam
    learning_rate  at the start; it falls linearly
    batch          pairs of one step

    Raises ConfigError for values that mean nothing.
    """

    steps: int = 2000
    learning_rate: float = 1e-2
    batch: int = 512

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0:
            raise ConfigError(
                f"a search takes steps, pairs and a rate above 0; got {self.steps}, {self.batch} and "
                f"{self.learning_rate}"
            )


@old_keywords(settings=SearchSettings, options=RunOptions)
def das(
    model: nn.Module,
    layer: str,
    data: Interchanges,
    subspaces: Sequence[int],
    *,
    settings: SearchSettings = SearchSettings(),
    options: RunOptions = RunOptions(),
) -> Rotation:
    """The rotation whose first `subspaces[0]` coordinates stand for the first variable, the next for the second, ...

    It minimises the cross entropy between the network under the interchange of these coordinates and the label of the
    high-level model, by Adam with a rate that falls linearly, from directions drawn by the seed. The network is frozen.
    The data must not hold what the rotation is judged on. Raises ConfigError for sizes that do not fit.
    """
    steps, seed = settings.steps, options.seed
    frozen = copy.deepcopy(model).requires_grad_(False)
    located = locate(frozen, layer, data)
    check_sizes(subspaces, located)
    units = located.base.shape[1]
    draws = seeds.generator(seed, "alignment search")
    with torch.random.fork_rng(devices=[]):
        turned = orthogonal(nn.Linear(units, units, bias=False))
    turned = turned.to(located.base.device, located.base.dtype)
    turned.weight = torch.tensor(random_rotation(layer, units, seed).matrix).to(located.base)
    optimizer = torch.optim.Adam(turned.parameters(), lr=settings.learning_rate)
    rates = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, LAST_RATE, steps)
    places = [torch.from_numpy(own) for own in leading(subspaces)]
    with fixed(frozen, options.threads, grad=True):
        for _ in range(steps):
            part = located[torch.from_numpy(draws.integers(len(data), size=min(settings.batch, len(data))))]
            matrix = turned.weight
            loss = F.cross_entropy(part.logits([matrix[:, own] for own in places]), part.data.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    return Rotation.about_zero(layer, _nearest(turned.weight.detach().double().cpu().numpy()), DAS)


def best_places(
    located: Located,
    rotation: Rotation,
    sizes: Sequence[int],
    *,
    seed: int = 0,
    starts: int = 4,
    most: int = 2000,
    batch: int = 4096,
    threads: int = 1,
) -> list[Units]:
    """The coordinates of a basis for each variable, of these sizes, at which most interchanges come out right.

    Hill climbing from `starts` drawn assignments: two coordinates of different variables, or a used and an unused one,
    change places where more pairs come out right, until no such change is left or, over all starts, `most`
    assignments were tried. Give validation pairs, not those that are reported.
    """
    check_sizes(sizes, located)
    units, used = rotation.units, sum(sizes)
    owner = np.repeat(np.arange(len(sizes) + 1), [*sizes, units - used])
    changes = [(i, j) for i in range(used) for j in range(i + 1, units) if owner[i] != owner[j]]
    draws = seeds.generator(seed, "places")
    best, best_count = np.arange(units), -1
    with fixed(located.model, threads):

        def count(order: np.ndarray) -> int:
            along = directions(located, rotation, _split(order, sizes))
            return int(located.right(along, batch).sum())

        for _ in range(starts):
            order = draws.permutation(units)
            here, left = count(order), most // starts - 1
            improved = True
            while improved and left > 0:
                improved = False
                for change in draws.permutation(len(changes))[:left]:
                    left -= 1
                    other, (i, j) = order.copy(), changes[change]
                    other[[i, j]] = other[[j, i]]
                    if (there := count(other)) > here:
                        order, here, improved = other, there, True
            if here > best_count:
                best, best_count = order, here
    return _split(best, sizes)


def _split(order: np.ndarray, sizes: Sequence[int]) -> list[Units]:
    return [np.sort(order[own]) for own in leading(sizes)]


def _nearest(matrix: np.ndarray) -> np.ndarray:
    """The orthogonal matrix nearest to a float32 one that is nearly so."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right
