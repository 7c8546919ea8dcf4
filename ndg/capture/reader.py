"""Compute batches as packed booleans, and samples for thresholds.

The output of a layer is reduced as soon as the layer has run, so that activations of many layers never lie in memory
together: to one value per unit of each example, or to packed booleans where every token is an example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Shaped, UInt64
from torch import Tensor, nn

from ndg.activations.batches import Batch, fixed, forward, nan, not_a_number, output_of
from ndg.activations.binarize import Reservoir, as_tensor, binarize
from ndg.activations.hooks import Trace
from ndg.activations.labels import true_labels
from ndg.bits.matrix import BitMatrix
from ndg.bits.packing import WORTH_THREADS, pack, pack_above, zeros
from ndg.errors import LayerError, ShapeError
from ndg.nodes import LayerUnits, NodeSpace
from ndg.units.layout import Layout, Layouts, stack_steps
from ndg.units.readings import EVERY, SELECTIONS, Function, Mask
from ndg.units.resolve import resolve_layer, visible

Levels = Float64[np.ndarray, " unit"]
Values = Float32[np.ndarray, "row unit"]
Words = UInt64[np.ndarray, "node word"]
Counts = Int64[np.ndarray, " real"]


@dataclass(frozen=True, eq=False)
class Capture:
    """What a worker needs to read a compute batch.

    `readings` are those of each kind of output, `known` those of layers which were read before. `levels` holds the
    thresholds of each layer, or one for all its units. `nodes` are those that are expected, where they are known.
    Without `labels` the network's own output is not looked at. Without `packs` all booleans are false: only sizes and
    the time of a forward pass count.
    """

    model: nn.Module
    layers: tuple[str, ...]
    readings: dict[str, str]
    known: dict[str, str]
    levels: dict[str, float | Levels]
    nodes: NodeSpace | None
    threads: int
    labels: bool = True
    packs: bool = True

    def level(self, path: str, units: int) -> Levels:
        """Thresholds of a layer's units, repeated where positions are units."""
        level = self.levels[path]
        if isinstance(level, float):
            return np.full(units, level)
        return np.repeat(level, units // len(level)) if units % len(level) == 0 and units else level


def with_thresholds(study: Capture, nodes: NodeSpace, thresholds: Float64[np.ndarray, " neuron"]) -> Capture:
    """The study with these nodes, their readings and thresholds."""
    levels: dict[str, float | Levels] = {}
    for layer in nodes.layers:
        where = nodes.slice(layer.name)
        levels[layer.name] = np.array(thresholds[where.start - nodes.labels : where.stop - nodes.labels])
    return replace(study, nodes=nodes, known={layer.name: layer.reading for layer in nodes.layers}, levels=levels)


@dataclass(frozen=True, eq=False)
class Piece:
    """Packed booleans of one compute batch of `examples` examples."""

    bits: BitMatrix
    examples: int


def capture(study: Capture, batch: Batch) -> Piece:
    """The booleans of the examples of one compute batch."""
    reader = Reader(study, batch)
    logits, seen = reader.run(study.layers, reader.read)
    broken = None if logits is None else nan(logits)
    if broken is not None:
        raise not_a_number("logits", broken[1], batch.number(broken[0]))
    units = tuple(LayerUnits(path, layer.units, layer.reading) for path, layer in seen.items())
    nodes = NodeSpace(0 if logits is None else logits.shape[1], units)
    if study.nodes not in (None, nodes):
        raise other_nodes(study.nodes, f"{nodes.labels} labels and {tuple(layer.units for layer in units)} units")
    repeats = _repeats(seen)
    rows = batch.count if repeats is None else int(repeats.sum())
    words = zeros(len(nodes), -(-rows // 64))
    predicted = None if logits is None else logits.argmax(dim=1).cpu()
    if predicted is not None:
        _set(words[: nodes.labels], _repeat(predicted.numpy(), repeats))
    for path, layer in seen.items():
        if layer.words is not None:
            words[nodes.slice(path)] = layer.words
        elif layer.values is not None and study.packs:
            _pack(layer.values, study.level(path, layer.units), words[nodes.slice(path)], study.threads, repeats)
    correct = None
    if batch.labels is not None and predicted is not None:
        right = predicted == true_labels(batch.labels, batch.count, nodes.labels)
        correct = int(right.sum())
    levels = np.concatenate([study.level(path, layer.units) for path, layer in seen.items()])
    return Piece(BitMatrix(nodes, words, rows, levels, correct=correct), batch.count)


def fit(
    study: Capture, batches: Iterable[Batch], layers: list[str], size: int, seed: int, budget: int
) -> tuple[dict[str, Values], list[str]]:
    """Sampled values of layers, and layers that exceed `budget` bytes."""
    samples: dict[str, Reservoir] = {}
    offered: Counter[str] = Counter()
    left: list[str] = []

    def offer(path: str, output: Tensor, layout: Layout, mask: Mask | None) -> None:
        nonlocal budget
        values = reader.sample(path, output, layout, mask)
        if path not in samples:
            needed = 4 * size * values.shape[1]
            if samples and needed > budget:
                left.append(path)
                return
            budget -= needed
            samples[path] = Reservoir(size, seed)
        samples[path].add(values.float().cpu().numpy(), offered[path])
        offered[path] += len(values)

    for batch in batches:
        reader = Reader(study, batch)
        wanted = [path for path in layers if path not in left]
        reader.run(wanted, offer)
    return {path: sample.rows for path, sample in samples.items()}, left


@dataclass(frozen=True, eq=False)
class _Seen:
    """Values of an output, or words and each example's rows."""

    reading: str
    units: int
    values: Tensor | None = None
    words: Words | None = None
    rows: Counts | None = None


class Reader:
    """Reads the outputs of one forward pass as they come."""

    def __init__(self, study: Capture, batch: Batch) -> None:
        self._study, self._batch = study, batch
        self._layers = {path: resolve_layer(study.model, path) for path in study.layers}
        self._layouts = Layouts(study.model)

    def run(
        self, layers: Iterable[str], reduce: Callable[[str, Tensor, Layout, Mask | None], Any]
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """Logits of the examples, if labels count, and reduced outputs."""
        model, batch = self._study.model, self._batch
        steps = [path for path in layers if self._layers[path].steps]

        def reduced(path: str, module: nn.Module, output: Any) -> Any:
            layer = self._layers[path]
            layout = self._layouts.of(layer, output[0] if layer.steps else output)
            mask = self._layouts.mask(layer, layout, output[0] if layer.steps else output)
            return reduce(path, stack_steps(path, output, mask) if layer.steps else output, layout, mask)

        with fixed(model, self._study.threads), visible(self._layers.values()), self._layouts:
            self._layouts.begin(batch)
            with Trace(model, layers, reduced, steps) as trace:
                if self._study.labels:
                    return forward(model, batch.inputs)[: batch.count], {path: trace[path] for path in layers}
                output_of(model, batch.inputs)
                return None, {path: trace[path] for path in layers}

    def read(self, path: str, output: Tensor, layout: Layout, mask: Mask | None) -> _Seen:
        """What is kept of an output, without padding rows."""
        name = self._name(layout)
        reading = layout.reading(name, output)
        values, rows = self._rows(path, reading.rows, layout.parts(output), mask)
        units = values.shape[1]
        if name != EVERY:
            return _Seen(name, units, values)
        level = self._study.level(path, units)
        if len(level) != units:
            raise other_nodes(self._study.nodes, f"{units} units of {path!r}")
        words = zeros(units, -(-len(values) // 64))
        if self._study.packs:
            _pack(values, level, words, self._study.threads)
        return _Seen(name, units, None, words, rows)

    def sample(self, path: str, output: Tensor, layout: Layout, mask: Mask | None) -> Tensor:
        """The values of an output that thresholds are fitted to."""
        reading = layout.reading(self._name(layout), output)
        return self._rows(path, reading.sample or reading.rows, layout.parts(output), mask)[0]

    def values(self, path: str, output: Tensor, layout: Layout, mask: Mask | None) -> tuple[Tensor, Counts]:
        """The values of an output, and each example's number of rows."""
        return self._rows(path, layout.reading(self._name(layout), output).rows, layout.parts(output), mask)

    def _rows(self, path: str, function: Function, output: Tensor, mask: Mask | None) -> tuple[Tensor, Counts]:
        """Values of the examples, and each example's number of rows."""
        count = self._batch.count
        if function not in SELECTIONS:
            values = function(output, mask)[:count]  # what is computed has the shape of a whole batch
            rows = np.ones(count, np.int64)
        else:
            mask = None if mask is None else mask[:count]
            values = function(output[:count], mask)
            same = np.full(count, len(values) // count, np.int64)
            rows = same if mask is None else mask.sum(dim=1).cpu().numpy()
        broken = nan(values)
        if broken is not None:
            example = int(np.searchsorted(np.cumsum(rows), broken[0], side="right"))
            raise not_a_number(path, broken[1], self._batch.number(example))
        return values, rows

    def _name(self, layout: Layout) -> str:
        return self._study.known.get(layout.layer, self._study.readings[layout.kind])


def _pack(values: Tensor, level: Levels, words: Words, threads: int, repeats: Counts | None = None) -> None:
    """Set the bits of values above their thresholds, rows repeated."""
    if repeats is not None or values.device.type != "cpu":
        booleans = binarize(values, as_tensor(level, values.device)).cpu().numpy()
        booleans = _repeat(booleans, repeats)
        pack(booleans, words, 0, threads if booleans.nbytes >= WORTH_THREADS else 1)
        return
    exact = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
    pack_above(exact.numpy(), level, words, 0, threads if exact.nbytes >= WORTH_THREADS else 1)


def _set(words: Words, predicted: Int64[np.ndarray, " row"]) -> None:
    """Set the bit of each row's predicted label."""
    row = np.arange(len(predicted))
    np.bitwise_or.at(words, (predicted, row // 64), np.uint64(1) << (row % 64).astype(np.uint64))


def _repeats(seen: dict[str, _Seen]) -> Counts | None:
    """Rows of each example; LayerError where layers disagree."""
    every = {path: layer.rows for path, layer in seen.items() if layer.rows is not None}
    if not every:
        return None
    (first, rows), *others = every.items()
    for path, other in others:
        if not np.array_equal(rows, other):
            where = int(np.flatnonzero(rows != other)[0])
            raise LayerError(
                f"where every token is an example, all token layers have the same tokens; an example has {rows[where]} "
                f"at {first!r} and {other[where]} at {path!r}; extract them apart, or read the first token or the mean"
            )
    return rows


def _repeat(values: Shaped[np.ndarray, "real ..."], repeats: Counts | None) -> Shaped[np.ndarray, "row ..."]:
    return values if repeats is None else np.repeat(values, repeats, axis=0)


def other_nodes(expected: NodeSpace | None, got: str) -> ShapeError:
    """The error of a network with unexpected nodes."""
    return ShapeError(
        f"the network has other labels or units than the nodes: expected {expected}, got {got}; "
        "use the graph of this network"
    )
