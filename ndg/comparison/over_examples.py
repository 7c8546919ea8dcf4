"""How often an edge is found again when the examples are drawn anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison.edges import inside, keys, layer_pairs
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
    """Of `rounds` resamples of the examples, in how many each edge of a graph is found again: `times`, in its order.

    `others` counts, by resample, the implications found that are not edges of the graph; `possible` is how many
    implications there could be, None where only some pairs of layers were judged.
    """

    graph: NDG
    times: Int64[np.ndarray, " edge"]
    others: tuple[int, ...]
    possible: int | None
    rounds: int
    seed: int

    @property
    def share(self) -> Float64[np.ndarray, " edge"]:
        """The share of resamples in which each edge is found again."""
        return self.times / self.rounds

    @property
    def elsewhere(self) -> float | None:
        """The control: the mean share of implications that could be and are not edges of the graph."""
        left = None if self.possible is None else self.possible - len(self.times)
        return sum(self.others) / (left * self.rounds) if left else None

    def rows(self) -> list[Row]:
        """One row for all edges, then one per pair of layers: edges, mean share, interval, and how many are stable.

        The interval is the mean of the edges' Wilson bounds over resamples. `stable` edges are found in at least 95 %
        of them, `always` in all.
        """
        number, pairs = layer_pairs(keys(self.graph), self.graph.nodes)
        everything = np.ones(len(self.times), np.bool_)
        chosen = [(("all", "all"), everything), *((pair, number == place) for place, pair in enumerate(pairs))]
        return [self._row(*pair, which) for pair, which in chosen if which.any() or pair == ("all", "all")]

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
            "elsewhere": self.elsewhere if first == "all" else None,
            "rounds": self.rounds,
        }

    def edges_frame(self) -> pd.DataFrame:
        """The rows of `NDG.edges_frame` with the share of each edge and its Wilson interval over resamples."""
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
        """A sentence on how many edges are found again."""
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
    """How often each edge of the graph of `bits` is found again when the examples are drawn anew with replacement.

    Every resample is mined from scratch, constants and criterion included. The other arguments are those of `ndg.mine`.

    Raises ConfigError for fewer than one round.
    """
    if rounds < 1:
        raise ConfigError(f"a bootstrap draws the examples anew at least once; got {rounds} rounds")
    graph = discovery.mine(bits, criterion, alpha=alpha, **mining)
    own = keys(graph)
    times, others = np.zeros(len(own), np.int64), []
    for number in bar(range(rounds), "bootstraps", unit="round"):
        drawn = take(bits, bootstrapped(seed, number, bits.examples))
        again = keys(discovery.mine(drawn, criterion, alpha=alpha, **mining))
        found = inside(own, again)
        times += found
        others.append(len(again) - int(found.sum()))
    return Bootstrap(graph, times, tuple(others), all_possible(graph), rounds, seed)
