"""Sums over compute batches for scores that are a mean over examples, by any executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ndg.activations.batches import Batch, fixed
from ndg.gradients.tape import Tape
from ndg.importance.settings import Settings, merged, passes
from ndg.interventions.baselines import Neutrals
from ndg.run_study import run_study

ByLayer = dict[str, dict[str, Tensor]]
"""Tensors by name and layer."""


@dataclass(frozen=True, eq=False)
class BatchSums:
    """Sums over examples, by name and layer, with numbers of examples, of passes, and of the network's logits."""

    sums: ByLayer
    examples: int
    forwards: int = 1
    backwards: int = 0
    logits: int = 0

    def __add__(self, other: BatchSums) -> BatchSums:
        return BatchSums(
            {name: merged(self.sums[name], other.sums[name]) for name in self.sums},
            self.examples + other.examples,
            self.forwards + other.forwards,
            self.backwards + other.backwards,
            self.logits,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_dict`."""
        lists = {name: {layer: total.tolist() for layer, total in part.items()} for name, part in self.sums.items()}
        names = ("examples", "forwards", "backwards", "logits")
        return {"sums": lists, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> BatchSums:
        sums = {
            name: {layer: torch.tensor(total, dtype=torch.float64) for layer, total in part.items()}
            for name, part in document["sums"].items()
        }
        return cls(**{**document, "sums": sums})

    def mean(self, name: str, layer: str) -> Any:
        """Mean over the examples, as an array."""
        return (self.sums[name][layer] / self.examples).numpy()


@dataclass(frozen=True, eq=False)
class BatchStudy:
    """A score whose `work(study, tape, batch)` gives sums over one batch; `neutrals` where it has a baseline."""

    work: Callable[[Any, Tape, Batch], BatchSums]
    model: nn.Module
    layers: tuple[str, ...]
    settings: Settings
    neutrals: Neutrals | None = None
    grad: bool = True

    decode = staticmethod(BatchSums.from_dict)

    @property
    def identity(self) -> Any:
        return self.work.__module__, self.layers, self.settings.identity

    def with_model(self, model: nn.Module) -> BatchStudy:
        return replace(self, model=model)

    def run(self, batch: Batch) -> BatchSums:
        """Sums over the examples of one batch."""
        with (
            torch.inference_mode(False),
            fixed(self.model, self.settings.options.threads, grad=self.grad),
            Tape(self.model, self.layers, each=self.settings.each_position) as tape,
        ):
            sums = self.work(self, tape, batch)
        on_cpu = {name: {layer: one.detach().cpu() for layer, one in part.items()} for name, part in sums.sums.items()}
        return replace(sums, sums=on_cpu)

    def total(self, loader: Iterable[Any], label: str) -> BatchSums:
        """Sums over all examples."""
        return run_study(self, passes(loader, self.settings, label), label, self.settings.options).total
