"""Study that forces sets of units and counts what a later literal does.

Each set has its own target. Its rows are the examples on which the target literal was false, so that a base rate cannot
pass for an effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ndg.activations.batches import Batch
from ndg.interventions.passes import BaselinePass, PassesStudy, argmax, node_values
from ndg.interventions.substitution import Substitution, Writing
from ndg.literal import Literal
from ndg.nodes import LABEL

Chosen = Bool[np.ndarray, "set unit"]
Tally = Int64[np.ndarray, "set count"]


@dataclass(frozen=True, eq=False)
class ForcedCounts:
    """Counts of each set: examples with a false target, and those on which it is true afterwards.

    `margin` is the sum over these examples of the logarithm of the sigmoid of the target label's lead; 0 of targets
    that are no label.
    """

    counts: Tally
    margin: Float64[np.ndarray, " set"]

    def __add__(self, other: ForcedCounts) -> ForcedCounts:
        return ForcedCounts(self.counts + other.counts, self.margin + other.margin)

    @property
    def n(self) -> Int64[np.ndarray, " set"]:
        return self.counts[:, 0]

    @property
    def turned(self) -> Int64[np.ndarray, " set"]:
        return self.counts[:, 1]

    @property
    def share(self) -> Float64[np.ndarray, " set"]:
        """Share of these examples on which the target is true afterwards.

        NaN of none.
        """
        with np.errstate(invalid="ignore"):
            return self.turned / self.n


@dataclass(frozen=True, eq=False)
class ForcedSets(PassesStudy):
    """Sets of one layer's units with booleans, and their target literals."""

    writing: Writing
    targets: tuple[Literal, ...]
    chosen: Chosen
    booleans: Chosen

    def of(self, targets: Sequence[Literal], chosen: Chosen, booleans: Chosen) -> ForcedSets:
        """The same study of other sets."""
        return replace(self, targets=tuple(targets), chosen=chosen, booleans=booleans)

    def run(self, batch: Batch) -> ForcedCounts:
        """Counts of every set on one compute batch."""
        known = self.passes.baseline(batch)
        before = node_values(self.passes.nodes, known.predicted, known.bits)
        counts, margin = np.zeros((len(self.targets), 2), np.int64), np.zeros(len(self.targets))
        for number, target in enumerate(self.targets):
            rows = np.flatnonzero(before[:, target.node] != target.value)
            if len(rows):
                after, lead = self._forced(known, number, target, rows)
                counts[number] = len(rows), after
                margin[number] = lead
        return ForcedCounts(counts, margin)

    def _forced(self, known: BaselinePass, number: int, target: Literal, rows: np.ndarray) -> tuple[int, float]:
        (layer,) = self.passes.changed
        booleans, chosen = (np.repeat(part[number][None], len(rows), axis=0) for part in (self.booleans, self.chosen))
        change = Substitution(self.writing, known, layer, booleans, chosen, rows).write
        is_label = target.node < self.passes.nodes.labels
        read = [] if is_label else [self._layers[target.node]]
        logits, bits = self.passes.run(known, {layer: change}, read, rows)
        if is_label:
            on = argmax(logits) == target.node
            return int((on == target.value).sum()), _log_margin(logits, target.node)
        where = self.passes.nodes.slice(read[0])
        return int((bits[read[0]][:, target.node - where.start] == target.value).sum()), 0.0

    @cached_property
    def _layers(self) -> list[str]:
        """The layer of each node."""
        nodes = self.passes.nodes
        return [LABEL] * nodes.labels + [layer.name for layer in nodes.layers for _ in range(layer.units)]


def _log_margin(logits: Tensor, label: int) -> float:
    others = logits.double().clone()
    others[:, label] = -torch.inf
    lead = logits[:, label].double() - others.amax(dim=1)
    return float(torch.nn.functional.logsigmoid(lead).sum())
