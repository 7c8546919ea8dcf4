"""Ways to choose which units go, and how many of each layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ndg import seeds
from ndg.compression.curves import curves
from ndg.compression.groups import Group
from ndg.compression.obs import Reader, Removals
from ndg.compression.sizes import equal_errors, ranking, uniform
from ndg.compression.torch_pruning import KINDS, scores
from ndg.errors import ConfigError, nearest


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence for a method: network, groups, covariances, seed, examples."""

    model: nn.Module
    groups: Mapping[str, Group]
    readers: Mapping[str, list[Reader]]
    examples: int
    seed: int
    calibration: Sequence[Any] = ()


Curves = dict[str, Removals]
Steps = Callable[[Curves], list[str]]


@dataclass(frozen=True)
class Method:
    """Order of the units of each layer, and the rule by which layers share what goes."""

    curves: Callable[[Evidence], Curves]
    steps: Steps

    def priced(self, curves: Curves, prices: Mapping[str, float]) -> list[str]:
        """Steps for a FLOP budget: by error over price where layers are ranked by error."""
        return ranking(curves, prices.__getitem__) if self.steps is ranking else self.steps(curves)


def optimal(evidence: Evidence) -> Curves:
    """Order of the optimal brain surgeon."""
    return curves(evidence.groups, evidence.readers, evidence.examples)


def interpolative(evidence: Evidence) -> Curves:
    """Interpolative decomposition (Chee et al. 2022): pivots of the activations alone, whatever reads them."""
    result = {}
    for name, readers in evidence.readers.items():
        pivots, left = pivoted(channel_covariance(readers[0]))
        errors = -np.diff(left)[::-1]
        result[name] = Removals(pivots[::-1].copy(), errors, float(left[0]))
    return result


def by_score(score: Callable[[Evidence, str], np.ndarray]) -> Callable[[Evidence], Curves]:
    """Units in the order of a score.

    The scores stand for errors.
    """

    def order(evidence: Evidence) -> Curves:
        result = {}
        for name in evidence.groups:
            values = score(evidence, name)
            ranked = np.argsort(values, kind="stable")
            result[name] = Removals(ranked, values[ranked].astype(np.float64), float(values.sum()))
        return result

    return order


def magnitude(evidence: Evidence, name: str) -> np.ndarray:
    """L2 norm of the weights that make each unit."""
    total: Any = 0.0
    for part in evidence.groups[name].makers:
        module: Any = evidence.model.get_submodule(part.path)
        weight: Any = module.weight_ih_l0 if isinstance(module, nn.RNNBase) else module.weight
        squares = weight.detach().double().flatten(1).square().sum(1).cpu().numpy()
        if isinstance(module, nn.RNNBase):
            squares = squares.reshape(-1, module.hidden_size).sum(0)
        total = total + squares[part.index].sum(axis=1)
    return np.sqrt(np.asarray(total))


def variance(evidence: Evidence, name: str) -> np.ndarray:
    """Variance of each unit's activation."""
    return channel_covariance(evidence.readers[name][0]).diagonal().copy()


def wanda(evidence: Evidence, name: str) -> np.ndarray:
    """Outgoing weights times the norm of the activation (after Sun et al. 2024)."""
    reader = evidence.readers[name][0]
    norms = np.sqrt(reader.cov.diagonal() + reader.mean_squares())
    return (norms[:, None] * np.abs(reader.outgoing)).reshape(reader.units, -1).sum(axis=1)


def random(evidence: Evidence, name: str) -> np.ndarray:
    """Scores that are drawn."""
    return seeds.generator(evidence.seed, "random units", name).random(evidence.groups[name].units)


def torch_pruning(kind: str) -> Callable[[Evidence], Curves]:
    """Units in the order of a score of Torch-Pruning."""

    def order(evidence: Evidence) -> Curves:
        values = scores(evidence.model, evidence.groups, evidence.calibration, kind)
        return by_score(lambda _, name: values[name])(evidence)

    return order


METHODS: dict[str, Method] = {
    "obs": Method(optimal, ranking),
    "interpolative": Method(interpolative, equal_errors),
    "magnitude": Method(by_score(magnitude), uniform),
    "variance": Method(by_score(variance), uniform),
    "wanda": Method(by_score(wanda), uniform),
    "random": Method(by_score(random), uniform),
}
"""Methods by name: the one of this toolkit, then its rivals."""


OPTIONAL: dict[str, Method] = {f"torch-pruning-{kind}": Method(torch_pruning(kind), uniform) for kind in KINDS}
"""Rivals that need Torch-Pruning."""


def known(method: str) -> Method:
    """The method of that name; ConfigError names the nearest."""
    every = METHODS | OPTIONAL
    if not isinstance(method, str) or method not in every:
        raise ConfigError(f"method must be a known way to choose units; got {method!r}; {nearest(method, every)}")
    return every[method]


def channel_covariance(reader: Reader) -> np.ndarray:
    """Covariance of units, the mean over the entries of a unit."""
    units, block = reader.units, reader.block
    cov = reader.cov.reshape(units, block, units, block)
    return np.asarray(np.einsum("ukvk->uv", cov) / block)


def pivoted(cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pivots of a QR decomposition of activations with this covariance, and the variance left after each.

    Greedy: each pivot has the largest variance that the pivots before it do not explain.
    """
    left, size = cov.astype(np.float64).copy(), len(cov)
    pivots, free = [], np.ones(size, dtype=bool)
    totals = [float(np.trace(left))]
    for _ in range(size):
        variances = np.where(free, left.diagonal(), -np.inf)
        pivot = int(np.argmax(variances))
        pivots.append(pivot)
        free[pivot] = False
        if left[pivot, pivot] > 0:
            column = left[:, pivot] / np.sqrt(left[pivot, pivot])
            left -= np.outer(column, column)
        totals.append(max(float(left.diagonal()[free].sum()), 0.0))
    return np.array(pivots, dtype=np.int64), np.minimum.accumulate(np.array(totals))
