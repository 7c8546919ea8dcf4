"""Run the prefix of a network once, then changed suffixes.

    engine = Engine(model, ["encoder.fc1"])
    with engine.recording(inputs) as prefix:
        logits = forward(model, inputs)                              # the untouched pass
    logits = engine.run(prefix, {"encoder.fc1": change}, rows)       # rows of these inputs, changed

A change is a function of the layer's output, a `Write` of values to places of it, or a `Fixed` output, for which the
layer itself does not run. All other runs of changed layers are made of these.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor, nn

from ndg.activations.batches import Inputs, forward, pick, rows_of
from ndg.activations.hooks import Overwrite, Trace, find_modules
from ndg.interventions.replay import Recorded, Replay, Selected
from ndg.units.readings import Output
from ndg.units.resolve import Layer, resolve_layer, visible

Rows = Int64[Tensor, " row"]


@runtime_checkable
class StepChange(Protocol):
    """A change of a layer that runs once per time step."""

    def at(self, step: int) -> Callable[[Output], Output]:
        """The change of one step's output."""


@dataclass(frozen=True, eq=False)
class Write:
    """Values for places of an output; both broadcast to it."""

    places: Bool[Tensor, "_ ..."]
    values: Shaped[Tensor, "_ ..."]

    def __call__(self, output: Output) -> Output:
        return torch.where(self.places, self.values.to(output.device, output.dtype), output)

    def at(self, step: int) -> Write:
        return Write(*(part[:, step if part.shape[1] > 1 else 0] for part in (self.places, self.values)))


@dataclass(frozen=True, eq=False)
class Fixed:
    """A fixed output of a layer, which with `runs` is still called."""

    output: Any
    runs: bool = False


Change = Callable[[Tensor], Tensor] | Write | Fixed
Changes = Mapping[str, Change]


@dataclass(frozen=True, eq=False)
class Prefix:
    """Inputs of an untouched pass, and what ran before the changed layers."""

    inputs: Inputs
    recorded: Recorded


class Engine:
    """A network and its changed layers, without state of a pass."""

    def __init__(self, model: nn.Module, changed: Iterable[str], read: Iterable[str] = ()) -> None:
        self.model = model
        self.changed = tuple(changed)
        self.layers: dict[str, Layer] = {path: resolve_layer(model, path) for path in [*self.changed, *read]}
        self._virtual = [layer for layer in self.layers.values() if layer.virtual]
        self._parts: tuple[tuple[nn.Module, ...], dict[str, nn.Module], Replay] | None = None

    @contextmanager
    def visible(self) -> Iterator[None]:
        """Make heads and gates outputs of modules, around all other calls."""
        with visible(self._virtual):
            try:
                yield
            finally:
                if self._virtual:
                    self._parts = None  # the modules of heads and gates are gone

    @property
    def parts(self) -> tuple[tuple[nn.Module, ...], dict[str, nn.Module], Replay]:
        """All modules, the changed ones by path and the replay.

        Looked up once.
        """
        if self._parts is None:
            modules = find_modules(self.model, self.changed)
            self._parts = tuple(self.model.modules()), modules, Replay(self.model, self.changed)
        return self._parts

    @contextmanager
    def recording(self, inputs: Inputs) -> Iterator[Prefix]:
        """Keep what runs before the layers; complete after the pass."""
        prefix, replay = Prefix(inputs, {}), self.parts[2].of({})
        with replay.recording():
            yield prefix
        prefix.recorded.update(replay.recorded)

    def trace(self, paths: Sequence[str], reduce: Callable[[str, nn.Module, Any], Any]) -> Trace:
        """Reduced outputs of layers; a list over time steps for gates."""
        return Trace(self.model, paths, reduce, [path for path in paths if self.layers[path].steps])

    @contextmanager
    def changed_pass(
        self, prefix: Prefix, changes: Changes, rows: Rows | None = None, *, replay: bool = True
    ) -> Iterator[Inputs]:
        """Inputs of a pass with changed layers, for rows of the prefix.

        Without `rows` these are all of them. Without `replay` what is before the layers runs again.
        """
        _, modules, recorder = self.parts
        player = recorder.of(prefix.recorded if replay else {})
        with changing(self.model, changes, modules, self.layers), player.replaying(rows, rows_of(prefix.inputs)):
            if player.recorded and rows is not None and isinstance(prefix.inputs, Tensor):
                # copied only where a module that is not replayed reads it
                yield Selected(prefix.inputs, rows.to(prefix.inputs.device))
            else:
                yield pick(prefix.inputs, rows)

    def run(self, prefix: Prefix, changes: Changes, rows: Rows | None = None) -> Any:
        """Logits of a pass in which these layers are changed."""
        with self.changed_pass(prefix, changes, rows) as inputs:
            return forward(self.model, inputs)


def same_logits(logits: Tensor, expected: Tensor) -> bool:
    """Whether logits differ by rounding alone: by less than 1e-4 of the largest."""
    scale = float(expected.abs().max()) or 1.0
    return logits.shape == expected.shape and float((logits - expected).abs().max()) <= 1e-4 * scale


@contextmanager
def changing(
    model: nn.Module,
    changes: Changes,
    modules: Mapping[str, nn.Module] | None = None,
    layers: Mapping[str, Layer] | None = None,
) -> Iterator[None]:
    """Change the outputs of layers in every pass meanwhile."""
    modules = find_modules(model, changes) if modules is None else modules
    with ExitStack() as stack:
        for path, change in changes.items():
            if isinstance(change, Fixed):
                stack.enter_context(_fixed(modules[path], change))
                continue
            if layers is not None and layers[path].steps and isinstance(change, StepChange):
                change = stack.enter_context(_by_step(model, change))
            stack.enter_context(Overwrite(model, path, change, modules[path]))
        yield


@contextmanager
def _by_step(model: nn.Module, change: StepChange) -> Iterator[Callable[[Tensor], Tensor]]:
    """The change of each time step in turn, anew in each pass."""
    steps = count()

    def begin(module: nn.Module, arguments: Any) -> None:
        nonlocal steps
        steps = count()

    with model.register_forward_pre_hook(begin):
        yield lambda output: change.at(next(steps))(output)


CALL = ("forward", "_forward_hooks", "_forward_pre_hooks")
"""Attributes of a module that say what its call does."""


@contextmanager
def _fixed(module: nn.Module, change: Fixed) -> Iterator[None]:
    attributes, run = vars(module), module.forward
    before = {name: attributes[name] for name in CALL if name in attributes}

    def forward(*arguments: Any, **named: Any) -> Any:
        if change.runs:
            run(*arguments, **named)
        return change.output

    attributes.update(forward=forward, _forward_hooks=OrderedDict(), _forward_pre_hooks=OrderedDict())
    try:
        yield
    finally:
        del attributes["forward"]
        attributes.update(before)
