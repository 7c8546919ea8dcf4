"""A compressed network on disk: a program that runs with torch alone, weights, and a description."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.export import Dim

from ndg import atomic
from ndg.activations.batches import Inputs
from ndg.errors import OutputError
from ndg.progress import log

PROGRAM, WEIGHTS, DESCRIPTION = "network.pt2", "weights.safetensors", "compression.json"


def save(network: nn.Module, inputs: Inputs, description: dict[str, Any], folder: Path) -> Path:
    """Write the three files of a network.

    Return the folder. Raises OutputError.

    In another process: `torch.export.load("network.pt2").module()(inputs)`, with named inputs as keywords.
    """
    make_folder(folder)
    try:
        program, batch = exported(network, inputs)
        torch.export.save(program, folder / PROGRAM)
        tensors = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)
        atomic.write(folder / DESCRIPTION, json.dumps({**description, "batch": batch}, indent=2) + "\n")
    except OSError as error:
        raise _unwritten(folder, error) from error
    return folder


def make_folder(folder: Path) -> None:
    """Make the folder of a network. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(folder, error) from error


def _unwritten(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder} cannot be written: {error.strerror}; choose a writable folder")


def exported(network: nn.Module, inputs: Inputs) -> tuple[Any, int | None]:
    """Program of a network in evaluation mode, for any number of examples.

    Else the number that it takes.
    """
    named = inputs if isinstance(inputs, dict) else None
    arguments: tuple[Any, ...] = () if named else (inputs,)
    training = network.training
    network.eval()
    shapes: Any = {name: {0: Dim.AUTO} for name in named} if named else ({0: Dim.AUTO},)
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.filterwarnings("ignore", category=UserWarning)  # of LSTMs, whose lists of weights are rebuilt
            try:
                return torch.export.export(network, arguments, named, dynamic_shapes=shapes, strict=False), None
            except Exception as error:
                log.warning("the exported network takes a fixed number of examples: %s", str(error).partition("\n")[0])
                rows = len(next(iter(named.values()))) if named else len(arguments[0])
                return torch.export.export(network, arguments, named, strict=False), rows
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
        network.train(training)
