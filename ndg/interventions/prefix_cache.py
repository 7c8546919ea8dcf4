"""The passes of an extraction, kept for a trial on the same examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """An untouched pass: logits, outputs of layers, and what ran before those that will be changed."""

    logits: Tensor
    outputs: dict[str, Tensor]
    recorded: Recorded


@dataclass(frozen=True, eq=False)
class PrefixCache:
    """Keeps, in `cache`, every pass of a network that runs within `prefixes(batch)`.

    `layers` are those of the graph, `changed` those that a trial will change. A pass in which a layer is used more than
    once, or gives more than one value per unit, is not kept; nor are chosen examples, which have numbers of their own.
    """

    model: nn.Module
    layers: tuple[str, ...]
    changed: tuple[str, ...]
    cache: Cache

    @contextmanager
    def __call__(self, batch: Batch) -> Iterator[None]:
        """Keep the pass of a batch that runs within this context."""
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
        with replay.recording():
            handles = [module.register_forward_hook(see(path)) for path, module in modules.items()]
            handles.append(self.model.register_forward_hook(lambda module, arguments, output: returned.append(output)))
            try:
                yield
            finally:
                for handle in handles:
                    handle.remove()
        whole = set(outputs) == set(self.layers) and set(uses.values()) == {1} and len(returned) == 1
        if whole and batch.numbers is None and (key := key_of(self.changed, self.layers, batch)) not in self.cache:
            try:
                self.cache[key] = ExtractedPass(logits_of(returned[0]), outputs, replay.recorded)
            except ShapeError:  # a network without logits is not put on trial
                return


def key_of(changed: tuple[str, ...], layers: tuple[str, ...], batch: Batch) -> tuple[Any, ...]:
    """Where the pass of a batch lies in a cache."""
    return "extracted", changed, layers, batch.start, batch.count
