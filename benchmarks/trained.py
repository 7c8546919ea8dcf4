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

LONGER: dict[str, list[str]] = {
    "mnist_cnn": [
        "train.epochs=4", "train.batch_size=64", "train.learning_rate=0.002", "train.schedule=cosine",
        "train.threads=1",
    ],
}  # fmt: skip
"""Trainings that take twice as long and reach .985 on the test split, for figures that are asked of such networks."""


def experiment(name: str, seed: int, longer: bool = False) -> Experiment:
    """The config of a training."""
    changes = LONGER.get(name, TRAININGS[name]) if longer else TRAININGS[name]
    return config.load(config.find(name), [*changes, f"seed={seed}"])


@cache
def splits(name: str) -> Splits:
    """The data of a training, the same for all seeds."""
    return data.load(Locations.choose().place(experiment(name, 0)).data)


def home(name: str, seed: int, folder: Path, longer: bool = False) -> Path:
    """Folder of a training."""
    return folder / (f"{name}-longer-{seed}" if longer and name in LONGER else f"{name}-{seed}")


def trained(name: str, seed: int, folder: Path, longer: bool = False) -> nn.Module:
    """The network of a seed from the folder; trained there if it is missing or unfinished."""
    place, settings = home(name, seed, folder, longer), Locations.choose().place(experiment(name, seed, longer))
    if not (place / "done").is_file():
        training.train(settings, splits(name), place, resume=True)
        (place / "done").touch()
    return training.load_model(place)[0].eval()
