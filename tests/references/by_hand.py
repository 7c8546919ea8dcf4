"""A network of three classes and four latents, its graph and its examples, for trials that are worked out by hand.

Latents (all saturated): l0, l1, l2 are on for their class, l3 for classes 0 and 1.
Logits: 6 l0, 2 l1 + 4 (1 - l3), 5 l2.
Implications, with their contrapositives: l0 -> label 0, l1 -> label 1, label 0 -> l3, label 1 -> l3, label 2 -> ~l3.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ndg.graph.ndg import NDG
from ndg.nodes import LayerUnits, NodeSpace
from tests.references.graph_cases import implications

EXAMPLES = 60
SEED = 3
BITS = {0: (1, 0, 0, 1), 1: (0, 1, 0, 1), 2: (0, 0, 1, 0)}
EDGES = [
    ("latent:0", "label:0"),
    ("latent:1", "label:1"),
    ("label:0", "latent:3"),
    ("label:1", "latent:3"),
    ("label:2", "~latent:3"),
]


class ByHand(nn.Module):
    """Three inputs, one per class, to four latents, to three logits."""

    latent_layer = "latent"

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 3)
        with torch.no_grad():
            self.encoder.weight.copy_(40 * torch.tensor([BITS[label] for label in range(3)]).T)
            self.encoder.bias.fill_(-20)
            self.decoder.weight.copy_(torch.tensor([[6.0, 0, 0, 0], [0, 2, 0, -4], [0, 0, 5, 0]]))
            self.decoder.bias.copy_(torch.tensor([0.0, 4, 0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.latent(self.encoder(x)))


def by_hand() -> NDG:
    """The graph of the network."""
    nodes = NodeSpace(3, (LayerUnits("latent", 4),))
    bits = np.array([np.eye(3)[label].tolist() + list(BITS[label]) for label in (0, 1, 2) * 10], np.bool_)
    edges = [(nodes.literal(p).code, nodes.literal(q).code) for p, q in EDGES]
    return NDG(replace(implications(bits, nodes, edges), thresholds=np.full(4, 0.5), binarizer="half"))


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Classes in turn; every tenth example has a wrong label, so that the network is wrong there."""
    shown = torch.arange(EXAMPLES) % 3
    true = torch.where(torch.arange(EXAMPLES) % 10 == 9, (shown + 1) % 3, shown)
    return torch.eye(3)[shown], true


def loader(size: int = EXAMPLES) -> list[tuple[torch.Tensor, torch.Tensor]]:
    inputs, true = examples()
    return [(inputs[start : start + size], true[start : start + size]) for start in range(0, EXAMPLES, size)]
