"""Checkpoints: a safetensors file with weights and a description of their network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ndg import atomic, config, models
from ndg.data.inputs import Form
from ndg.errors import CheckpointError, ConfigError, ShapeError

_KEY = "ndg"


def save(path: str | Path, network: nn.Module, model: Any, form: Form, classes: int, about: dict[str, Any]) -> None:
    """Write the weights of a network with its config, form, classes and `about`, for `load`."""
    description = {"model": asdict(model), "form": form.to_dict(), "classes": classes, **about}
    if (architecture := getattr(network, "architecture", None)) is not None:
        description["architecture"] = architecture
    write(path, network.state_dict(), description)


def load(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Network of a file, in evaluation mode, and its description; CheckpointError for any other."""
    tensors, about = read(path)
    try:
        settings = config.MODELS[about["model"]["name"]](**about["model"])
        form, classes = Form.from_dict(about["form"]), int(about["classes"])
        architecture = about["architecture"] if getattr(settings, "pretrained", None) is not None else None
        network = models.build(settings, form, classes, 0, architecture)
    except (KeyError, TypeError, IndexError, ConfigError, ShapeError) as error:
        raise CheckpointError(
            f"{path} must describe its network (model, form, classes); {type(error).__name__}: {error}; "
            "give a checkpoint that this version of ndg wrote"
        ) from error
    fill(network, tensors, path)
    return network, about


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Load weights; CheckpointError for another name or shape, with nothing changed."""
    expected = network.state_dict()
    for name in [*expected, *tensors]:
        expected_shape, shape = _shape(expected.get(name)), _shape(tensors.get(name))
        if expected_shape != shape:
            raise CheckpointError(
                f"{path} holds the weights of another network: expected {name} of shape {expected_shape}, got {shape}; "
                "use the config (and the number of classes) that it was trained with"
            )
    network.load_state_dict(dict(tensors))


def write(path: str | Path, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> None:
    """Replace the file by these tensors and this description, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    atomic.write(path, to_bytes(plain, {_KEY: json.dumps(about, allow_nan=False)}), parents=False)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a file of `write`; CheckpointError for any other."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist; train first, or name the folder of a run with one")
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            about = json.loads((file.metadata() or {})[_KEY])
    except KeyError as error:
        raise CheckpointError(
            f"{path} must describe its network; it has no description, so another program wrote it; "
            "pass a checkpoint written by ndg"
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} must be a whole safetensors file; it is truncated or damaged ({error}); "
            "copy it again or train again"
        ) from error
    return tensors, about


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else str(tuple(tensor.shape))
