"""Result of a compression: the smaller network, its sizes and figures, and why each unit went."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from ndg.activations.batches import Inputs
from ndg.compression.explain import Explained
from ndg.compression.saving import save
from ndg.intervals import rate
from ndg.results import Result, Row


@dataclass(frozen=True)
class Figures:
    """Size of a network, its agreement with the original and the R^2 of the original's logits."""

    parameters: int
    flops: float
    agreement: float
    r2: float | None


@dataclass(frozen=True)
class LayerSizes:
    """Units of one layer that stay and that went, in the order of their removal.

    `error` is the squared error of the next pre-activations after all removals, over their variance.
    """

    layer: str
    kind: str
    units: int
    kept: tuple[int, ...]
    removed: tuple[int, ...]
    error: float


@dataclass(frozen=True, eq=False)
class Compression(Result):
    """A smaller network and how it came about.

    `network` is a plain module of torch. `stages` has the figures of the original, without repair, compressed and
    distilled; agreement and R^2 are over `validation` examples of the training split. `removed` says of each unit why
    it could go; `refused` has the reason for each layer whose units cannot be removed exactly; `graph` the digest, run
    and layers of the graph that labels the units of these layers, None without one.

    >>> smaller = ndg.compress(net, data, units=0.5)
    >>> smaller.network
    Sequential(
      (0): Linear(in_features=6, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=3, bias=True)
    )
    >>> len(smaller.removed)
    4
    """

    network: nn.Module
    method: str
    budget: dict[str, Any]
    layers: tuple[LayerSizes, ...]
    stages: dict[str, Figures]
    removed: tuple[Explained, ...]
    refused: dict[str, str]
    validation: int
    inputs: Inputs
    graph: dict[str, Any] | None = None

    @property
    def figures(self) -> Figures:
        """Figures of `network`."""
        return self.stages.get("distilled", self.stages["compressed"])

    @property
    def sizes(self) -> dict[str, int]:
        """Units that stay, by layer."""
        return {layer.layer: len(layer.kept) for layer in self.layers}

    def rows(self) -> list[Row]:
        """One row per layer: units before and after, error, reasons."""
        reasons = {layer.layer: Counter[str]() for layer in self.layers}
        for unit in self.removed:
            reasons[unit.layer][unit.label.removeprefix("negated ")] += 1
        return [
            {
                "layer": layer.layer,
                "kind": layer.kind,
                "units": layer.units,
                "kept": len(layer.kept),
                "error": layer.error,
                **{label: reasons[layer.layer][label] for label in ("off", "constant", "equivalent", "redundant")},
            }
            for layer in self.layers
        ]

    def explain(self) -> pd.DataFrame:
        """One row per removed unit: its reason, and units that replace it."""
        return pd.DataFrame([unit.row() for unit in self.removed])

    def context(self) -> Row:
        return {
            "method": self.method,
            "budget": self.budget,
            "validation": self.validation,
            "graph": self.graph,
            "stages": {name: asdict(figures) for name, figures in self.stages.items()},
            "refused": [{"layer": layer, "reason": reason} for layer, reason in self.refused.items()],
            "removed": [unit.row() for unit in self.removed],
        }

    def words(self) -> str:
        """Sizes, agreement with its interval, and the same without repair."""
        before, after = self.stages["original"], self.figures
        total, left = sum(layer.units for layer in self.layers), sum(self.sizes.values())
        interval = rate("agreement", round(after.agreement * self.validation), self.validation)
        plain = self.stages.get("without repair")
        beside = "" if plain is None else f", {plain.agreement:.4f} without repair"
        r2 = "undefined" if after.r2 is None else f"{after.r2:.4f}"
        return (
            f"{total - left} of {total} units removed by {self.method}: predictions agree on {after.agreement:.4f} "
            f"[{interval['agreement_low']:.4f}, {interval['agreement_high']:.4f}] of {self.validation} validation "
            f"examples{beside}; R^2 of the logits {r2}; parameters {after.parameters:,} of {before.parameters:,}, "
            f"FLOPs {after.flops / before.flops:.3f} of the original."
        )

    def save(self, folder: str | Path) -> Path:
        """Write the network so that it runs without this toolkit.

        Return the folder.

        `network.pt2` is a program of torch.export, `weights.safetensors` the state dict, `compression.json` this
        result. Raises OutputError if the folder cannot be written.
        """
        return save(self.network, self.inputs, self.to_dict(), Path(folder))
