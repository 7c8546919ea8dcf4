"""What the layers of a network take and give on examples, in one forward pass.

Per unit the mean absolute activation, per input its root mean square, the covariance of the activations that the next
layer reads, and the time that the layer took. Padding of texts does not count. Compute batches are summed in float64.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor, nn

from ndg.activations.batches import Batch, examples_in_batches, fixed, output_of
from ndg.efficiency.chain import Chain, Trail
from ndg.efficiency.parts import CONVOLUTIONS, RECURRENT, TRANSPOSED, Part
from ndg.efficiency.recurrent import gate_values
from ndg.errors import LayerError
from ndg.options import RunOptions
from ndg.units.heads import unfused
from ndg.units.layout import attention
from ndg.units.resolve import resolve_layer

CHANNELS = (*CONVOLUTIONS, *TRANSPOSED)
POSITIONS = 64
"""Most positions of an image that a covariance of channels is taken over, spread evenly."""


@dataclass(eq=False)
class Observation:
    """Sums over the examples for one part.

    `absolute` sums |activation| by unit, `squares` the squared inputs by input unit (channel, feature, word; for
    recurrent parts input, then state), each over `rows` and `input_rows` positions. `reader` is the one layer that
    reads the units, `other` the function that takes them otherwise, `width` the first of the layers that share them.
    `size` counts outputs per example.
    """

    units: int
    absolute: Any = 0.0
    rows: int = 0
    squares: Any = 0.0
    input_rows: int = 0
    shift: Tensor | None = None
    sums: Any = 0.0
    products: Any = 0.0
    counted: int = 0
    seconds: list[float] = field(default_factory=list)
    size: int = 0
    calls: int = 0
    reader: str = ""
    other: str = ""
    width: str = ""

    @property
    def activation(self) -> Float64[np.ndarray, " unit"]:
        """Mean absolute activation of each unit."""
        mean: np.ndarray = (self.absolute / max(self.rows, 1)).cpu().numpy()
        return mean

    @property
    def input_rms(self) -> Float64[np.ndarray, " input"]:
        """Root mean square of each input."""
        rms: np.ndarray = (self.squares / max(self.input_rows, 1)).sqrt().cpu().numpy()
        return rms

    @property
    def mean(self) -> Float64[np.ndarray, " unit"]:
        """Mean of the activations, as the reader gets them."""
        assert self.shift is not None
        mean: np.ndarray = (self.shift.double() + self.sums / self.counted).cpu().numpy()
        return mean

    @property
    def covariance(self) -> Float64[np.ndarray, "unit unit"] | None:
        """Covariance of the activations over examples and positions, as the reader gets them."""
        if self.counted < 2:
            return None
        mean = self.sums / self.counted
        covariance: np.ndarray = (self.products / self.counted - torch.outer(mean, mean)).cpu().numpy()
        return covariance


@dataclass(eq=False)
class SharedWidth:
    """Layers that share their units, and the readers of these.

    The function that takes the units otherwise is named, if there is one.
    """

    layers: list[str]
    foreign: str = ""
    readers: dict[str, Observation] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Observations:
    """Observations by name of the part, over `examples`, and of widths by their first layer."""

    by_part: dict[str, Observation]
    examples: int
    widths: dict[str, SharedWidth] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Observation:
        return self.by_part[name]


def observe(
    model: nn.Module,
    loader: Iterable[Any],
    parts: Sequence[Part],
    options: RunOptions,
    *,
    inputs: bool = True,
    deep: bool = True,
    around: Sequence[Part] = (),
) -> Observations:
    """Observations of parts on the examples of a loader.

    Without `inputs` those of the inputs are left out, without `deep` the covariances. Parts `around` may read units;
    nothing is observed of them.

    Raises LayerError for a part that is not used, or for activations that are not finite; DataError without examples.
    """
    watcher = _Watcher(model, parts, inputs, deep, around)
    examples = 0
    with fixed(model, options.threads), watcher:
        for batch in examples_in_batches(loader, options.batch, "efficiency"):
            watcher.begin(batch)
            output_of(model, batch.inputs)
            watcher.end()
            examples += batch.count
    for part in parts:
        seen = watcher.seen[part.name]
        if not seen.calls:
            raise LayerError(
                f"efficiency is measured on layers that run in a forward pass; {part.name!r} did not run; leave it out"
            )
        for values in (seen.absolute, seen.squares, seen.products):
            if not np.isfinite(np.asarray(values)).all():
                raise LayerError(
                    f"activations must be finite; those of {part.name!r} or their squares are not; look for NaN, "
                    "infinity and very large numbers in the weights and inputs"
                )
    return Observations(watcher.seen, examples, watcher.widths)


class _Watcher:
    """Hooks on the modules of the parts, and the chain of functions between them."""

    def __init__(
        self, model: nn.Module, parts: Sequence[Part], inputs: bool, deep: bool, around: Sequence[Part] = ()
    ) -> None:
        self._model, self._inputs, self._deep = model, inputs, deep
        self.seen = {part.name: Observation(0) for part in parts}
        self._parts = [*parts, *(part for part in around if part.name not in self.seen)]
        self.widths: dict[str, SharedWidth] = {}
        self._stack = ExitStack()
        self._chain = Chain(self._projected)
        self._projections: dict[tuple[int, torch.Size], Part] = {}
        self._started: dict[int, float] = {}

    def __enter__(self) -> _Watcher:
        own: dict[int, list[Part]] = {}
        for part in self._parts:
            own.setdefault(id(part.module), []).append(part)
        self._stack.enter_context(unfused())
        for parts in own.values():
            module = parts[0].module
            if isinstance(module, nn.MultiheadAttention):
                layer = resolve_layer(self._model, f"{parts[0].layer}.heads" if parts[0].layer else "heads")
                self._stack.enter_context(layer.around())
                for part in parts:
                    weight = part.parameters[0][part.rows]
                    self._projections[weight.data_ptr(), weight.shape] = part
                continue
            before, after = self._hooks(parts, module)
            self._stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            self._stack.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        self._stack.enter_context(self._chain)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._chain.clear()

    def begin(self, batch: Batch) -> None:
        self._batch = batch
        self._chain.clear()
        self._masks: dict[int, Tensor | None] = {}

    def end(self) -> None:
        """Add what became of the outputs of a pass."""
        with torch._C.DisableTorchFunction():
            for name, trail in self._chain.trails.items():
                seen = self.seen.get(name)
                if seen is None:
                    continue
                self._add_activation(seen, trail)
                alone = len(trail.readers) == 1 and not trail.other and trail.calls == 1
                again = self._again(trail.readers[0][0]) if alone else ""
                alone = alone and not again
                seen.reader = trail.readers[0][0] if alone else ""
                others = "several layers" if trail.readers else "nothing"
                seen.other = trail.other or again or ("" if alone else others)
                if self._deep:
                    self._add_covariance(seen, trail, trail.readers[0][1] if alone else trail.activation)
            if self._deep:
                self._add_widths()
        self._chain.clear()

    def _again(self, reader: str) -> str:
        """What reads the units of a layer whose reader runs several times in a pass, else nothing."""
        trail = self._chain.trails.get(reader)
        return f"{reader}, which runs several times" if trail is not None and trail.calls > 1 else ""

    def _hooks(self, parts: list[Part], module: nn.Module) -> tuple[Any, Any]:
        def before(module: nn.Module, arguments: Any, named: Any) -> None:
            inputs = arguments[0] if arguments else named.get("input")
            if isinstance(inputs, Tensor) and not isinstance(module, RECURRENT):
                self._chain.read(parts[0].name, inputs)
            self._chain.enter()
            self._started[id(module)] = time.perf_counter()

        def after(module: nn.Module, arguments: Any, named: Any, output: Any) -> None:
            seconds = time.perf_counter() - self._started.pop(id(module))
            inputs = arguments[0] if arguments else named.get("input")
            with torch._C.DisableTorchFunction():
                if isinstance(module, RECURRENT) and parts[0].name in self.seen:
                    self._recurrent(parts, module, inputs, arguments[1] if len(arguments) > 1 else None, output)
                    self._timed(parts, seconds)
                elif not isinstance(module, RECURRENT):
                    self._single(parts[0], inputs, output, seconds)
            self._chain.leave()
            if not isinstance(module, RECURRENT):
                self._chain.begin(parts[0].name, output, isinstance(module, CHANNELS))

        return before, after

    def _projected(self, inputs: Tensor, weight: Tensor, output: Tensor) -> bool:
        """Whether a linear function is a projection of attention.

        It is then observed.
        """
        part = self._projections.get((weight.data_ptr(), weight.shape))
        if part is None:
            return False
        with torch._C.DisableTorchFunction():
            self._chain.read(part.name, inputs)
            self._single(part, inputs, output, None)
            self._chain.begin(part.name, output, False)
        return True

    def _single(self, part: Part, inputs: Tensor, output: Tensor, seconds: float | None) -> None:
        seen, count = self.seen.get(part.name), self._batch.count
        if seen is None:
            return
        seen.calls += 1
        seen.size = output[0].numel() if len(output) == self._batch.rows else output.numel() // self._batch.rows
        if seconds is not None:
            seen.seconds.append(seconds / self._batch.rows)
        if not self._inputs:
            return
        if isinstance(part.module, nn.Embedding):
            words = self._kept_tokens(inputs[:, :, None] if inputs.ndim == 2 else inputs)
            uses = torch.bincount(words.reshape(-1), minlength=part.module.num_embeddings)
            seen.squares, seen.input_rows = seen.squares + uses.double(), seen.input_rows + words.numel()
            return
        whole = inputs[:count] if len(inputs) == self._batch.rows else inputs
        if isinstance(part.module, CHANNELS):
            squares = torch.linalg.vector_norm(whole.flatten(2), 2, dim=2).double().square().sum(dim=0)
            rows = whole[:, 0].numel()
        else:
            flat = self._kept_tokens(inputs)
            squares, rows = torch.linalg.vector_norm(flat, 2, dim=0).double().square(), len(flat)
        seen.squares, seen.input_rows = seen.squares + squares, seen.input_rows + rows

    def _recurrent(self, parts: list[Part], module: Any, inputs: Any, state: Any, output: Any) -> None:
        for part, (values, squares, rows) in zip(parts, gate_values(module, inputs, state, self._batch), strict=False):
            seen = self.seen[part.name]
            seen.calls += 1
            seen.units, seen.size = values.shape[1], values.numel() // self._batch.rows
            seen.absolute = seen.absolute + values.abs().sum(dim=0, dtype=torch.float64)
            seen.rows += len(values)
            seen.squares, seen.input_rows = seen.squares + squares, seen.input_rows + rows
            seen.other = "the next time step"
            if self._deep:
                self._add_products(seen, values)

    def _timed(self, parts: list[Part], seconds: float) -> None:
        for part in parts:
            self.seen[part.name].seconds.append(seconds / self._batch.rows / len(parts))

    def _kept_tokens(self, values: Tensor) -> Shaped[Tensor, "row unit"]:
        """Rows of values whose last axis holds the units, without padding."""
        rows, count = self._batch.rows, self._batch.count
        if len(values) != rows:
            return values.reshape(-1, values.shape[-1])
        values = values[:count]
        if values.ndim == 3:
            tokens = values.shape[1]
            if tokens not in self._masks:
                self._masks[tokens] = attention(self._batch, tokens)
            if (mask := self._masks[tokens]) is not None:
                return values[mask[:count].to(values.device)]
        return values.reshape(-1, values.shape[-1])

    def _add_activation(self, seen: Observation, trail: Trail) -> None:
        activation = trail.activation
        if trail.channels:
            whole = activation[: self._batch.count] if len(activation) == self._batch.rows else activation
            flat, rows = whole.flatten(2), whole[:, 0].numel()
            absolute = (flat if trail.positive else flat.abs()).sum(dim=2).sum(dim=0, dtype=torch.float64)
        else:
            flat = self._kept_tokens(activation)
            absolute, rows = flat.abs().sum(dim=0, dtype=torch.float64), len(flat)
        seen.units, seen.absolute, seen.rows = len(absolute), seen.absolute + absolute, seen.rows + rows

    def _add_covariance(self, seen: Observation, trail: Trail, values: Tensor) -> None:
        """Add products of the units at each position."""
        if not trail.channels:
            self._add_products(seen, self._kept_tokens(values))
            return
        whole = values[: self._batch.count] if len(values) == self._batch.rows else values
        maps = whole.reshape(len(whole), trail.units, -1)
        maps = maps[:, :, :: -(-maps.shape[2] // POSITIONS)]
        self._add_products(seen, maps.transpose(1, 2).reshape(-1, trail.units))

    def _add_widths(self) -> None:
        """Add what the readers of shared units get.

        Readers of one tensor share its covariance.
        """
        added: dict[int, Observation] = {}
        for width in self._chain.widths():
            first, own = width.layers[0], [name for name in width.layers if name in self.seen]
            for name in own:
                self.seen[name].width = first
            if not own:
                continue
            shared = self.widths.setdefault(first, SharedWidth(width.layers))
            shared.foreign = shared.foreign or width.foreign
            for name, inputs in () if shared.foreign else width.readers:
                if id(inputs) not in added:
                    added[id(inputs)] = shared.readers.setdefault(name, Observation(0))
                    self._add_covariance(added[id(inputs)], self._chain.trails[first], inputs)
                shared.readers[name] = added[id(inputs)]

    def _add_products(self, seen: Observation, rows: Float[Tensor, "row unit"]) -> None:
        """Add first and second moments about the first batch's mean."""
        rows = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
        if seen.shift is None:
            seen.shift = rows.mean(dim=0)
        centred = rows - seen.shift
        seen.sums = seen.sums + centred.sum(dim=0, dtype=torch.float64)
        seen.products = seen.products + (centred.T @ centred).double()
        seen.counted += len(rows)
