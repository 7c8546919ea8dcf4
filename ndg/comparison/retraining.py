"""Stability of edges over several trainings of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int64
from torch import nn

from ndg import discovery, extraction
from ndg.comparison.edges import Keys, edge_texts, inside, shuffled, translated
from ndg.comparison.edges import keys as edge_keys
from ndg.comparison.inputs import Unlabelled
from ndg.comparison.units import Matching, match_units
from ndg.errors import ConfigError
from ndg.extraction import ReadingSettings
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.nodes import NodeSpace
from ndg.options import RunOptions, old_keywords
from ndg.results import Result, Row

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class OverTrainings(Result):
    """Edges of any training and the number of trainings that have them.

    Edges are in terms of the nodes of the first training, and `first` marks its edges. `shuffled` is the mean number of
    edges in exactly 1, 2, ... trainings when the units of all others are shuffled within layers, `control` that number
    when these are re-initialised networks, matched alike. `unmatched` counts edges with a node without partner.
    """

    nodes: NodeSpace
    keys: Keys
    times: Int64[np.ndarray, " edge"]
    first: Bool[np.ndarray, " edge"]
    shuffled: tuple[float, ...] | None
    trainings: int
    unmatched: tuple[int, ...]
    rounds: int
    seed: int
    control: tuple[int, ...] | None = None

    def rows(self) -> list[Row]:
        """One row per number of trainings that share edges."""
        unknown = [None] * self.trainings
        counts, first = (_counts(times, self.trainings) for times in (self.times, self.times[self.first]))
        columns = zip(counts, first, self.shuffled or unknown, self.control or unknown, strict=True)
        names = ("edges", "edges_of_first", "edges_shuffled", "edges_control")
        return [
            {"trainings": number, "of": self.trainings, **dict(zip(names, row, strict=True))}
            for number, row in enumerate(columns, 1)
        ]

    def edges_frame(self) -> pd.DataFrame:
        """One row per edge, with its share of trainings and interval."""
        import pandas as pd

        low, high = wilson(self.times, np.full(len(self.times), self.trainings))
        return pd.DataFrame(
            {
                **edge_texts(self.keys, self.nodes),
                "in_first": self.first,
                "times": self.times,
                "share": self.times / self.trainings,
                "low": low,
                "high": high,
                "trainings": self.trainings,
            }
        )

    def context(self) -> Row:
        return {
            "trainings": self.trainings,
            "edges": len(self.keys),
            "unmatched": list(self.unmatched),
            "rounds": self.rounds,
            "seed": self.seed,
        }

    def words(self) -> str:
        """The number of edges that all trainings share, in one sentence."""
        last = self.rows()[-1]
        shuffled = last["edges_shuffled"]
        chance = "" if shuffled is None else f" (units shuffled within layers: {shuffled:,.1f})"
        if self.control is not None:
            chance += f"; with re-initialised networks, matched alike, in the place of all others: {self.control[-1]:,}"
        return (
            f"{last['edges']:,} of the {int(self.first.sum()):,} edges of the first training are in all "
            f"{self.trainings} trainings{chance}."
        )


@old_keywords(settings=ReadingSettings, options=RunOptions)
def trainings(
    models: Sequence[nn.Module],
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    at_least: float | int = 0.0,
    settings: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
    mining: Mapping[str, Any] | None = None,
) -> tuple[list[NDG], list[Matching]]:
    """Graphs of several trainings, and matchings with the first.

    `at_least` is as in `match_units`, `mining` as in `ndg.mine`. DataError for a loader that shuffles or is read once.
    """
    inputs, paths = Unlabelled(loader), None if layers is None else list(layers)
    bits = [extraction.extract(model, inputs, paths, settings=settings, options=options) for model in models]
    graphs = [discovery.mine(matrix, **(mining or {})) for matrix in bits]
    return graphs, [match_units(bits[0], other, at_least=at_least, seed=options.seed) for other in bits[1:]]


def over_trainings(
    graphs: Sequence[NDG],
    matches: Sequence[Matching] | None = None,
    *,
    controls: Sequence[NDG] | None = None,
    control_matches: Sequence[Matching] | None = None,
    rounds: int = 100,
    seed: int = 0,
) -> OverTrainings:
    """Number of trainings that have each edge, after matching units.

    `matches` holds `match_units(first, other)` for each graph but the first; without it, units correspond by number.
    The control shuffles units `rounds` times; `controls` are graphs of re-initialised networks, with `control_matches`.
    Raises ConfigError for fewer than two graphs or another number of matchings, GraphError for those of other nodes.
    """
    if len(graphs) < 2 or (matches is not None and len(matches) != len(graphs) - 1):
        raise ConfigError(
            "edges are compared over at least two trainings, with one matching for each but the first; got "
            f"{len(graphs)} graphs and {'none' if matches is None else len(matches)} matchings"
        )
    if rounds < 0:
        raise ConfigError(f"rounds must be at least 0; got {rounds}")
    nodes = graphs[0].nodes
    pairs: list[Matching | None] = [None] * (len(graphs) - 1) if matches is None else list(matches)
    others = [translated(graph, nodes, match) for graph, match in zip(graphs[1:], pairs, strict=True)]
    each = [edge_keys(graphs[0]), *(other.keys for other in others)]
    keys, times = np.unique(np.concatenate(each), return_counts=True)
    drawn = np.zeros(len(graphs), np.int64)
    for turn in range(rounds):
        anew = [each[0], *(shuffled(edges, nodes, seed, "trainings", turn, i) for i, edges in enumerate(each[1:]))]
        counts = np.unique(np.concatenate(anew), return_counts=True)[1]
        drawn += _counts(counts, len(graphs))
    return OverTrainings(
        nodes=nodes,
        keys=keys,
        times=times.astype(np.int64),
        first=inside(keys, each[0]),
        shuffled=tuple((drawn / rounds).tolist()) if rounds else None,
        trainings=len(graphs),
        unmatched=(0, *(other.unmatched for other in others)),
        rounds=rounds,
        seed=seed,
        control=None if controls is None else _control([graphs[0], *controls], control_matches, len(graphs)),
    )


def _control(graphs: Sequence[NDG], matches: Sequence[Matching] | None, size: int) -> tuple[int, ...]:
    """Number of edges in exactly 1, 2, ... graphs."""
    if len(graphs) != size:
        raise ConfigError(
            f"controls replace all trainings but the first, one for each; expected {size - 1}, got {len(graphs) - 1}"
        )
    return _counts(over_trainings(graphs, matches, rounds=0).times, size)


def _counts(times: Int64[np.ndarray, " edge"], size: int) -> tuple[int, ...]:
    """Number of edges that occur exactly 1, 2, ... times."""
    return tuple(np.bincount(times, minlength=size + 1)[1:].tolist())
