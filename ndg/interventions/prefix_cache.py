"""Passes of an extraction, kept for trials on its examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ndg.activations.batches import Batch, logits_of
from ndg.activations.hooks import find_modules
from ndg.errors import ShapeError
from ndg.interventions.cache import Cache
from ndg.interventions.replay import Recorded, Replay
from ndg.units.resolve import resolve_layer


@dataclass(frozen=True, eq=False)
class ExtractedPass:
    """An untouched pass: logits, outputs, and what ran before."""

    logits: Tensor
    outputs: dict[str, Tensor]
    recorded: Recorded


@dataclass(frozen=True, eq=False)
class PrefixCache:
    """Keeps every pass that runs within `prefixes(batch)`.

    `layers` are those of the graph, `changed` those that a trial will change. Not kept are chosen examples, and passes
    in which a layer is used more than once or gives more than one value per unit.
    """

    model: nn.Module
    layers: tuple[str, ...]
    changed: tuple[str, ...]
    cache: Cache

    @contextmanager
    def __call__(self, batch: Batch) -> Iterator[None]:
        """Keep the pass of a batch that runs inside."""
        if any(resolve_layer(self.model, path).virtual for path in {*self.layers, *self.changed}):
            yield
            return
        outputs: dict[str, Tensor] = {}
        uses: dict[str, int] = {}
        returned: list[Any] = []

        def see(path: str) -> Any:
            def hook(module: nn.Module, arguments: Any, output: Any) -> None:
                uses[path] = uses.get(path, 0) + 1
                if isinstance(output, Tensor) and output.ndim == 2:
                    outputs[path] = output.clone()

            return hook

        replay = Replay(self.model, self.changed)
        modules = find_modules(self.model, self.layers)
        with replay.recording(), ExitStack() as stack:
            for path, module in modules.items():
                stack.enter_context(module.register_forward_hook(see(path)))
            stack.enter_context(self.model.register_forward_hook(lambda _, arguments, output: returned.append(output)))
            yield
        whole = set(outputs) == set(self.layers) and set(uses.values()) == {1} and len(returned) == 1
        if whole and batch.numbers is None and (key := key_of(self.changed, self.layers, batch)) not in self.cache:
            try:
                self.cache[key] = ExtractedPass(logits_of(returned[0]), outputs, replay.recorded)
            except ShapeError:  # a network without logits is not put on trial
                return


def key_of(changed: tuple[str, ...], layers: tuple[str, ...], batch: Batch) -> tuple[Any, ...]:
    """The key of a batch's pass in a cache."""
    return "extracted", changed, layers, batch.start, batch.count
