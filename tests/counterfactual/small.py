"""A network of three classes that learns at once, its graph and its examples."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ndg
from ndg.graph.ndg import NDG

SIZES = {"train": 300, "validation": 90, "test": 120}


class Small(nn.Module):
    """encoder -> latent (sigmoid) -> decoder, and with `skip` the inputs reach the logits by another way as well."""

    latent_layer = "latent"

    def __init__(self, latents: int = 8, skip: bool = False) -> None:
        super().__init__()
        self.encoder, self.latent = nn.Linear(6, latents), nn.Sigmoid()
        self.decoder = nn.Sequential(nn.Linear(latents, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3))
        self.skip = nn.Linear(6, 3) if skip else None

    def forward(self, inputs: Tensor) -> Tensor:
        aside = 0 if self.skip is None else 0.1 * self.skip(inputs)
        return self.decoder(self.latent(self.encoder(inputs))) + aside


def loaders() -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Three Gaussian classes, which overlap a little."""
    draw = torch.Generator().manual_seed(0)
    means = 2 * torch.eye(3).repeat(1, 2)
    found = {}
    for split, size in SIZES.items():
        labels = torch.randint(0, 3, (size,), generator=draw)
        inputs = means[labels] + torch.randn(size, 6, generator=draw)
        found[split] = list(zip(inputs.split(64), labels.split(64), strict=True))
    return found


def network(seed: int = 0, latents: int = 8, skip: bool = False) -> Small:
    """A trained network."""
    model = Small(latents, skip)
    model.load_state_dict(_trained(seed, latents, skip))
    return model.eval()


def graph_of(model: nn.Module, alpha: float = 15) -> NDG:
    return ndg.mine(ndg.extract(model, loaders()["train"]), alpha=alpha)


@cache
def _trained(seed: int, latents: int, skip: bool) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Small(latents, skip)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
        for _ in range(20):
            for inputs, labels in loaders()["train"]:
                loss = F.cross_entropy(model(inputs), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model.state_dict()
