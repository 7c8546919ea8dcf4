"""Sums over examples, and studies that add them up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ndg.activations.batches import Batch, fixed
from ndg.gradients.tape import Tape
from ndg.importance.settings import Layers, Loader, Settings, merged, passes
from ndg.interventions.baselines import Neutrals
from ndg.run_study import run_study


@dataclass(frozen=True, eq=False)
class Sums:
    """Float64 sums by name and layer, and counts; both add."""

    sums: dict[str, dict[str, Tensor]]
    counts: dict[str, int]

    def __add__(self, other: Sums) -> Sums:
        sums = {name: merged(part, other.sums[name]) for name, part in self.sums.items()}
        return Sums(sums, merged(self.counts, other.counts))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_dict`."""
        return {"sums": tree_map(Tensor.tolist, self.sums), "counts": self.counts}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Sums:
        double = partial(torch.tensor, dtype=torch.float64)
        return cls(tree_map(double, document["sums"], is_leaf=lambda part: isinstance(part, list)), document["counts"])

    @property
    def examples(self) -> int:
        return self.counts["examples"]

    def means(self, name: str) -> dict[str, Any]:
        """Means over the examples, as one array per layer."""
        return {layer: (total / self.examples).numpy() for layer, total in self.sums[name].items()}

    def facts(self, settings: Settings, neutral_passes: int = 0) -> dict[str, int]:
        """Rows of a compute batch, and passes of the network."""
        return {
            "batch": settings.options.batch,
            "forward_passes": self.counts["forwards"] * (1 + neutral_passes),
            "backward_passes": self.counts.get("backwards", 0),
        }


def read_neutrals(model: nn.Module, loader: Loader, layers: Layers, settings: Settings) -> Neutrals:
    """Neutral states of layers; a mean is over the examples."""
    run = settings.options
    with torch.no_grad(), Tape(model, layers, each=settings.each_position) as tape:
        return Neutrals.read(tape, loader, layers, settings.baselines, run.batch, run.seed)


@dataclass(frozen=True, eq=False)
class ScoreStudy:
    """A network, its scored layers, and the settings."""

    model: nn.Module
    layers: Layers
    settings: Settings

    @property
    def identity(self) -> Any:
        return self.layers, self.settings.identity

    def with_model(self, model: nn.Module) -> Any:
        return replace(self, model=model)


@dataclass(frozen=True, eq=False)
class Task:
    """Some units or pairs of orders of a layer, on one batch."""

    batch: Batch
    layer: str
    part: range


@dataclass(frozen=True, eq=False)
class BatchStudy(ScoreStudy):
    """A score whose `work(study, tape, batch)` gives sums over one batch."""

    work: Callable[[Any, Tape, Batch], Sums]
    neutrals: Neutrals | None = None
    grad: bool = True

    decode = staticmethod(Sums.from_dict)

    @property
    def identity(self) -> Any:
        return self.work.__module__, *super().identity

    def run(self, batch: Batch) -> Sums:
        """Sums over the examples of one batch."""
        with (
            torch.inference_mode(False),
            fixed(self.model, self.settings.options.threads, grad=self.grad),
            Tape(self.model, self.layers, each=self.settings.each_position) as tape,
        ):
            result = self.work(self, tape, batch)
        sums = tree_map(lambda total: total.detach().cpu(), result.sums)
        return Sums(sums, {"examples": batch.count, "forwards": 1, **result.counts})

    def total(self, loader: Loader, label: str) -> Sums:
        """Sums over all examples."""
        return run_study(self, passes(loader, self.settings, label), label, self.settings.options).total
