"""A cache of what runs before the intervened layers."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from ndg.activations.batches import Batch, logits_of
from ndg.activations.hooks import find_modules
from ndg.errors import ShapeError
from ndg.interventions.replay import Recorded, Replay
from ndg.units.resolve import resolve_layer

BUDGET = 1 << 30
"""Bytes that are held in memory."""


class Cache:
    """Values by key, in memory up to a budget of bytes.

    Further tensors lie in a temporary folder, which goes with the cache. A key is written once. Workers get empty ones.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget, self._left = budget, budget
        self._held: dict[Any, Any] = {}
        self._files: dict[Any, Path] = {}
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def __contains__(self, key: Any) -> bool:
        return key in self._held or key in self._files

    def __getitem__(self, key: Any) -> Any:
        if key in self._held:
            return self._held[key]
        return torch.load(self._files[key], weights_only=False)  # written by this process, in a folder of its own

    def __setitem__(self, key: Any, value: Any) -> None:
        size = sum(leaf.nbytes for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor))
        with self._lock:
            if key in self:
                return
            if size <= self._left:
                self._left -= size
                self._held[key] = value
                return
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="ndg-cache-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            path = self._folder / f"{len(self._files)}.pt"
            torch.save(value, path)
            self._files[key] = path

    @property
    def on_disk(self) -> int:
        """Number of values that did not fit into the budget."""
        return len(self._files)

    def __reduce__(self) -> tuple[type[Cache], tuple[int]]:
        return Cache, (self._budget,)


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
        uses: Counter[str] = Counter()
        returned: list[Any] = []

        def see(path: str, output: Any) -> None:
            uses[path] += 1
            if isinstance(output, Tensor) and output.ndim == 2:
                outputs[path] = output.clone()

        replay = Replay(self.model, self.changed)
        with replay.recording(), ExitStack() as stack:
            for path, module in find_modules(self.model, self.layers).items():
                stack.enter_context(module.register_forward_hook(lambda _, __, output, path=path: see(path, output)))
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
