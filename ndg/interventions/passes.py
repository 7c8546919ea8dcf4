"""Passes of a network in which layers are changed: what is before the first of them runs once for each batch.

    passes = Passes.of(model, graph, ["encoder.fc1"], threads=1)
    known = passes.known(batch)                                   # the untouched pass: logits, outputs, booleans
    logits, bits = passes.run(known, {"encoder.fc1": change})     # the part that the change can reach

Every pass has as many rows as the compute batch, so floats do not depend on what else is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from ndg.activations.batches import Batch, check_finite, fixed, forward, true_labels
from ndg.activations.digest import weights_digest
from ndg.activations.hooks import Overwrite, Trace, find_modules
from ndg.capture.reader import Capture, Reader, with_thresholds
from ndg.errors import ConfigError, DataError, GraphError, LayerError, ShapeError
from ndg.graph.ndg import NDG
from ndg.interventions.cache import Cache
from ndg.interventions.prefix_cache import Seen, key_of
from ndg.interventions.reach import check_reach, taking
from ndg.interventions.replay import Recorded, Replay
from ndg.nodes import LABEL, UNIT, NodeSpace
from ndg.units.readings import asked
from ndg.units.site import Site, check_reading, thresholds_of

Change = Callable[[Tensor], Tensor]
Bits = Bool[np.ndarray, "example unit"]
Indices = Int64[np.ndarray, " example"]

CLOSE = 1e-4
"""Difference of logits, relative to the largest, up to which a pass on selected rows counts as the same."""


@dataclass(frozen=True, eq=False)
class BaselinePass:
    """What the untouched network does with one compute batch: logits and booleans of its `count` examples, outputs of
    all its rows.

    `outputs` are those of the intervened layers, `bits` the booleans of every layer of the graph, `masks` which tokens
    are no padding, `order` the order in which the layers end.
    """

    batch: Batch
    sites: dict[str, Site]
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

    def nodes(self, space: NodeSpace) -> Bool[np.ndarray, "example node"]:
        """The value of every label and neuron."""
        values = np.zeros((self.batch.count, len(space)), np.bool_)
        values[:, space.slice(LABEL)] = self.predicted[:, None] == np.arange(space.labels)
        for layer, bits in self.bits.items():
            values[:, space.slice(layer)] = bits
        return values


@dataclass(frozen=True, eq=False)
class Structure:
    """The modules of a network, those of the changed layers, and what can be replayed."""

    modules: tuple[nn.Module, ...]
    layers: dict[str, nn.Module]
    replay: Replay


@dataclass(frozen=True, eq=False)
class Passes:
    """How passes are run: the network, the layers that are changed, and the graph's layers, which are read.

    Values of this type go to workers; a `cache` is empty in each new process.
    """

    model: nn.Module
    nodes: NodeSpace
    thresholds: dict[str, np.ndarray]
    changed: tuple[str, ...]
    threads: int = 1
    cache: Cache | None = None
    _tried: dict[str, Any] = field(default_factory=dict)

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

        Raises GraphError or LayerError for unknown layers, GraphError without thresholds or, unless `any_network`, for
        a graph that is known to be of other weights, LayerError for a layer in which every token is an example,
        ConfigError without a thread.
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
        find_modules(model, layers)
        if not any_network:
            check_network(model, graph)
        return cls(model, graph.nodes.without_concepts, thresholds, changed, threads, cache)

    def with_model(self, model: nn.Module) -> Passes:
        """The same passes of a copy of the network."""
        return replace(self, model=model, _tried={})

    def known(self, batch: Batch) -> BaselinePass:
        """What the untouched network does with a batch; run once where there is a cache.

        Raises ShapeError when the network has other labels or units than the graph, LayerError for NaN and for a layer
        that the network reaches after its logits, or not at all.
        """
        key = (self.changed, batch.start, batch.count)
        if self.cache is not None and key in self.cache:
            kept = self.cache[key]
            return BaselinePass(batch=batch, **kept)
        front = None if self.cache is None else key_of(self.changed, tuple(self.thresholds), batch)
        if self.cache is not None and front in self.cache:
            found = self._from(batch, self.cache[front])
            self._check_reach(found)
            return found
        with taking(self.model, batch.inputs):
            found = self._observe(batch)
        self._check_reach(found)
        if self.cache is not None:
            kept = {one.name: getattr(found, one.name) for one in fields(found) if one.name != "batch"}
            self.cache[key] = kept
        return found

    def run(
        self,
        known: BaselinePass,
        changes: Mapping[str, Change],
        read: Sequence[str] = (),
        rows: Indices | None = None,
    ) -> tuple[Tensor, dict[str, Bits]]:
        """Logits, and the booleans of the layers that are `read`, under changes of the outputs of layers.

        A layer that is changed is read after its change.

        Without `rows`, of every row of the batch, padding included, the booleans of its examples. With `rows`, of
        these rows of it, at most as many as it has; a change then gets an output of as many rows as the batch, of
        which the first `len(rows)` count.
        """
        count = known.batch.count if rows is None else len(rows)
        which = None if rows is None else self._padded(rows, known.batch.rows)
        if which is not None and not self._selecting(known):
            return self._pass(known, changes, read, count, which, Recorded())
        return self._pass(known, changes, read, count, which, known.recorded)

    def _pass(
        self,
        known: BaselinePass,
        changes: Mapping[str, Change],
        read: Sequence[str],
        count: int,
        rows: Tensor | None,
        recorded: Recorded,
    ) -> tuple[Tensor, dict[str, Bits]]:
        inputs, size = known.batch.inputs, known.batch.rows
        if rows is not None:
            inputs = (
                {key: column.index_select(0, rows) for key, column in inputs.items()}
                if isinstance(inputs, dict)
                else inputs.index_select(0, rows)
            )
        first = min((known.order[layer] for layer in changes), default=len(known.order))
        behind = [layer for layer in read if known.order[layer] >= first]
        bits = {
            layer: known.bits[layer] if rows is None else known.bits[layer][rows[:count]]
            for layer in read
            if layer not in behind
        }

        def booleans(path: str, module: nn.Module, output: Tensor) -> None:
            mask = known.masks[path]
            mask = mask.index_select(0, rows) if mask is not None and rows is not None else mask
            bits[path] = known.sites[path].bits(output, mask)[:count]

        structure = self._structure
        with fixed(self.model, self.threads, modules=structure.modules), ExitStack() as stack:
            for layer, change in changes.items():
                stack.enter_context(Overwrite(self.model, layer, change, structure.layers.get(layer)))
            if behind:
                stack.enter_context(Trace(self.model, behind, booleans))
            stack.enter_context(structure.replay.of(recorded).replaying(rows, size))
            logits = forward(self.model, inputs)
        return logits if rows is None else logits[:count], bits

    @property
    def _structure(self) -> Structure:
        """What a pass needs to know of the network, found once."""
        if "structure" not in self._tried:
            layers = find_modules(self.model, self.changed)
            self._tried["structure"] = Structure(tuple(self.model.modules()), layers, Replay(self.model, self.changed))
        return self._tried["structure"]

    def _observe(self, batch: Batch) -> BaselinePass:
        layers = tuple(self.thresholds)
        study = with_thresholds(
            Capture(self.model, layers, asked("max", "first"), {}, {}, None, self.threads),
            self.nodes,
            np.concatenate([self.thresholds[layer] for layer in layers]) if layers else np.zeros(0),
        )
        reader = Reader(study, batch)
        sites: dict[str, Site] = {}
        outputs: dict[str, Tensor] = {}
        bits: dict[str, Bits] = {}
        masks: dict[str, Tensor | None] = {}
        order: dict[str, int] = {}

        def see(path: str, module: nn.Module, output: Tensor) -> None:
            kind, name, _, mask = reader.how(path, output)
            site = Site(path, kind, name, self.thresholds[path])
            self._check_shapes({path: output.shape[-1 if kind == "tokens" else 1]}, self.nodes.labels)
            check_finite(output[: batch.count].flatten(1), path, batch.start)
            sites[path], masks[path], order[path] = site, mask, len(order)
            bits[path] = site.bits(output, mask)[: batch.count]
            if path in self.changed:
                outputs[path] = output.clone()

        replay = Replay(self.model, self.changed)
        if "before" not in self._tried:
            self._check_before(batch)
            self._tried["before"] = True
        with replay.recording():
            logits, _ = reader.run(layers, see)
        self._check_shapes({}, None if logits is None else logits.shape[1])
        assert logits is not None
        check_finite(logits, "logits", batch.start)
        return BaselinePass(batch, sites, logits, outputs, bits, masks, replay.recorded, order)

    def _from(self, batch: Batch, seen: Seen) -> BaselinePass:
        """The same of a pass that an extraction ran, whose layers all give one value per unit."""
        labels, found = seen.logits.shape[1], {path: output.shape[1] for path, output in seen.outputs.items()}
        self._check_shapes(found, labels)
        sites = {path: Site(path, "units", UNIT, self.thresholds[path]) for path in seen.outputs}
        bits = {path: sites[path].bits(output)[: batch.count] for path, output in seen.outputs.items()}
        outputs = {path: seen.outputs[path] for path in self.changed}
        order = {path: place for place, path in enumerate(seen.outputs)}
        return BaselinePass(
            batch, sites, seen.logits[: batch.count], outputs, bits, dict.fromkeys(sites), seen.recorded, order
        )

    def _check_shapes(self, units: Mapping[str, int], labels: int | None) -> None:
        """Raise ShapeError when the graph is of a network with other units or labels."""
        for path, many in units.items():
            if many != len(self.thresholds[path]):
                raise _other(f"{len(self.thresholds[path])} units of {path!r}", f"{many}")
        if labels != self.nodes.labels:
            raise _other(f"{self.nodes.labels} labels", "none" if labels is None else str(labels))

    def _check_before(self, batch: Batch) -> None:
        """Raise LayerError for a changed layer that begins after a module has given the logits."""
        given: list[tuple[str, ReferenceType[Tensor] | None]] = []

        def watch(path: str) -> Any:
            def ended(module: nn.Module, arguments: Any, output: Any) -> None:
                first = output[0] if isinstance(output, tuple) and output else output
                given.append((path, ref(first) if isinstance(first, Tensor) else None))

            return ended

        handles = [module.register_forward_hook(watch(path)) for path, module in self.model.named_modules() if path]
        try:
            with fixed(self.model, self.threads):
                logits = forward(self.model, batch.inputs)
        finally:
            for handle in handles:
                handle.remove()
        gave = next((at for at, (_, output) in enumerate(given) if output is not None and output() is logits), None)
        for path, _ in given[gave + 1 :] if gave is not None else []:
            if path in self.changed and not given[gave or 0][0].startswith(f"{path}."):
                raise LayerError(
                    f"an intervention changes a layer before the logits; {path!r} runs after {given[gave or 0][0]!r} "
                    "has given them; choose a layer on the way from inputs to logits"
                )

    def _check_reach(self, known: BaselinePass) -> None:
        """Raise LayerError, once, for a changed layer that is the logits or does not reach them."""
        if "reach" in self._tried:
            return
        for layer in self.changed:
            check_reach(layer, known.logits, known.outputs[layer], partial(self._logits, known, layer))
        self._tried["reach"] = True

    def _logits(self, known: BaselinePass, layer: str, change: Change) -> Tensor:
        return self.run(known, {layer: change})[0]

    def _padded(self, rows: Indices, size: int) -> Int64[Tensor, " row"]:
        if not 0 < len(rows) <= size:
            raise ShapeError(f"a pass takes 1 to {size} rows, the size of the compute batch; got {len(rows)}")
        last = np.full(size - len(rows), rows[-1], np.int64)
        return torch.from_numpy(np.concatenate([rows, last]))

    def _selecting(self, known: BaselinePass) -> bool:
        """Whether rows of what was recorded can stand for rows of the inputs: tried once, on the batch reversed."""
        if "rows" not in self._tried:
            size = known.batch.rows
            rows = torch.arange(size - 1, -1, -1)
            before = self._pass(known, {}, (), size, rows, Recorded())[0]
            after = self._pass(known, {}, (), size, rows, known.recorded)[0]
            scale = float(before.abs().max()) or 1.0
            self._tried["rows"] = size > 1 and float((after - before).abs().max()) <= CLOSE * scale
        return self._tried["rows"]


def argmax(logits: Tensor) -> Indices:
    """The class of the largest logit of each row."""
    return logits.argmax(dim=1).cpu().numpy()


def true_classes(batch: Batch, labels: int) -> Indices:
    """The true class of each example. Raises DataError without any."""
    if batch.labels is None:
        raise DataError("a trial needs the true labels; the loader gives inputs alone; give (inputs, labels)")
    return true_labels(batch.labels, batch.count, labels).numpy().astype(np.int64)


def check_network(model: nn.Module, graph: NDG, known: str | None = None) -> None:
    """Raise GraphError for a graph that was mined from a network of other weights, as far as it knows its own.

    `known` is the network's digest, where it was taken before.
    """
    expected = graph.provenance.get("weights")
    if expected is None:
        return
    found = weights_digest(model) if known is None else known
    if found not in ("", expected):
        raise GraphError(
            f"a graph is tried on the network that it was mined from: expected weights of digest {expected}, got "
            f"{found}; use the network that the graph was mined from, or pass any_network=True to try the graph on "
            "another one on purpose"
        )


def _other(expected: str, found: str) -> ShapeError:
    return ShapeError(
        f"the graph is of another network: it has {expected}, the network {found}; use the graph that was mined from "
        "this network"
    )
