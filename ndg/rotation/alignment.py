"""Distributed alignment search (Geiger 2023), and search of the best coordinates."""

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
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.rotation.basis import DAS, Rotation, random_rotation
from ndg.rotation.interchange import Interchanges, Located, Units, check_sizes, directions, leading, locate

LAST_RATE = 0.05
"""Final learning rate as a fraction of the first one."""


@dataclass(frozen=True)
class SearchSettings:
    """Settings of the search for directions.

    steps          steps of Adam
    learning_rate  at the start; it falls linearly
    batch          pairs of one step

    Raises ConfigError for values out of range.
    """

    steps: int = 2000
    learning_rate: float = 1e-2
    batch: int = 512

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0:
            raise ConfigError(
                f"a search needs steps, pairs and a rate above 0; got {self.steps}, {self.batch} and "
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
    """Learned rotation with `subspaces[i]` consecutive coordinates for variable i.

    Adam minimises the cross entropy between the network's output under their interchange and the label of the
    high-level model. The network is frozen. Do not pass the pairs that the rotation is judged on. Raises ConfigError
    for sizes that do not fit.
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
    places = [torch.from_numpy(place) for place in leading(subspaces)]
    with fixed(frozen, options.threads, grad=True):
        for _ in range(steps):
            part = located[torch.from_numpy(draws.integers(len(data), size=min(settings.batch, len(data))))]
            matrix = turned.weight
            loss = F.cross_entropy(part.logits([matrix[:, place] for place in places]), part.data.labels)
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
    """Best coordinates of a basis for each variable, by hill climbing.

    Two coordinates of different variables, or a used and an unused one, are swapped if more interchanges are right,
    until no swap helps or, over all `starts`, `most` assignments were tried. Pass validation pairs, not the reported
    ones.
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
    return [np.sort(order[place]) for place in leading(sizes)]


def _nearest(matrix: np.ndarray) -> np.ndarray:
    """The orthogonal matrix nearest to a nearly orthogonal one."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right
