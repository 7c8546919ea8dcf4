"""Small networks on digits and MNIST, trained alike, for experiments about efficiency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ndg import data, seeds
from ndg.config import Data
from ndg.data.examples import Examples
from ndg.locations import Locations

LIMIT = 6000
"""Most images of each split."""
ROWS, RATE = 64, 2e-3


@dataclass(frozen=True)
class Spec:
    """A network of convolutions (3 x 3, each with a pool) and dense layers, and its training."""

    data: str
    widths: tuple[int, ...]
    channels: tuple[int, ...] = ()
    decay: float = 0.0
    epochs: int = 6

    @property
    def name(self) -> str:
        """Data, channels and widths, such as mnist-8-16+64."""
        maps = "".join(f"-{wide}" for wide in self.channels)
        return f"{self.data}{maps}+{'-'.join(map(str, self.widths))}" + (f"-decay{self.decay:g}" if self.decay else "")


SPECS = (
    *(Spec("digits", widths, epochs=40) for widths in [(32,), (64, 64), (128, 128), (256, 128, 64), (64, 64, 64, 64)]),
    Spec("digits", (512, 128), decay=0.3, epochs=40),
    *(Spec("mnist", widths) for widths in [(32, 32, 32), (64, 64, 64), (128, 128), (256, 256), (128, 128, 128)]),
    *(Spec("mnist", widths, decay=0.3) for widths in [(256, 64, 32), (512, 128), (128, 128, 128)]),
    *(Spec("mnist", (64,), channels) for channels in [(8, 16), (16, 32), (8, 8)]),
    Spec("mnist", (128,), (32, 32), epochs=4),
    Spec("mnist", (128, 64), (16, 32), decay=0.3),
    Spec("mnist", (32, 32), (8, 16)),
)


@dataclass(frozen=True, eq=False)
class Images:
    """Images as floats, with true classes."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, its examples, and its accuracy on the held-out ones."""

    spec: Spec
    seed: int
    network: nn.Sequential
    train: Images
    held_out: Images
    accuracy: float

    @property
    def name(self) -> str:
        return f"{self.spec.name} {self.seed}"


def examples_of(name: str, where: Locations, limit: int | None = LIMIT) -> tuple[Images, Images]:
    """Training and test examples of a data set."""
    splits = data.load(Data(name=name, dir=None if name == "digits" else str(where.data), limit=limit))
    return images(splits.train), images(splits.test)


def images(examples: Examples) -> Images:
    """Examples as tensors."""
    batches = list(examples.loader(1000))
    return Images(torch.cat([inputs for inputs, _ in batches]), torch.cat([labels for _, labels in batches]))


def build(spec: Spec, shape: Sequence[int], classes: int, seed: int) -> nn.Sequential:
    """An untrained network in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seeds.integer(seed, "init", spec.name))
        layers: list[nn.Module] = []
        channels, height, width = shape
        for wide in spec.channels:
            layers += [nn.Conv2d(channels, wide, 3), nn.ReLU(), nn.MaxPool2d(2)]
            channels, height, width = wide, (height - 2) // 2, (width - 2) // 2
        layers.append(nn.Flatten())
        units = channels * height * width
        for wide in spec.widths:
            layers += [nn.Linear(units, wide), nn.ReLU()]
            units = wide
        return nn.Sequential(*layers, nn.Linear(units, classes)).eval()


def trained(spec: Spec, seed: int, where: Locations, cache: Path | None = None) -> Trained:
    """A trained network, from `cache` if it is there."""
    train, held_out = examples_of(spec.data, where)
    network = build(spec, tuple(train.inputs.shape[1:]), 10, seed)
    file = None if cache is None else cache / f"{spec.name}-{seed}.pt"
    if file is not None and file.exists():
        network.load_state_dict(torch.load(file, weights_only=True))
    else:
        fit(network, train.inputs, train.labels, spec.epochs, seed, decay=spec.decay)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(network.state_dict(), file)
    return Trained(spec, seed, network, train, held_out, accuracy(network, held_out))


def fit(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    epochs: int,
    seed: int,
    *,
    rate: float = RATE,
    decay: float = 0.0,
    masks: dict[str, Tensor] | None = None,
) -> None:
    """Train by AdamW with a cosine schedule; weights outside of `masks` stay 0."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay)
    steps = epochs * -(-len(labels) // ROWS)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    named = dict(network.named_parameters())
    network.train()
    with torch.enable_grad():
        for epoch in range(epochs):
            order = torch.from_numpy(seeds.generator(seed, "order", epoch).permutation(len(labels)))
            for rows in order.split(ROWS):
                loss = functional.cross_entropy(network(inputs[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                for name, mask in (masks or {}).items():
                    named[name].data.mul_(mask)
    network.eval()


@torch.no_grad()
def predictions(network: nn.Module, examples: Images) -> Tensor:
    """Predicted class of each example."""
    return torch.cat([network(part).argmax(dim=1) for part in examples.inputs.split(500)])


def accuracy(network: nn.Module, examples: Images) -> float:
    """Share of the examples that are predicted correctly."""
    return float((predictions(network, examples) == examples.labels).double().mean())
