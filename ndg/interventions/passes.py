"""Passes with changed layers of a graph, whose neurons are read.

    passes = Passes.of(model, graph, ["encoder.fc1"], threads=1)
    baseline = passes.baseline(batch)                                # the untouched pass: logits, outputs, booleans
    logits, bits = passes.run(baseline, {"encoder.fc1": change})     # the part that the change can reach

Every pass has as many rows as the compute batch, so floats do not depend on what else is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite, fixed, forward, padded
from ndg.activations.labels import true_labels
from ndg.errors import ConfigError, DataError, LayerError, ShapeError
from ndg.graph.ndg import NDG
from ndg.interventions.cache import Cache, ExtractedPass, key_of
from ndg.interventions.engine import Change, Changes, Engine, Prefix, same_logits
from ndg.interventions.reach import check_before, check_network, check_reach, thresholds_of
from ndg.interventions.replay import Recorded
from ndg.nodes import LABEL, UNIT, NodeSpace
from ndg.probe import taking
from ndg.units.layout import Layout, Layouts, stack_steps
from ndg.units.neurons import Neurons, check_reading
from ndg.units.resolve import resolve_layer

Bits = Bool[np.ndarray, "example unit"]
Indices = Int64[np.ndarray, " example"]
Values = Bool[np.ndarray, "example node"]


@dataclass(frozen=True, eq=False)
class BaselinePass:
    """The untouched pass of one compute batch.

    Logits and `bits` (the booleans of every layer of the graph) are of the `count` examples, `outputs` of the changed
    layers are of all rows, of gates `[row, step, unit]`. `masks` marks unpadded tokens, `order` ranks layers.
    """

    batch: Batch
    neurons: dict[str, Neurons]
    logits: Tensor
    outputs: dict[str, Tensor]
    bits: dict[str, Bits]
    masks: dict[str, Tensor | None]
    recorded: Recorded
    order: dict[str, int]

    @cached_property
    def predicted(self) -> Indices:
        """The class that the network predicts."""
        return argmax(self.logits)

    @cached_property
    def numbers(self) -> Indices:
        """Which example of the loader each row is."""
        return np.array([self.batch.number(row) for row in range(self.batch.count)], np.int64)

    def nodes(self, space: NodeSpace) -> Values:
        """The value of every label and neuron."""
        return node_values(space, self.predicted, self.bits)

    def rows(self, rows: Indices) -> Int64[Tensor, " row"]:
        """Rows as a pass takes them: the last one fills the batch."""
        size = self.batch.rows
        if not 0 < len(rows) <= size:
            raise ShapeError(f"a pass takes 1 to {size} rows, the size of the compute batch; got {len(rows)}")
        return padded(torch.tensor(rows), size)


@dataclass(frozen=True, eq=False)
class Passes:
    """The network, the layers to be changed, and the graph's layers.

    Values of this type go to workers; a `cache` is empty in each new process.
    """

    model: nn.Module
    nodes: NodeSpace
    thresholds: dict[str, np.ndarray]
    changed: tuple[str, ...]
    threads: int = 1
    cache: Cache | None = None
    tried: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        graph: NDG,
        changed: Iterable[str],
        threads: int = 1,
        cache: Cache | None = None,
        *,
        any_network: bool = False,
    ) -> Passes:
        """The passes that change these layers of a graph.

        Raises GraphError or LayerError for unknown layers and for layers whose every token is an example, GraphError
        without thresholds or, unless `any_network`, for a graph of other weights, ConfigError without a thread.
        """
        if threads < 1:
            raise ConfigError(f"a forward pass runs on at least 1 thread; got threads={threads}")
        changed = tuple(dict.fromkeys(changed))
        if not changed:
            raise LayerError("an intervention changes at least one layer; got none; name a layer of the graph")
        layers = [layer.name for layer in graph.nodes.layers]
        thresholds = {layer: thresholds_of(graph, layer) for layer in layers}
        for layer in dict.fromkeys([*changed, *layers]):
            graph.nodes.slice(layer)
            check_reading(graph.nodes, layer)
        for layer in layers:
            resolve_layer(model, layer)
        if not any_network:
            check_network(model, graph)
        return cls(model, graph.nodes.without_concepts, thresholds, changed, threads, cache)

    def with_model(self, model: nn.Module) -> Passes:
        """The same passes of a copy of the network."""
        return replace(self, model=model, tried={})

    def baseline(self, batch: Batch) -> BaselinePass:
        """The untouched pass of a batch; run once with a cache.

        Raises ShapeError for other labels or units than the graph's, LayerError for NaN or a layer behind the logits.
        """
        key = (self.changed, batch.start, batch.count)
        if self.cache is not None and key in self.cache:
            return BaselinePass(batch=batch, **self.cache[key])
        extracted = None if self.cache is None else key_of(self.changed, tuple(self.thresholds), batch)
        if self.cache is not None and extracted in self.cache:
            baseline = self._from(batch, self.cache[extracted])
            self._check_reach(baseline)
            return baseline
        with taking(self.model, batch.inputs):
            baseline = self._observe(batch)
        self._check_reach(baseline)
        if self.cache is not None:
            values = {part.name: getattr(baseline, part.name) for part in fields(baseline) if part.name != "batch"}
            self.cache[key] = values
        return baseline

    def run(
        self, baseline: BaselinePass, changes: Changes, read: Sequence[str] = (), rows: Indices | None = None
    ) -> tuple[Tensor, dict[str, Bits]]:
        """Logits and booleans of the layers to `read`, under changes.

        A changed layer is read after its change. Without `rows`, logits are of every row of the batch, booleans of its
        examples. With `rows`, a change gets an output of as many rows as the batch; the first `len(rows)` count.
        """
        count = baseline.batch.count if rows is None else len(rows)
        picked = None if rows is None else baseline.rows(rows)
        replay = picked is None or self.selects(baseline)
        return self.run_rows(baseline, changes, read, count, picked, replay)

    def run_rows(
        self,
        baseline: BaselinePass,
        changes: Changes,
        read: Sequence[str] = (),
        count: int | None = None,
        rows: Tensor | None = None,
        replay: bool = True,
    ) -> tuple[Tensor, dict[str, Bits]]:
        """Logits and booleans of the first `count` of these rows of the batch; see `run`."""
        order = baseline.order
        first = min((order[layer] for layer in changes), default=len(order))
        behind = [layer for layer in read if order[layer] >= first]
        bits = {
            layer: baseline.bits[layer] if rows is None else baseline.bits[layer][rows[:count]]
            for layer in read
            if layer not in behind
        }

        def booleans(path: str, module: nn.Module, output: Any) -> None:
            mask = baseline.masks[path]
            output = stack_steps(path, output, mask) if isinstance(output, list) else output
            mask = mask.index_select(0, rows) if mask is not None and rows is not None else mask
            bits[path] = baseline.neurons[path].bits(output, mask)[:count]

        with ExitStack() as stack:
            engine = self._engine
            stack.enter_context(engine.visible())
            stack.enter_context(fixed(self.model, self.threads, modules=engine.parts[0]))
            prefix = Prefix(baseline.batch.inputs, baseline.recorded)
            inputs = stack.enter_context(engine.changed_pass(prefix, changes, rows, replay=replay))
            if behind:
                trace = stack.enter_context(engine.trace(behind, booleans))
            logits = forward(self.model, inputs)
            for path in behind:
                trace[path]
        return logits if rows is None else logits[:count], bits

    @property
    def _engine(self) -> Engine:
        """The engine of the changed layers, made once per network."""
        engine: Engine | None = self.tried.get("engine")
        if engine is None or engine.model is not self.model:
            engine = self.tried["engine"] = Engine(self.model, self.changed, self.thresholds)
        return engine

    def _observe(self, batch: Batch) -> BaselinePass:
        engine, layers = self._engine, self._engine.layers
        readings = {layer.name: layer.reading for layer in self.nodes.layers}
        layouts = Layouts(self.model)
        neurons: dict[str, Neurons] = {}
        outputs: dict[str, Tensor] = {}
        bits: dict[str, Bits] = {}
        masks: dict[str, Tensor | None] = {}

        def see(path: str, module: nn.Module, output: Any) -> None:
            layer = layers[path]
            part = output[0] if layer.steps else output
            layout = layouts.of(layer, part)
            mask = masks[path] = layouts.mask(layer, layout, part)
            output = stack_steps(path, output, mask) if layer.steps else output
            layout.reading(readings[path], output)
            neurons[path] = Neurons.of(layout, readings[path], self.thresholds[path])
            self._check_shapes({path: neurons[path].count(output)}, self.nodes.labels)
            check_finite(layout.view(output)[: batch.count], path, batch)
            bits[path] = neurons[path].bits(output, mask)[: batch.count]
            if path in self.changed:
                outputs[path] = output.clone()

        with engine.visible():
            if "before" not in self.tried:
                check_before(self.model, self.changed, batch, self.threads)
                self.tried["before"] = True
            with (
                engine.recording(batch.inputs) as prefix,
                fixed(self.model, self.threads),
                layouts,
                engine.trace(tuple(self.thresholds), see) as trace,
            ):
                layouts.begin(batch)
                logits = forward(self.model, batch.inputs)[: batch.count]
                for path in self.thresholds:
                    trace[path]
                order = {path: at for at, path in enumerate(sorted(self.thresholds, key=trace.order.__getitem__))}
        self._check_shapes({}, logits.shape[1])
        check_finite(logits, "logits", batch)
        return BaselinePass(batch, neurons, logits, outputs, bits, masks, prefix.recorded, order)

    def _from(self, batch: Batch, extracted: ExtractedPass) -> BaselinePass:
        """The baseline of a pass that an extraction ran."""
        outputs = extracted.outputs
        self._check_shapes({path: output.shape[1] for path, output in outputs.items()}, extracted.logits.shape[1])
        neurons = {path: Neurons(Layout(path, "units"), UNIT, self.thresholds[path]) for path in outputs}
        return BaselinePass(
            batch,
            neurons,
            extracted.logits[: batch.count],
            {path: outputs[path] for path in self.changed},
            {path: neurons[path].bits(output)[: batch.count] for path, output in outputs.items()},
            dict.fromkeys(neurons),
            extracted.recorded,
            {path: place for place, path in enumerate(outputs)},
        )

    def _check_shapes(self, units: Mapping[str, int], labels: int | None) -> None:
        """Raise ShapeError for a graph of other units or labels."""
        for path, many in units.items():
            if many != len(self.thresholds[path]):
                raise _other(f"{len(self.thresholds[path])} units of {path!r}", f"{many}")
        if labels != self.nodes.labels:
            raise _other(f"{self.nodes.labels} labels", "none" if labels is None else str(labels))

    def _check_reach(self, baseline: BaselinePass) -> None:
        """Raise LayerError for a layer that does not reach the logits."""
        if "reach" in self.tried:
            return
        for layer in self.changed:

            def logits(change: Change, layer: str = layer) -> Tensor:
                return self.run(baseline, {layer: change})[0]

            check_reach(layer, baseline.logits, baseline.outputs[layer], logits)
        self.tried["reach"] = True

    def selects(self, baseline: BaselinePass) -> bool:
        """Whether recorded rows can be selected; tried once, in reverse."""
        if "rows" not in self.tried:
            size = baseline.batch.rows
            rows = torch.arange(size - 1, -1, -1)
            before, after = (self.run_rows(baseline, {}, rows=rows, replay=replay)[0] for replay in (False, True))
            self.tried["rows"] = size > 1 and same_logits(after, before)
        return self.tried["rows"]


S = TypeVar("S", bound="PassesStudy")


@dataclass(frozen=True, eq=False)
class PassesStudy:
    """Base of studies of one network's passes."""

    passes: Passes

    @property
    def model(self) -> nn.Module:
        return self.passes.model

    def with_model(self: S, model: nn.Module) -> S:
        return replace(self, passes=self.passes.with_model(model))


def node_values(space: NodeSpace, predicted: Indices, bits: Mapping[str, Bits], values: Values | None = None) -> Values:
    """Values of nodes with these labels and layers.

    Others keep `values`, or are off.
    """
    values = np.zeros((len(predicted), len(space)), np.bool_) if values is None else values.copy()
    values[:, space.slice(LABEL)] = predicted[:, None] == np.arange(space.labels)
    for layer, of_layer in bits.items():
        values[:, space.slice(layer)] = of_layer
    return values


def argmax(logits: Tensor) -> Indices:
    """The class of the largest logit of each row."""
    return logits.argmax(dim=1).cpu().numpy()


def true_classes(batch: Batch, labels: int) -> Indices:
    """The true class of each example. Raises DataError without any."""
    if batch.labels is None:
        raise DataError("a trial needs the true labels; the loader gives inputs alone; give (inputs, labels)")
    return true_labels(batch.labels, batch.count, labels).numpy().astype(np.int64)


def _other(expected: str, came: str) -> ShapeError:
    return ShapeError(
        f"the graph is of another network: it has {expected}, the network {came}; use the graph that was mined from "
        "this network"
    )
