"""A network and a smaller one compared on the same held-out examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch, compute_batches, fixed, forward
from ndg.compression.examples import explained
from ndg.efficiency.costs import flops
from ndg.intervals import rate
from ndg.options import RunOptions
from ndg.results import Row
from ndg.workflows.subject import Subject

ROUNDS = 7
"""Timed passes of each network, in turns."""


@dataclass(frozen=True)
class Measured:
    """Size, accuracy and time of one network on `examples`.

    `agreement` is with the original's predictions, `r2` of its logits (None where these do not vary). `flops` are of
    one example, `seconds` of one batch.
    """

    parameters: int
    flops: int
    accuracy: float | None
    agreement: float
    r2: float | None
    seconds: float
    examples: int

    def row(self) -> Row:
        """Plain JSON types, with 95 % intervals."""
        row: Row = {"parameters": self.parameters, "flops": self.flops, "n": self.examples}
        if self.accuracy is not None:
            row |= rate("accuracy", round(self.accuracy * self.examples), self.examples)
        row |= rate("agreement", round(self.agreement * self.examples), self.examples)
        return row | {"r2": self.r2, "seconds": self.seconds}


def measured(networks: Sequence[nn.Module], subject: Subject, options: RunOptions) -> list[Measured]:
    """Each network on the held-out examples of the subject.

    The first is the original.

    `seconds` is the median time of one batch, the networks taking turns.
    """
    batches = list(compute_batches(subject.loaders[subject.held_out], options.batch, short=True))
    logits = [_logits(network, batches, options) for network in networks]
    seconds = _seconds(networks, batches[0], options)
    labels = None if batches[0].labels is None else torch.cat([_classes(batch) for batch in batches])
    return [
        Measured(
            sum(parameter.numel() for parameter in network.parameters()),
            flops(network, batches[0]).whole,
            None if labels is None else float((own.argmax(dim=1) == labels).double().mean()),
            float((own.argmax(dim=1) == logits[0].argmax(dim=1)).double().mean()),
            explained(logits[0], own),
            time,
            len(own),
        )
        for network, own, time in zip(networks, logits, seconds, strict=True)
    ]


def _logits(network: nn.Module, batches: Iterable[Batch], options: RunOptions) -> Tensor:
    with fixed(network, options.threads):
        return torch.cat([forward(network, batch.inputs)[: batch.count].cpu() for batch in batches])


def _classes(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels[: batch.count].cpu()


def _seconds(networks: Sequence[nn.Module], batch: Batch, options: RunOptions) -> list[float]:
    spent: list[list[float]] = [[] for _ in networks]
    for _ in range(ROUNDS):
        for network, times in zip(networks, spent, strict=True):
            with fixed(network, options.threads):
                started = perf_counter()
                forward(network, batch.inputs)
                times.append(perf_counter() - started)
    return [median(times) for times in spent]
