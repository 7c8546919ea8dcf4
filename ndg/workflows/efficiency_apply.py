"""Carry out the recommendations of an efficiency report, and measure the smaller network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch, compute_batches, fixed, forward
from ndg.compression.compress import CompressSettings, compress
from ndg.compression.curves import coupling
from ndg.efficiency.costs import flops
from ndg.efficiency.result import EfficiencyReport
from ndg.errors import LayerError
from ndg.options import RunOptions
from ndg.results import Result, Row
from ndg.workflows.subject import Subject

ROUNDS = 7
"""Timed passes of each network, in turns."""


@dataclass(frozen=True)
class Measured:
    """Size, accuracy and time of one network; `agreement` is with the original's predictions."""

    parameters: int
    flops: int
    accuracy: float | None
    agreement: float
    seconds: float


@dataclass(frozen=True)
class Applied(Result):
    """The recommendations that were carried out, and both networks on `examples` held-out examples of `split`."""

    removed: dict[str, int]
    before: Measured
    after: Measured
    split: str
    examples: int

    def rows(self) -> list[Row]:
        """One row for the original and one for the smaller network; seconds of one batch."""
        return [{"network": name, **vars(each)} for name, each in (("original", self.before), ("smaller", self.after))]

    def words(self) -> str:
        """Units removed, and what it costs and saves."""
        units = ", ".join(f"{count} of {layer}" for layer, count in self.removed.items())
        accuracy = (
            ""
            if self.before.accuracy is None or self.after.accuracy is None
            else f"accuracy {self.before.accuracy:.4f} before and {self.after.accuracy:.4f} after, "
        )
        return (
            f"Removed {units}: {accuracy}agreement of predictions {self.after.agreement:.4f} on {self.examples} "
            f"{self.split} examples, FLOPs {self.after.flops / self.before.flops:.2f}, parameters "
            f"{self.after.parameters / self.before.parameters:.2f}, latency "
            f"{self.after.seconds / self.before.seconds:.2f} of the original."
        )

    def context(self) -> Row:
        removed = [{"layer": layer, "units": units} for layer, units in self.removed.items()]
        return {"removed": removed, "split": self.split, "examples": self.examples}


def apply(subject: Subject, report: EfficiencyReport, options: RunOptions, folder: Path) -> Applied:
    """Remove the recommended units, save the smaller network into `folder`, and measure it on held-out examples.

    Raises LayerError where nothing is recommended that can be removed exactly.
    """
    network, loader = subject.network, subject.loaders["train"]
    known = coupling(network, loader).groups
    wanted = {each.layer: each for each in report.recommendations() if each.layer in known}
    if not wanted:
        raise LayerError(
            "--apply removes recommended units from layers whose units can be removed exactly; there are none; the "
            "report says what reads each layer"
        )
    shares: dict[str | tuple[str, ...], float | int] = {
        layer: each.remove / each.units for layer, each in wanted.items()
    }
    settings = CompressSettings(layers=tuple(wanted))
    smaller = compress(network, loader, units=shares, settings=settings, options=options)
    smaller.save(folder)
    batches = list(compute_batches(subject.loaders[subject.held_out], options.batch, short=True))
    own, other = [_logits(each, batches, options) for each in (network, smaller.network)]
    seconds = _seconds([network, smaller.network], batches[0], options)
    labels = None if batches[0].labels is None else torch.cat([_classes(batch) for batch in batches])
    measured = [
        Measured(
            sum(parameter.numel() for parameter in each.parameters()),
            flops(each, batches[0]).whole,
            None if labels is None else float((logits.argmax(dim=1) == labels).double().mean()),
            float((logits.argmax(dim=1) == own.argmax(dim=1)).double().mean()),
            time,
        )
        for each, logits, time in zip((network, smaller.network), (own, other), seconds, strict=True)
    ]
    removed = {layer.layer: len(layer.removed) for layer in smaller.layers}
    return Applied(removed, measured[0], measured[1], subject.held_out, len(own))


def _logits(network: nn.Module, batches: Iterable[Batch], options: RunOptions) -> Tensor:
    with fixed(network, options.threads):
        return torch.cat([forward(network, batch.inputs)[: batch.count].cpu() for batch in batches])


def _classes(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels.cpu()


def _seconds(networks: Sequence[nn.Module], batch: Batch, options: RunOptions) -> list[float]:
    """Median seconds of a batch, the networks taking turns."""
    spent: list[list[float]] = [[] for _ in networks]
    for _ in range(ROUNDS):
        for network, times in zip(networks, spent, strict=True):
            with fixed(network, options.threads):
                started = perf_counter()
                forward(network, batch.inputs)
                times.append(perf_counter() - started)
    return [median(times) for times in spent]
