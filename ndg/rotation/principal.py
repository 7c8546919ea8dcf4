"""The principal components of a layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64
from torch import nn

from ndg.activations.batches import COMPUTE_BATCH, check_finite, compute_batches, fixed, output_of
from ndg.activations.hooks import Trace, per_unit
from ndg.errors import DataError
from ndg.rotation.basis import PCA, Rotation


def outputs(
    model: nn.Module, loader: Iterable[Any], layer: str, *, batch: int = COMPUTE_BATCH, threads: int = 1
) -> Float64[np.ndarray, "example unit"]:
    """The output of a layer on all examples; LayerError where it is not one number per unit."""
    parts = []
    with fixed(model, threads), Trace(model, [layer]) as trace:
        for one in compute_batches(loader, batch):
            trace.clear()
            output_of(model, one.inputs)
            values = per_unit(trace[layer], layer)[: one.count]
            check_finite(values, layer, one)
            parts.append(values.double().cpu().numpy())
    if not parts:
        raise DataError("a rotation is fitted to at least 1 example; the loader gave none; check the split")
    return np.concatenate(parts)


def pca(
    model: nn.Module, loader: Iterable[Any], layer: str, *, batch: int = COMPUTE_BATCH, threads: int = 1
) -> Rotation:
    """The principal components of a layer on the examples of `loader`, the one of the largest variance first.

    Give the training examples. The sign of a component is the one that makes its largest entry positive, the first
    among equals.
    """
    values = outputs(model, loader, layer, batch=batch, threads=threads)
    mean = values.mean(axis=0)
    _, vectors = np.linalg.eigh((values - mean).T @ (values - mean))
    directions = vectors[:, ::-1]
    largest = np.abs(directions).argmax(axis=0)
    return Rotation(layer, directions * np.sign(directions[largest, np.arange(len(mean))]), mean, PCA)
