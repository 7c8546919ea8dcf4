"""Group tests: random units of a layer are ablated together, and regression tells who did it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn

from benchmarks.cheap import Measured, projected
from ndg.activations.batches import compute_batches, fixed
from ndg.interventions.baselines import Neutrals
from ndg.interventions.partial_forward import PartialForward

SIZE = 4
"""Units of a group."""

POOL = 200
"""Examples at most on which groups are ablated."""

DRAWN, REST = 10.0, 100.0
"""Tests that count for the layer's mean, and for what first-order effects say."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Tests of a layer: on each example the units are parted at random, `group` says into which, and `damage` is what
    ablating the group does."""

    group: np.ndarray
    damage: np.ndarray


def ablated(model: nn.Module, inputs: Tensor, layers: Sequence[str], batch: int) -> list[Groups]:
    """Exact damage of the groups of one random partition for each layer and each of the first examples."""
    draw, neutrals, found = np.random.default_rng(0), Neutrals("zero"), []
    with fixed(model, 1):
        for layer in layers:
            groups, damages = [], []
            for one in compute_batches([inputs[:POOL]], batch):
                with PartialForward(model, layer, one, neutrals) as cut:
                    units = cut.differs.shape[1]
                    order = np.stack([draw.permutation(units) for _ in range(one.count)])
                    group = order // SIZE
                    many = -(-units // SIZE)
                    pairs = torch.cartesian_prod(torch.arange(one.count), torch.arange(many))
                    after = torch.cat(
                        [
                            cut.run(some[:, 0], torch.from_numpy(group[some[:, 0]]) == some[:, 1:])
                            for some in pairs.split(cut.rows)
                        ]
                    )
                    apart = (cut.logits[pairs[:, 0]] - after).double().norm(dim=1)
                    groups.append(group)
                    damages.append(apart.view(one.count, many).numpy())
            found.append(Groups(np.concatenate(groups), np.concatenate(damages)))
    return found


def _tests(groups: Groups, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which units are in each test on these examples, and its squared damage."""
    group, damage = groups.group[chosen], groups.damage[chosen]
    members = group[:, None, :] == np.arange(damage.shape[1])[None, :, None]
    return members.reshape(-1, group.shape[1]).astype(float), (damage**2).reshape(-1)


def group_tests(found: Measured, groups: Sequence[Groups], share: float, draw: np.random.Generator) -> np.ndarray:
    """Squared damage of a group as the sum of its units', none of them negative."""
    units, examples = found.shape
    tests = sum(one.damage.shape[1] for one in groups)
    pool = len(groups[0].group)
    chosen = draw.permutation(pool)[: max(1, min(pool, int(share * units * examples / tests)))]
    return np.concatenate([_regressed(one, chosen) for one in groups])


def _regressed(groups: Groups, chosen: np.ndarray) -> np.ndarray:
    """Examples count alike; units are drawn to the mean of the layer, which ranks better than zero."""
    members, squares = _tests(groups, chosen)
    mean = (groups.damage[chosen] ** 2).mean(axis=1)
    squares = squares / np.repeat(np.maximum(mean, 1e-30), groups.damage.shape[1])
    units = members.shape[1]
    design = np.concatenate([members, DRAWN**0.5 * np.eye(units)])
    prior = squares.sum() / members.sum()
    return np.sqrt(nnls(design, np.concatenate([squares, np.full(units, DRAWN**0.5 * prior)]))[0])


def group_tests_on_rest(
    found: Measured, groups: Sequence[Groups], share: float, draw: np.random.Generator
) -> np.ndarray:
    """Carried effects by two thirds of the cost; group tests by the rest say by what factor each unit's are off."""
    units, examples = found.shape
    funds, logits = share * units * examples, found.carried.shape[2]
    directions = int(np.clip((funds / 1.5 / examples - 2) // 2, 1, logits))
    seen = draw.permutation(examples)[: max(1, int(min(examples, funds / 1.5 / (2 + 2 * directions))))]
    first = projected(found.carried[:, seen], directions, draw, found.classes[seen])[0].mean(axis=1)
    pool = len(groups[0].group)
    each = sum(one.damage.shape[1] for one in groups) + 2 + 2 * logits
    left = funds - len(seen) * (2 + 2 * directions)
    chosen = draw.permutation(pool)[: max(1, min(pool, int(left / each)))]
    values = []
    for rows, one in zip(found.layers, groups, strict=True):
        members, squares = _tests(one, chosen)
        effects = found.carried[rows][:, chosen].transpose(1, 0, 2)
        part = members.reshape(len(chosen), -1, effects.shape[1])
        together = (np.einsum("etu,eul->etl", part, effects) ** 2).sum(axis=2).reshape(-1)
        own = (part * (effects**2).sum(axis=2)[:, None]).reshape(members.shape)
        ratio = float(squares @ together) / max(float(together @ together), 1e-30)
        scale = np.sqrt((own**2).mean()) or 1.0
        rest, design = (squares - ratio * together) / scale, own / scale
        inner = design.T @ design + REST * np.eye(members.shape[1]) * (design**2).sum() / members.sum()
        factor = ratio + np.linalg.solve(inner, design.T @ rest)
        values.append(first[rows] * np.sqrt(np.maximum(factor, 0)))
    return np.concatenate(values)
