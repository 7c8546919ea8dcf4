"""Files of a training: chosen networks and the resume state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ndg import config
from ndg.config import Experiment, Train
from ndg.data.examples import Splits
from ndg.errors import CheckpointError
from ndg.models import checkpoint
from ndg.paths import path_of
from ndg.training.journal import PARAMETERS, Row
from ndg.training.removal import Lost
from ndg.training.step import Learner

MODEL, STATE = "model.safetensors", "resume.safetensors"


def load_model(folder: str | Path, name: str = MODEL) -> tuple[nn.Module, Experiment]:
    """Network (on the CPU) and experiment of a run folder.

    `name` is a file in it.

    >>> from pathlib import Path
    >>> experiment = ndg.load_config({"data": {"name": "iris"}, "model": {"name": "mlp"}, "train": {"epochs": 2}})
    >>> result = ndg.train(experiment, ndg.data.load(experiment.data), Path("trained"))
    >>> network, experiment = ndg.load_model("trained")
    >>> type(network).__name__
    'DenseNet'
    """
    path = path_of(folder, "the folder of a run") / path_of(name, "the name of a checkpoint")
    network, metadata = checkpoint.load(path)
    if "experiment" not in metadata:
        raise CheckpointError(
            f"{path} must name its experiment; got {', '.join(metadata)}; give a folder that `train` wrote"
        )
    return network, config.load(metadata["experiment"])


def best(history: Sequence[Row]) -> int:
    """Number of the best epoch so far, 0 without any.

    Where units are removed, it is the best of the smallest network.
    """
    if not history:
        return 0
    smallest = [row for row in history if row.get(PARAMETERS) == history[-1].get(PARAMETERS)]
    return int(max(smallest, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))["epoch"])


def chosen(settings: Train, history: Sequence[Row]) -> int:
    """Number of the epoch in `model.safetensors`."""
    return len(history) if settings.keep_checkpoints == "last" else best(history)


def epoch_files(settings: Train, epochs: int) -> dict[int, str]:
    """Separate files of epochs, by epoch number."""
    _, _, every = settings.keep_checkpoints.partition(":")
    return {
        number: f"epoch-{number:04d}.safetensors"
        for number in range(1, epochs + 1)
        if every and not number % int(every)
    }


def save(
    path: Path, learner: Learner, identity: dict[str, Any], history: list[Row], removed: Sequence[Lost] = ()
) -> None:
    """Write weights, optimiser, history, `identity` and removed units of a training."""
    tensors = {f"model/{name}": tensor for name, tensor in learner.network.state_dict().items()}
    for index, slots in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items() if isinstance(value, Tensor)}
    metadata = {**identity, "history": history, "scaler": learner.scaler.state_dict()}
    metadata |= {checkpoint.REMOVED: list(removed)} if removed else {}
    checkpoint.write(path, tensors, metadata)


Saved = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and description of a resume state."""


@contextmanager
def reading(path: Path) -> Iterator[Saved | None]:
    """The resume state with its checksum in a thread; None without file.

    Raises CheckpointError at the end of the block for a damaged file: what was restored from it must not be used.
    """
    if not path.exists():
        yield None
        return
    with checkpoint.reading(path) as saved:
        yield saved


def adopt(path: Path, network: nn.Module, identity: dict[str, Any], saved: Saved | None = None) -> list[Lost]:
    """Shrink a network as its training did; return the removed units."""
    tensors, metadata = saved or checkpoint.read(path)
    _check(path, metadata, identity)
    prefix = "model/"
    weights = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return checkpoint.shape(network, weights, metadata, path)


def restore(path: Path, learner: Learner, identity: dict[str, Any], saved: Saved | None = None) -> list[Row]:
    """Restore weights and optimiser from a file; return the history of epochs."""
    tensors, metadata = saved or checkpoint.read(path)
    _check(path, metadata, identity)
    weights: dict[str, Tensor] = {}
    slots: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            kind, _, key = name.partition("/")
            if kind == "model":
                weights[key] = tensor
            else:
                index, _, slot = key.partition("/")
                slots.setdefault(int(index), {})[slot] = tensor
        history: list[Row] = [dict(row) for row in metadata["history"]]
        best(history)
        checkpoint.fill(learner.network, weights, path)
        learner.optimizer.load_state_dict({**learner.optimizer.state_dict(), "state": slots})
        if metadata.get("scaler"):
            learner.scaler.load_state_dict(metadata["scaler"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} must hold the state of a training; it is damaged ({error!r}); train again without --resume"
        ) from error
    return history


def _check(path: Path, metadata: dict[str, Any], identity: dict[str, Any]) -> None:
    """Raise CheckpointError for a file of another training."""
    saved = {key: metadata.get(key) for key in identity}
    if saved != identity:
        words = "config {training_digest} with seed {seed} on data {data}"
        raise CheckpointError(
            f"{path} belongs to another training: expected {words.format(**identity)}, got {words.format(**saved)}; "
            "resume with the same config, seed and data, or train in another folder"
        )


def identity_of(experiment: Experiment, splits: Splits) -> dict[str, Any]:
    """Digests that must match to resume: config, seed, inputs and labels."""
    return {"training_digest": experiment.training_digest, "seed": experiment.seed, "data": splits.digest}
