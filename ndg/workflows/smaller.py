"""A network and a smaller one compared on the same held-out examples."""

from __future__ import annotations

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
    one example, `seconds` of one batch; `latency` is that time over the original's.
    """

    parameters: int
    flops: int
    accuracy: float | None
    agreement: float
    r2: float | None
    seconds: float
    examples: int
    latency: float = 1.0

    def row(self) -> Row:
        """Plain JSON types, with 95 % intervals."""
        row: Row = {"parameters": self.parameters, "flops": self.flops, "n": self.examples}
        if self.accuracy is not None:
            row |= rate("accuracy", round(self.accuracy * self.examples), self.examples)
        row |= rate("agreement", round(self.agreement * self.examples), self.examples)
        return row | {"r2": self.r2, "seconds": self.seconds, "latency": self.latency}


class Bench:
    """A network on the held-out examples of a subject, beside which others are measured."""

    def __init__(self, network: nn.Module, subject: Subject, options: RunOptions) -> None:
        self._network, self._options = network, options
        self._batches = list(compute_batches(subject.loaders[subject.held_out], options.batch, short=True))
        self._logits = self._run(network)
        known = self._batches[0].labels is not None
        self._labels = torch.cat([_classes(batch) for batch in self._batches]) if known else None

    def measure(self, other: nn.Module) -> Measured:
        """Figures of a network. Its time is taken in turns with the first network's."""
        own = self._logits if other is self._network else self._run(other)
        seconds, before = self._seconds(other)
        labels = self._labels
        return Measured(
            sum(parameter.numel() for parameter in other.parameters()),
            flops(other, self._batches[0]).whole,
            None if labels is None else float((own.argmax(dim=1) == labels).double().mean()),
            float((own.argmax(dim=1) == self._logits.argmax(dim=1)).double().mean()),
            explained(self._logits, own),
            seconds,
            len(own),
            1.0 if other is self._network else seconds / before,
        )

    def _run(self, network: nn.Module) -> Tensor:
        with fixed(network, self._options.threads):
            return torch.cat([forward(network, batch.inputs)[: batch.count].cpu() for batch in self._batches])

    def _seconds(self, other: nn.Module) -> tuple[float, float]:
        """Median seconds of one batch, of the other network and of the first."""
        networks = [other] if other is self._network else [other, self._network]
        spent: list[list[float]] = [[] for _ in networks]
        for _ in range(ROUNDS):
            for network, times in zip(networks, spent, strict=True):
                with fixed(network, self._options.threads):
                    started = perf_counter()
                    forward(network, self._batches[0].inputs)
                    times.append(perf_counter() - started)
        return median(spent[0]), median(spent[-1])


def _classes(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels[: batch.count].cpu()
