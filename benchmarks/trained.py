"""Networks of a benchmark, trained once and kept in a folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from torch import nn

from ndg import config, data, training
from ndg.config import Experiment
from ndg.data.examples import Splits
from ndg.locations import Locations

TRAININGS: dict[str, list[str]] = {
    "digits_mlp": [],
    "digits_cnn": [],
    "mnist_cnn": ["train.epochs=3", "train.batch_size=128", "train.schedule=cosine", "train.threads=1"],
    "sst2_small": ["train.threads=1"],
    "cifar10_resnet18": [
        "data.name=cifar10_jpeg", "model.width=16", "train.epochs=3", "train.precision=bfloat16", "train.threads=1"
    ],
}  # fmt: skip
"""Changes of a shipped config: trainings that fit on one core."""


def experiment(name: str, seed: int) -> Experiment:
    """The config of a training."""
    return config.load(config.find(name), [*TRAININGS[name], f"seed={seed}"])


@cache
def splits(name: str) -> Splits:
    """The data of a training, the same for all seeds."""
    return data.load(Locations.choose().place(experiment(name, 0)).data)


def trained(name: str, seed: int, folder: Path) -> nn.Module:
    """The network of a seed from the folder; trained there if it is missing or unfinished."""
    home, settings = folder / f"{name}-{seed}", Locations.choose().place(experiment(name, seed))
    if not (home / "done").is_file():
        training.train(settings, splits(name), home, resume=True)
        (home / "done").touch()
    return training.load_model(home)[0].eval()
