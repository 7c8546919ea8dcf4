"""From a network and examples to packed booleans of its predicted labels and of the units of its layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from ndg.activations.binarize import AUTO, BINARIZERS, Reservoir, as_tensor, binarize, choose
from ndg.activations.compute import (
    COMPUTE_BATCH,
    Batch,
    check_finite,
    compute_batches,
    fixed,
    forward,
    true_labels,
)
from ndg.activations.trace import Trace, find_layer, per_unit
from ndg.bits.matrix import BitMatrix, BitMatrixBuilder
from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace
from ndg.progress import bar

FIT_EXAMPLES = 16_384


@runtime_checkable
class Binarised(Protocol):
    """Anything that says which nodes there are and above which activation a neuron is on: bits or a graph."""

    @property
    def nodes(self) -> NodeSpace: ...
    @property
    def thresholds(self) -> Float64[np.ndarray, " neuron"]: ...
    @property
    def binarizer(self) -> str: ...


def extract(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    binarizer: str = AUTO,
    quantile: float = 0.5,
    like: Binarised | None = None,
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
    seed: int = 0,
) -> BitMatrix:
    """Which label is predicted and which neurons are on, for every example of `loader`, packed.

    `layers` are module paths whose output is `[example, unit]`; without them the network's own `latent_layer` is taken.
    `binarizer` is `auto` (above 0.5 after a sigmoid, above 0 elsewhere), `positive`, `half`, `median` or `quantile`;
    the last two need a second pass, and read at most 16,384 examples drawn by `seed`. `like` takes layers and
    thresholds from other bits or from a graph, as held-out examples must. The network is left as it was.

    Raises LayerError for an unknown layer, an output of another shape, or NaN (naming layer and unit); DataError
    without examples.
    """
    if not 0 < quantile < 1:
        raise ConfigError(f"a quantile lies inside (0, 1); got {quantile}")
    if like is not None:
        if layers is not None:
            raise ShapeError("layers come from `like`; give layers or like, not both")
        layers = [layer.name for layer in like.nodes.layers]
    paths = list(layers) if layers is not None else [latent_layer(model)]
    if not paths:
        raise LayerError("at least one layer is extracted; got none")
    chosen = {path: choose(binarizer, find_layer(model, path)) for path in paths}
    with fixed(model, threads):
        if like is not None:
            nodes, thresholds, name = like.nodes, like.thresholds, like.binarizer
        else:
            nodes, thresholds = _fit(model, loader, chosen, quantile, batch, seed)
            name = _spell(chosen, quantile)
        return _fill(model, loader, paths, nodes, thresholds, name, batch)


def latent_layer(model: nn.Module) -> str:
    """The layer that a network itself names as the one its graph is about."""
    path = getattr(model, "latent_layer", None)
    if not isinstance(path, str):
        raise LayerError(
            f"{type(model).__name__} names no `latent_layer`; pass layers=[...], paths from model.named_modules()"
        )
    return path


def _passes(model: nn.Module, loader: Iterable[Any], paths: list[str], batch: int, label: str) -> Iterator[
    tuple[Batch, Tensor, list[Tensor]]
]:  # fmt: skip
    """Each compute batch with the logits and the layers' activations of its real examples."""
    with Trace(model, paths) as trace:
        for one in bar(compute_batches(loader, batch), label):
            trace.clear()
            logits = forward(model, one.inputs)[: one.count]
            values = [per_unit(trace[path], path)[: one.count] for path in paths]
            for path, value in zip(paths, values, strict=True):
                check_finite(value, path, one.start)
            check_finite(logits, "logits", one.start)
            yield one, logits, values


def _fit(
    model: nn.Module, loader: Iterable[Any], chosen: dict[str, str], quantile: float, batch: int, seed: int
) -> tuple[NodeSpace, Float64[np.ndarray, " neuron"]]:
    """The nodes, from the shape of one batch, and every neuron's threshold, from a sample where it is fitted."""
    fitted = [path for path, name in chosen.items() if BINARIZERS[name].fit]
    if iter(loader) is loader:
        raise DataError(
            "the loader is read more than once, and an iterator can be read once; pass a list, a DataLoader, or any "
            "object whose iteration starts anew"
        )
    reservoirs = {path: Reservoir(FIT_EXAMPLES, seed) for path in fitted}
    nodes = None
    for one, logits, values in _passes(model, loader, list(chosen), batch, "fit thresholds"):
        if nodes is None:
            units = [LayerUnits(path, value.shape[1]) for path, value in zip(chosen, values, strict=True)]
            nodes = NodeSpace(logits.shape[1], tuple(units))
        if not fitted:
            break
        for path, value in zip(chosen, values, strict=True):
            if path in reservoirs:
                reservoirs[path].add(value.float().cpu().numpy(), one.start)
    if nodes is None:
        raise DataError("at least one example is needed; the loader gave none; check the split")
    thresholds = np.empty(nodes.neurons, np.float64)
    for layer in nodes.layers:
        rule, where = BINARIZERS[chosen[layer.name]], nodes.slice(layer.name)
        into = slice(where.start - nodes.labels, where.stop - nodes.labels)
        thresholds[into] = rule.threshold if rule.fit is None else rule.fit(reservoirs[layer.name].rows, quantile)
    return nodes, thresholds


def _fill(
    model: nn.Module,
    loader: Iterable[Any],
    paths: list[str],
    nodes: NodeSpace,
    thresholds: Float64[np.ndarray, " neuron"],
    name: str,
    batch: int,
) -> BitMatrix:
    builder = BitMatrixBuilder(nodes)
    above: Tensor | None = None
    correct, known = 0, True
    for one, logits, values in _passes(model, loader, paths, batch, "extract"):
        shape = logits.shape[1], *(value.shape[1] for value in values)
        if shape != (nodes.labels, *(layer.units for layer in nodes.layers)):
            raise ShapeError(
                f"the network has other labels or units than the nodes: expected {nodes}, got {shape[0]} labels and "
                f"{shape[1:]} units; use the graph of this network"
            )
        if above is None:
            above = as_tensor(thresholds, logits.device)
        predicted = logits.argmax(dim=1)
        labels = nn.functional.one_hot(predicted, nodes.labels).bool()
        neurons = binarize(torch.cat([value.to(logits.device) for value in values], dim=1), above)
        builder.append(torch.cat([labels, neurons], dim=1).cpu().numpy())
        if one.labels is None:
            known = False
        else:
            correct += int((predicted.cpu() == true_labels(one.labels, one.count, nodes.labels)).sum())
    if not builder.examples:
        raise DataError("at least one example is needed; the loader gave none; check the split")
    return builder.finish(thresholds, binarizer=name, correct=correct if known else None)


def _spell(chosen: dict[str, str], quantile: float) -> str:
    """How the thresholds were found, in one word where all layers agree."""
    spelt = {path: f"quantile {quantile:g}" if name == "quantile" else name for path, name in chosen.items()}
    names = set(spelt.values())
    return names.pop() if len(names) == 1 else ", ".join(f"{path}: {name}" for path, name in spelt.items())
