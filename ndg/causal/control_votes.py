"""Votes that no intervention has fitted, as controls of those that one has.

All of them are linear in the booleans of the units, so that each is a `Votes` and differs from the fitted votes in its
weights alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import compute_batches, fixed
from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError
from ndg.gradients.tape import Tape
from ndg.graph.votes import Votes
from ndg.nodes import LABEL
from ndg.options import RunOptions


def hamming(bits: BitMatrix, layer: str) -> Votes:
    """Votes for the class whose majority booleans differ from an example's in the fewest units."""
    on, _, _ = _rates(bits, layer)
    weights = np.where(on > 0.5, 1.0, -1.0)
    return Votes(layer, weights, np.zeros(len(weights)), bits.examples)


def naive_bayes(bits: BitMatrix, layer: str) -> Votes:
    """Votes of independent units given the class, with one example of each boolean added (Laplace)."""
    _, counts, size = _rates(bits, layer)
    rate = (counts + 1) / (size[:, None] + 2)
    odds, both = np.log(rate / (1 - rate)), np.log(rate * (1 - rate))
    return Votes(layer, odds / 2, both.sum(axis=1) / 2 + np.log(size + 1), bits.examples)


def shuffled(votes: Votes, seed: int) -> Votes:
    """The same votes, of other units."""
    order = seeds.generator(seed, "shuffled units").permutation(votes.weights.shape[1])
    return replace(votes, weights=votes.weights[:, order])


def mean_gradient(model: nn.Module, loader: Iterable[Any], bits: BitMatrix, layer: str, options: RunOptions) -> Votes:
    """Votes by the mean gradient of each logit.

    It is multiplied by half the difference of the unit's means on and off.

    `bits` are those of the examples of `loader`, in their order. Raises ConfigError for a layer that is read at its
    first token.
    """
    if next(known.reading for known in bits.nodes.layers if known.name == layer) == "first":
        raise ConfigError(f"mean gradients are of units at all tokens; {layer!r} is read at the first; read its mean")
    on: np.ndarray = bits.to_bool(layer)
    gradients: Any = 0
    sums: list[Any] = [0, 0]
    logits_sum: Any = 0
    with fixed(model, options.threads, grad=True), Tape(model, [layer]) as tape:
        for batch in compute_batches(loader, options.batch):
            logits = tape.run(batch)
            labels = logits.shape[1]
            output = tape[layer][: batch.count].double()
            rows = torch.from_numpy(on[batch.start : batch.start + batch.count]).to(output.device)[:, :, None]
            sums = [own + (output * (rows == value)).sum(dim=0) for value, own in enumerate(sums)]
            logits_sum = logits_sum + logits.detach()[: batch.count].double().sum(dim=0)
            parts = [
                tape.gradients(logits[:, label], last=label == labels - 1)[layer][: batch.count].double().sum(dim=0)
                for label in range(labels)
            ]
            gradients = gradients + torch.stack(parts)
    counts = [torch.from_numpy(np.maximum((on == value).sum(axis=0), 1))[:, None] for value in (False, True)]
    off_mean, on_mean = (_on_cpu(total) / count for total, count in zip(sums, counts, strict=True))
    half = (on_mean - off_mean) / 2
    weights = (_on_cpu(gradients) / len(on) * half[None]).sum(dim=2).numpy()
    weights[:, ~on.any(axis=0) | on.all(axis=0)] = 0.0
    bias = _on_cpu(logits_sum).numpy() / len(on) - weights @ np.where(on, 1.0, -1.0).mean(axis=0)
    return Votes(layer, weights, bias, len(on))


def _rates(bits: BitMatrix, layer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rate and count of each unit being on in each predicted class, and the sizes of the classes."""
    label, on = (bits.to_bool(name).astype(np.float64) for name in (LABEL, layer))
    size, counts = label.sum(axis=0), label.T @ on
    return counts / np.maximum(size, 1)[:, None], counts, size


def _on_cpu(values: Tensor) -> Tensor:
    return values.detach().cpu()
