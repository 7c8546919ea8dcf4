"""Stability of edges over bootstraps of the examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison.edges import ALL, by_layers, inside, keys
from ndg.comparison.resampling import bootstrapped, take
from ndg.comparison.sections import all_possible
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.mining.miner import Rule
from ndg.progress import bar
from ndg.results import Result, Row, mean

if TYPE_CHECKING:
    import pandas as pd

STABLE = 0.95


@dataclass(frozen=True, eq=False)
class Bootstrap(Result):
    """`times` that each edge of a graph recurs in `rounds` resamples.

    `others` counts each resample's implications that are no edges of the graph. `possible` counts all possible
    implications; None where only some pairs of layers were judged.
    """

    graph: NDG
    times: Int64[np.ndarray, " edge"]
    others: tuple[int, ...]
    possible: int | None
    rounds: int
    seed: int

    @property
    def share(self) -> Float64[np.ndarray, " edge"]:
        """Share of resamples that contain each edge."""
        return self.times / self.rounds

    @property
    def elsewhere(self) -> float | None:
        """Control: mean share of resamples that contain a possible non-edge."""
        left = None if self.possible is None else self.possible - len(self.times)
        return sum(self.others) / (left * self.rounds) if left else None

    def rows(self) -> list[Row]:
        """One row for all edges, then one per pair of layers.

        The interval is the mean of the edges' Wilson bounds. `stable` edges recur in at least 95 % of the resamples.
        """
        return [self._row(*pair, which) for _, pair, which in by_layers(keys(self.graph), self.graph.nodes)]

    def _row(self, first: str, second: str, which: Bool[np.ndarray, " edge"]) -> Row:
        times = self.times[which]
        low, high = wilson(times, np.full(len(times), self.rounds))
        return {
            "first": first,
            "second": second,
            "edges": len(times),
            "share": mean(times / self.rounds),
            "low": mean(low),
            "high": mean(high),
            "stable": int((times >= STABLE * self.rounds).sum()),
            "always": int((times == self.rounds).sum()),
            "elsewhere": self.elsewhere if first == ALL else None,
            "rounds": self.rounds,
        }

    def edges_frame(self) -> pd.DataFrame:
        """`NDG.edges_frame` with each edge's share and Wilson interval over resamples."""
        low, high = wilson(self.times, np.full(len(self.times), self.rounds))
        return self.graph.edges_frame().assign(
            times=self.times, share=self.share, share_low=low, share_high=high, rounds=self.rounds
        )

    def context(self) -> Row:
        return {
            "graph": self.graph.digest,
            "criterion": self.graph.criterion,
            "examples": self.graph.examples,
            "rounds": self.rounds,
            "others_mean": sum(self.others) / self.rounds,
            "seed": self.seed,
        }

    def words(self) -> str:
        """The number of edges that recur, in one sentence."""
        row = self.rows()[0]
        if not row["edges"]:
            return "The graph has no edge."
        chance = "" if row["elsewhere"] is None else f"; implications that are no edges: {row['elsewhere']:.3g}"
        return (
            f"{row['stable']:,} of {row['edges']:,} edges are found again in at least {STABLE:.0%} of {self.rounds:,} "
            f"bootstraps; mean share {row['share']:.3f} [{row['low']:.3f}, {row['high']:.3f}]{chance}."
        )


def bootstrap(
    bits: BitMatrix,
    criterion: Rule = "paper",
    alpha: float | int = 20.0,
    *,
    rounds: int = 100,
    seed: int = 0,
    **mining: Any,
) -> Bootstrap:
    """Stability of edges when the examples are resampled with replacement.

    Every resample is mined anew; `mining` are arguments of `ndg.mine`. Raises ConfigError for fewer than one round.
    """
    if rounds < 1:
        raise ConfigError(f"a bootstrap resamples the examples at least once; got {rounds} rounds")
    mining |= {"criterion": criterion, "alpha": alpha}
    graph = discovery.mine(bits, **mining)
    own = keys(graph)
    times, others = np.zeros(len(own), np.int64), []
    for number in bar(range(rounds), "bootstraps", unit="round"):
        drawn = take(bits, bootstrapped(seed, number, bits.examples))
        again = keys(discovery.mine(drawn, **mining))
        recurs = inside(own, again)
        times += recurs
        others.append(len(again) - int(recurs.sum()))
    return Bootstrap(graph, times, tuple(others), all_possible(graph), rounds, seed)
