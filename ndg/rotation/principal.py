"""Principal components of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64
from torch import Tensor, nn

from ndg.activations.batches import COMPUTE_BATCH, Batch, check_finite, compute_batches, fixed, output_of
from ndg.activations.hooks import Trace, per_unit
from ndg.errors import DataError
from ndg.rotation.basis import PCA, Rotation


def outputs(
    model: nn.Module, loader: Iterable[Any], layer: str, *, batch: int = COMPUTE_BATCH, threads: int = 1
) -> Float64[np.ndarray, "example unit"]:
    """The outputs of a layer; LayerError unless they are `[example, unit]`."""
    parts = []
    for examples, values in layer_outputs(model, loader, layer, batch, threads):
        check_finite(values, layer, examples)
        parts.append(values.double().cpu().numpy())
    if not parts:
        raise DataError("fitting a rotation takes at least 1 example; the loader has none; check the split")
    return np.concatenate(parts)


def layer_outputs(
    model: nn.Module, loader: Iterable[Any], layer: str, batch: int, threads: int = 1
) -> Iterator[tuple[Batch, Tensor]]:
    """Each compute batch and the layer's outputs for its examples."""
    with fixed(model, threads), Trace(model, [layer]) as trace:
        for examples in compute_batches(loader, batch):
            trace.clear()
            output_of(model, examples.inputs)
            yield examples, per_unit(trace[layer], layer)[: examples.count]


def pca(
    model: nn.Module, loader: Iterable[Any], layer: str, *, batch: int = COMPUTE_BATCH, threads: int = 1
) -> Rotation:
    """Principal components of a layer, by decreasing variance."""
    values = outputs(model, loader, layer, batch=batch, threads=threads)
    mean = values.mean(axis=0)
    _, vectors = np.linalg.eigh((values - mean).T @ (values - mean))
    directions = vectors[:, ::-1]
    largest = np.abs(directions).argmax(axis=0)
    return Rotation(layer, directions * np.sign(directions[largest, np.arange(len(mean))]), mean, PCA)
