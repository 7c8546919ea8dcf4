"""What a training keeps in its folder: networks of chosen epochs, and the state from which it can go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ndg import config
from ndg.config import Experiment, Train
from ndg.data.examples import Splits
from ndg.errors import CheckpointError
from ndg.models import checkpoint
from ndg.training.journal import Row
from ndg.training.step import Learner

MODEL, STATE = "model.safetensors", "resume.safetensors"


def load_model(folder: Path, name: str = MODEL) -> tuple[nn.Module, Experiment]:
    """A network of a run folder, on the CPU in evaluation mode, and its experiment.

    It is the one that the training kept, or that of an epoch by its file, such as `epoch-0010.safetensors`.
    """
    path = folder / name
    network, about = checkpoint.load(path)
    if "experiment" not in about:
        raise CheckpointError(
            f"{path} must name its experiment; got {', '.join(about)}; give a folder that `train` wrote"
        )
    return network, config.load(about["experiment"])


def best(history: Sequence[Row]) -> int:
    """Number of the best epoch so far, the first among equals; 0 before the first."""
    if not history:
        return 0
    return max(history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))["epoch"]


def chosen(settings: Train, history: Sequence[Row]) -> int:
    """Number of the epoch whose network is in `model.safetensors`: the best, or with `last` the last."""
    return len(history) if settings.keep_checkpoints == "last" else best(history)


def apart(settings: Train, epochs: int) -> dict[int, str]:
    """The epochs, of that many, that are kept in files of their own, and the names of these."""
    _, _, every = settings.keep_checkpoints.partition(":")
    return {
        number: f"epoch-{number:04d}.safetensors"
        for number in range(1, epochs + 1)
        if every and not number % int(every)
    }


def save(path: Path, learner: Learner, identity: dict[str, Any], history: list[Row]) -> None:
    """Write weights, optimiser and history as they are after the last epoch; `identity` says of which training."""
    tensors = {f"model/{name}": tensor for name, tensor in learner.network.state_dict().items()}
    for index, slots in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": each for slot, each in slots.items() if isinstance(each, Tensor)}
    about = {**identity, "history": history, "scaler": learner.scaler.state_dict()}
    checkpoint.write(path, tensors, about)


def restore(path: Path, learner: Learner, identity: dict[str, Any]) -> list[Row]:
    """Put weights and optimiser back as they were after the last epoch of the returned history."""
    tensors, about = checkpoint.read(path)
    got = {key: about.get(key) for key in identity}
    if got != identity:
        raise CheckpointError(
            f"{path} belongs to another training: expected {_words(identity)}, got {_words(got)}; "
            "resume with the config, seed and data it was started with, or train in another folder"
        )
    weights: dict[str, Tensor] = {}
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if kind == "model":
            weights[rest] = tensor
        else:
            index, _, slot = rest.partition("/")
            slots.setdefault(int(index), {})[slot] = tensor
    checkpoint.fill(learner.network, weights, path)
    learner.optimizer.load_state_dict({**learner.optimizer.state_dict(), "state": slots})
    if about.get("scaler"):
        learner.scaler.load_state_dict(about["scaler"])
    return about["history"]


def identity_of(experiment: Experiment, splits: Splits) -> dict[str, Any]:
    """What must be the same for a training to go on: the config, the seed, and all inputs and labels."""
    return {"training_digest": experiment.training_digest, "seed": experiment.seed, "data": splits.digest}


def _words(identity: dict[str, Any]) -> str:
    return f"config {identity['training_digest']} with seed {identity['seed']} on data {identity['data']}"
