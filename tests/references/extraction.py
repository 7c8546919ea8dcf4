"""Extraction by the definitions: one forward pass per batch, then Python loops over examples, units and positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

Value = list[float]
"""The numbers at one place of an output."""


def outputs(model: nn.Module, inputs: Any, layers: list[str], batch: int) -> dict[str, np.ndarray]:
    """What each layer gives for each example, and the logits, from batches that are filled with the last example."""
    columns = inputs if isinstance(inputs, dict) else {"": inputs}
    n = len(next(iter(columns.values())))
    found: dict[str, list[np.ndarray]] = {path: [] for path in [*layers, "logits"]}
    model.eval()
    for start in range(0, n, batch):
        rows = [min(start + row, n - 1) for row in range(batch)]
        given = {key: column[rows] for key, column in columns.items()}
        kept: dict[str, torch.Tensor] = {}
        handles = [
            model.get_submodule(path).register_forward_hook(
                lambda module, arguments, output, path=path, kept=kept: kept.update({path: output.clone()})
            )
            for path in layers
        ]
        with torch.no_grad():
            output = model(**given) if isinstance(inputs, dict) else model(given[""])
        for handle in handles:
            handle.remove()
        kept["logits"] = getattr(output, "logits", output)
        for path, values in kept.items():
            found[path].append(values.numpy()[: n - start])
    return {path: np.concatenate(parts) for path, parts in found.items()}


def rows(output: np.ndarray, reading: str, tokens: bool, kept: list[list[int]] | None) -> list[list[list[Value]]]:
    """For each example its rows, for each row its units, for each unit the values that are looked at together.

    `kept` holds the numbers of the tokens that are not padding, of each example.
    """
    found = []
    for example, values in enumerate(output):
        if values.ndim == 1:
            found.append([[[float(value)] for value in values]])
        elif not tokens:
            found.append([[[float(value) for value in channel.flatten()] for channel in values]])
        else:
            counted = range(len(values)) if kept is None else kept[example]
            places = {"first": [[counted[0]]], "mean": [list(counted)], "every": [[t] for t in counted]}[reading]
            units = range(values.shape[1])
            found.append([[[float(values[t, unit]) for t in place] for unit in units] for place in places])
    return found


SUMMARIES: dict[str, Callable[[Value], float]] = {
    "unit": lambda values: values[0],
    "max": max,
    "any": max,
    "mean": lambda values: sum(values) / len(values),
    "first": lambda values: values[0],
    "every": lambda values: values[0],
}


def booleans(
    found: dict[str, np.ndarray],
    readings: dict[str, tuple[str, bool]],
    thresholds: dict[str, list[float]],
    kept: list[list[int]] | None = None,
) -> np.ndarray:
    """One row per example (or token), one column per label and unit; `readings` are names and whether of tokens."""
    table = []
    read = {path: rows(found[path], name, tokens, kept) for path, (name, tokens) in readings.items()}
    for example, logits in enumerate(found["logits"]):
        predicted = max(range(len(logits)), key=lambda label: (logits[label], -label))
        for row in range(max(len(of[example]) for of in read.values())):
            line = [label == predicted for label in range(len(logits))]
            for path, (name, _) in readings.items():
                units = read[path][example][row if len(read[path][example]) > 1 else 0]
                line += [SUMMARIES[name](values) > thresholds[path][unit] for unit, values in enumerate(units)]
            table.append(line)
    return np.array(table)
