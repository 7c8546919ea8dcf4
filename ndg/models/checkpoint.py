"""Checkpoints: a safetensors file with weights and a description of their network.

Its metadata have one key, `ndg`, the description as JSON (safetensors writes several in any order). Its last entries:
`description_checksum`, of the entries before it, and `checksum`, of all other entries and all tensors. The first is
compared before a network is built. The second is computed in a thread while it is built, and compared before anything
is returned. Earlier versions wrote only the second, which is then compared first, or none.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ndg import atomic, checksums, config, models
from ndg.data.inputs import Form
from ndg.errors import CheckpointError
from ndg.models.binary import make_binary
from ndg.models.resize import resize

_KEY, _DESCRIPTION, _CHECKSUM = "ndg", "description_checksum", "checksum"
REMOVED = "removed"
"""Entry of a description: the units and blocks that were removed, in order."""
BINARY = "binary"
"""Entry of a description: module paths of layers whose units are off or on."""
_LAST = re.compile(r'(?:, )?"([^"]*)": "([0-9a-f]{32})"\}\Z')
"""Name and checksum at the end of a description."""


def save(path: str | Path, network: nn.Module, model: Any, form: Form, classes: int, about: dict[str, Any]) -> None:
    """Write the weights of a network and its description, for `load`."""
    description = {"model": asdict(model), "form": form.to_dict(), "classes": classes, **about}
    if (architecture := getattr(network, "architecture", None)) is not None:
        description["architecture"] = architecture
    write(path, network.state_dict(), description)


def load(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Network of a file, in evaluation mode, and its description.

    CheckpointError for any other.
    """
    with reading(path) as (tensors, about):
        try:
            settings = config.load({"model": about["model"]}).model
            form, classes = Form.from_dict(about["form"]), int(about["classes"])
            architecture = about["architecture"] if getattr(settings, "pretrained", None) is not None else None
            network = models.build(settings, form, classes, 0, architecture)
        except (
            LookupError,
            TypeError,
            ValueError,
            ArithmeticError,
            AttributeError,
            RuntimeError,
            MemoryError,
        ) as error:
            raise CheckpointError(
                f"{path} must describe its network (model, form, classes); {type(error).__name__}: {error}; "
                "give a checkpoint that this version of ndg wrote"
            ) from error
        shape(network, tensors, about, path)
        _with_binary_layers(network, tensors, about, path)
        fill(network, tensors, path)
    return network, about


def shape(network: nn.Module, tensors: Mapping[str, Tensor], about: Mapping[str, Any], path: str | Path) -> list[Any]:
    """Shrink a network to the shapes of its file; return the removed units."""
    removed = about.get(REMOVED)
    if not removed:
        return []
    try:
        units = sum(len(entry.get("units", ())) for entry in removed)
        dropped = [str(entry["block"]) for entry in removed if "block" in entry]
    except (TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} must list its removed units by layer; got {removed!r}; give a checkpoint that ndg wrote"
        ) from error
    resize(network, tensors, dropped)
    if title := getattr(network, "title", ""):
        lost = [f"{units} units"] * bool(units) + [f"{len(dropped)} blocks"] * bool(dropped)
        vars(network)["title"] = f"{title}, without {' and '.join(lost)}"
    return list(removed)


def _with_binary_layers(
    network: nn.Module, tensors: Mapping[str, Tensor], about: Mapping[str, Any], path: str | Path
) -> None:
    """Make the layers of a description binary.

    Their values are filled in with the weights.
    """
    try:
        for layer in about.get(BINARY, ()):
            make_binary(network, layer, *(tensors[f"{layer}.{name}"] for name in ("thresholds", "off", "on")))
    except (LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} must list its binary layers with their values; {error}; give a checkpoint that ndg wrote"
        ) from error


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
    atomic.write(path, encoded(tensors, json.dumps(about, allow_nan=False)), parents=False)


def encoded(tensors: Mapping[str, Tensor], about: str) -> bytes:
    """Content of a file with these tensors and a description as JSON text."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    about = _with_entry(about, _DESCRIPTION, _checksum({}, about))
    return to_bytes(plain, {_KEY: _with_entry(about, _CHECKSUM, _checksum(plain, about))})


def _with_entry(about: str, name: str, value: str) -> str:
    """A JSON object with one more entry at its end."""
    return f'{about[:-1]}{", " if len(about) > 2 else ""}"{name}": "{value}"}}'


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a file of `write`.

    CheckpointError for any other, or one of another checksum.
    """
    with reading(path) as content:
        pass
    return content


@contextmanager
def reading(path: str | Path) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """Tensors and description of a file, with its checksum in a thread.

    The description is sound within the block. The tensors are known to be sound after it: nothing that depends on them
    may leave it before. Raises CheckpointError for a damaged file, also in place of an error of the block.
    """
    tensors, text = _content(path)
    about = _object(text, path)
    if not (last := _LAST.search(text)) or last[1] != _CHECKSUM:
        if not {_CHECKSUM, _DESCRIPTION}.isdisjoint(about):
            raise _damaged(path)
        yield tensors, about
        return
    summed = text[: last.start()] + "}"
    described = _LAST.search(summed)
    early = described is not None and described[1] == _DESCRIPTION
    if described and early and described[2] != _checksum({}, summed[: described.start()] + "}"):
        raise _damaged(path)
    for name in [_CHECKSUM] + [_DESCRIPTION] * early:
        about.pop(name, None)
    with ThreadPoolExecutor(1, "ndg-checksum") as pool:
        pieces = pool.map(checksums.piece, _parts(tensors, summed))
        differs = cache(lambda: checksums.joined(pieces) != last[2])
        if not early and differs():
            raise _damaged(path)
        try:
            yield tensors, about
        finally:
            if differs():
                raise _damaged(path)


def _content(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """Tensors of a file and its description as text."""
    if not os.path.isfile(path):
        raise CheckpointError(f"checkpoint {path} does not exist; train first, or name the folder of a run with one")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from error
    return tensors, metadata.get(_KEY, "null")


def _object(text: str, path: str | Path) -> dict[str, Any]:
    """The entries of a description."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not isinstance(about, dict):
        raise CheckpointError(
            f"{path} must describe its network; it has no description, so another program wrote it; "
            "pass a checkpoint written by ndg"
        )
    return about


def _damaged(path: str | Path, error: Exception | None = None) -> CheckpointError:
    """The error of an unreadable file or of another checksum."""
    what = f"truncated or damaged ({error})" if error else "damaged, since its content does not match its checksum"
    return CheckpointError(f"{path} must be a whole safetensors file; it is {what}; copy it again or train again")


def _checksum(tensors: Mapping[str, Tensor], about: str) -> str:
    """Checksum of a description and contiguous tensors."""
    return checksums.checksum(_parts(tensors, about))


def _parts(tensors: Mapping[str, Tensor], about: str) -> list[Any]:
    """What a checksum covers: a description, then tensors in the order of their names."""
    parts: list[Any] = [about.encode("utf-8", "surrogatepass")]
    for name, tensor in sorted(tensors.items()):
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), tensor.reshape(-1).view(torch.uint8).numpy()]
    return parts


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else str(tuple(tensor.shape))
