"""Fitness of neurons after every training epoch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from torch import nn

from ndg.activations.batches import COMPUTE_BATCH, compute_batches, fixed, forward
from ndg.errors import LayerError
from ndg.importance.fitness.measure import COMPOSITE, Fitness, KnownWeights, fitness
from ndg.importance.weights.incoming import Weights, leading, weights_of
from ndg.options import RunOptions

EXAMPLES = 256
"""Number of training examples used after an epoch."""
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus)


class Watch:
    """Fitness of neurons after every epoch, on fixed examples.

    It does not change the training, to the last bit. A call costs two forward passes and one backward pass.
    """

    def __init__(
        self,
        network: nn.Module,
        fresh: nn.Module,
        loader: Iterable[Any],
        layers: Sequence[str] = (),
        *,
        composite: Mapping[str, float | int] = COMPOSITE,
        batch: int = COMPUTE_BATCH,
        threads: int = 1,
    ) -> None:
        self._composite = composite
        self._loader, self._options = loader, RunOptions(batch=batch, threads=threads)
        self.layers = tuple(layers) or watched(network, loader, batch)
        self._led = leading(network, loader, self.layers, batch)
        self._fresh = self._look(fresh)
        self._read = [layer for layer in self.layers if "outgoing" in self._fresh.values[layer]]
        self._before = weights_of(network, self._led)

    def __call__(self, network: nn.Module) -> dict[str, float | int]:
        """Columns of the finished epoch, and the seconds spent."""
        began = time.perf_counter()
        fitness = self._look(network, self._read, self._before, fresh=self._fresh)
        self._before = weights_of(network, self._led)
        return {**fitness.columns(), "fitness/seconds": time.perf_counter() - began}

    def _look(
        self, network: nn.Module, read: Sequence[str] | None = None, before: Weights | None = None, **earlier: Any
    ) -> Fitness:
        known = KnownWeights(self._led, read, before)
        how = {"known": known, "composite": self._composite, "options": self._options}
        return fitness(network, self._loader, self.layers, **how, **earlier)


def watched(network: nn.Module, loader: Iterable[Any], batch: int = COMPUTE_BATCH) -> tuple[str, ...]:
    """Activations used once per pass, and the latent layer, else LayerError."""
    latent = getattr(network, "latent_layer", None)
    runs: Counter[str] = Counter()
    with ExitStack() as stack, fixed(network):
        for path, module in network.named_modules():
            if path and (isinstance(module, ACTIVATIONS) or path == latent):
                stack.enter_context(module.register_forward_hook(lambda *_, path=path: runs.update([path])))
        forward(network, next(iter(compute_batches(loader, batch, short=True))).inputs)
    paths = tuple(path for path, times in runs.items() if times == 1)
    if not paths:
        raise LayerError(
            f"fitness is of activations that are modules and run once, or of a latent_layer; {type(network).__name__} "
            "has none; name layers in extract.layers"
        )
    return paths
