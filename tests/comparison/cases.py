"""Small bits, graphs and networks to compare."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ndg.bits.matrix import BitMatrix
from ndg.nodes import LayerUnits, NodeSpace


def network(seed: int = 0, hidden: int = 8, classes: int = 3) -> nn.Sequential:
    """Six inputs, two layers of ReLUs, logits."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(6, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )


LAYERS = ["1", "3"]


def loader(examples: int = 300, batch: int = 64, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs of two factors, so that units depend on each other, in [-1, 2]; labels of three classes."""
    draw = torch.Generator().manual_seed(seed)
    factors = torch.rand(examples, 2, generator=draw)
    x = 3 * (factors @ torch.rand(2, 6, generator=torch.Generator().manual_seed(9))).clamp(0, 1) - 1
    y = torch.randint(0, 3, (examples,), generator=draw)
    return [(x[start : start + batch], y[start : start + batch]) for start in range(0, examples, batch)]


def space(labels: int = 2, units: int = 4, concepts: tuple[str, ...] = ()) -> NodeSpace:
    return NodeSpace(labels, (LayerUnits("u", units), LayerUnits("v", units)), concepts)


def bits(examples: int = 200, labels: int = 2, units: int = 4, seed: int = 0, concepts: tuple[str, ...] = ()):
    """One-hot labels, and units that follow them and each other but for a few examples."""
    rng = np.random.default_rng(seed)
    nodes = space(labels, units, concepts)
    values = rng.random((examples, len(nodes))) < 0.5
    values[:, :labels] = rng.integers(labels, size=examples)[:, None] == np.arange(labels)
    values[:, labels] = values[:, 0] ^ (rng.random(examples) < 0.02)
    values[:, labels + 1] |= values[:, labels]
    values[:, labels + units] = ~values[:, labels + 1] ^ (rng.random(examples) < 0.02)
    values[:, labels + units + 1] |= values[:, labels + units]
    return BitMatrix.from_bool(values, nodes)


def values_of(matrix: BitMatrix) -> np.ndarray:
    return matrix.to_bool()
