"""Effects of forcing one unit off and on, by two passes each.

They are what factorial effects estimate from far fewer passes, and they say whether a vote has the right sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from torch import nn

from ndg.activations.batches import Batch
from ndg.activations.sampling import subset
from ndg.causal.factorial import Effects, later_nodes
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.graph.votes import Votes
from ndg.intervals import wilson
from ndg.interventions import substitution
from ndg.interventions.passes import Passes, PassesStudy, argmax, node_values
from ndg.interventions.substitution import Substitution, Writing
from ndg.options import RunOptions, plain_numbers
from ndg.results import Result, Row
from ndg.run_study import placed, run_batches

EXAMPLES = 1024


@dataclass(frozen=True)
class ForcingSettings:
    """What is forced.

    units     units of the layer; None: all
    values    what is written: "boolean", "mean", "resample" or "auto" (see `ndg.interventions.substitution`)
    examples  examples, drawn by the seed

    Raises ConfigError for fewer than one example.
    """

    units: Sequence[int] | None = None
    values: str = "auto"
    examples: int = EXAMPLES

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.examples < 1:
            raise ConfigError(f"units are forced on at least 1 example; got examples={self.examples}")


@dataclass(frozen=True, eq=False)
class ForcedTotals:
    """Sums over examples with each unit off and on.

    They are of later nodes that are on, and of logits less their mean.
    """

    on: Int64[np.ndarray, "unit 2 node"]
    logits: Float64[np.ndarray, "unit 2 label"]
    n: int

    def __add__(self, other: ForcedTotals) -> ForcedTotals:
        return ForcedTotals(self.on + other.on, self.logits + other.logits, self.n + other.n)


@dataclass(frozen=True, eq=False)
class Forcing(PassesStudy):
    """Study that forces each of some units off and on."""

    writing: Writing
    units: tuple[int, ...]

    def run(self, batch: Batch) -> ForcedTotals:
        """Sums of one compute batch."""
        known = self.passes.baseline(batch)
        (layer,) = self.passes.changed
        nodes, layers = self.passes.nodes, tuple(self.passes.thresholds)
        later = later_nodes(nodes, layer)
        on = np.zeros((len(self.units), 2, len(later)), np.int64)
        logits = np.zeros((len(self.units), 2, nodes.labels))
        for place, unit in enumerate(self.units):
            chosen = np.zeros((batch.count, known.neurons[layer].units), np.bool_)
            chosen[:, unit] = True
            for value in (0, 1):
                write = Substitution(self.writing, known, layer, chosen & bool(value), chosen).write
                after, bits = self.passes.run(known, {layer: write}, layers)
                after = after[: batch.count]
                on[place, value] = node_values(nodes, argmax(after), bits)[:, later].sum(axis=0)
                exact = after.double()
                logits[place, value] = (exact - exact.mean(dim=1, keepdim=True)).sum(dim=0).cpu().numpy()
        return ForcedTotals(on, logits, batch.count)


@dataclass(frozen=True, eq=False)
class ForcedEffects(Result):
    """Effect of forcing each unit on rather than off, over `n` examples.

    `effect` is the difference of the rate of each later node, `[unit, node]`; `logits` that of each logit less the mean
    of all logits, `[unit, label]`. `factorial` are the factorial effects on the same pairs.
    """

    layer: str
    units: tuple[int, ...]
    later: tuple[str, ...]
    effect: Float64[np.ndarray, "unit node"]
    logits: Float64[np.ndarray, "unit label"]
    factorial: Float64[np.ndarray, "unit node"]
    n: int

    @property
    def correlation(self) -> float | None:
        """Pearson correlation with the factorial effects.

        None where one of them does not vary.
        """
        both = ~np.isnan(self.factorial)
        first, second = self.effect[both], self.factorial[both]
        if len(first) < 3 or not first.std() or not second.std():
            return None
        return float(np.corrcoef(first, second)[0, 1])

    def rows(self) -> list[Row]:
        return [
            {
                "unit": f"{self.layer}:{unit}",
                "node": node,
                "forced": float(self.effect[row, column]),
                "factorial": None if np.isnan(self.factorial[row, column]) else float(self.factorial[row, column]),
            }
            for row, unit in enumerate(self.units)
            for column, node in enumerate(self.later)
        ]

    def context(self) -> Row:
        return {"layer": self.layer, "n": self.n, "correlation": self.correlation}

    def words(self) -> str:
        if self.correlation is None:
            return f"Effects of forcing {len(self.units)} units of {self.layer} over {self.n:,} examples."
        return (
            f"Factorial effects of {len(self.units)} units of {self.layer} go with the effects of forcing them: "
            f"correlation {self.correlation:.2f} over {int((~np.isnan(self.factorial)).sum()):,} pairs "
            f"(n = {self.n:,} examples)."
        )

    def sign_survival(self, votes: Votes, share: float | int = 0.5) -> tuple[int, int, float, float]:
        """Votes with the sign of their effect: right, of so many, 95 % interval (Wilson).

        Only the strongest `share` of the votes of the forced units count. An effect of 0 counts as wrong.
        """
        weights = votes.weights[:, list(self.units)]
        labels, places = np.nonzero(weights)
        strength = weights[labels, places]
        kept = np.argsort(-np.abs(strength), kind="stable")[: max(round(share * len(strength)), 1)]
        right = int((np.sign(strength[kept]) == np.sign(self.logits[places[kept], labels[kept]])).sum())
        low, high = wilson(right, len(kept))
        return right, len(kept), float(low), float(high)


def forced_effects(
    model: nn.Module,
    graph: NDG,
    fit: Iterable[Any],
    loader: Iterable[Any],
    effects: Effects,
    *,
    settings: ForcingSettings = ForcingSettings(),
    options: RunOptions = RunOptions(),
) -> ForcedEffects:
    """Effects of forcing units of `effects.layer` on examples of `loader`.

    `graph` gives thresholds and later layers; the values that are written come from the examples of `fit`. Raises
    GraphError for a graph of another network.
    """
    model, layer = placed(model, options), effects.layer
    writing = substitution.fit(settings.values, model, graph, fit, [layer], options=options)
    passes = Passes.of(model, graph, [layer], options.threads)
    where = graph.nodes.slice(layer)
    units = range(where.stop - where.start) if settings.units is None else settings.units
    chosen = tuple(int(unit) for unit in units)
    some = subset(loader, settings.examples, options.seed)
    total: ForcedTotals = run_batches(Forcing(passes, writing, chosen), some, "force units", options).total
    difference = (total.on[:, 1] - total.on[:, 0]) / total.n
    logits = (total.logits[:, 1] - total.logits[:, 0]) / total.n
    later = tuple(graph.nodes.name(int(node)) for node in later_nodes(graph.nodes, layer))
    columns = {name: column for column, name in enumerate(effects.later)}
    known = np.full(difference.shape, np.nan)
    for column, name in enumerate(later):
        if name in columns:
            known[:, column] = effects.effect[list(chosen), columns[name]]
    return ForcedEffects(layer, chosen, later, difference, logits, known, total.n)
