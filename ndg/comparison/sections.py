"""Edge precision on held-out examples, by the parts that edges join.

Precision is the mean over edges, as in Table 3 of Hu & Tian 2022. Its interval is the mean of the edges' own Wilson
bounds, which is wide enough for any dependence between edges.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.bits.matrix import BitMatrix
from ndg.graph.edges import EdgeCounts, mined, mutual
from ndg.graph.evaluate import count_edges
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.mining.pairs import candidates
from ndg.nodes import NodeSpace
from ndg.results import mean

Parts = Int64[np.ndarray, " node"]


@dataclass(frozen=True)
class EdgeFigures:
    """Counts and mean precision of some edges.

    An implication and its contrapositive count as two. `equivalent` edges hold in both directions. `possible` counts
    the possible edges between nodes that vary; None where not all were judged. `precision` is the mean over the
    `judged` edges whose antecedent occurs among the held-out `examples`; `chance` is the frequency of their
    consequents. `occurrences` counts the antecedents of all judged edges, `exceptions` those without the consequent.
    """

    edges: int
    equivalent: int
    possible: int | None
    mined_precision: float | None
    judged: int
    precision: float | None
    low: float | None
    high: float | None
    chance: float | None
    occurrences: int
    exceptions: int
    examples: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def words(self) -> str:
        """Mean precision with its interval, n and chance."""
        if self.precision is None:
            return "no edge to judge"
        return (
            f"precision {self.precision:.3f} [{self.low:.3f}, {self.high:.3f}] over {self.judged:,} edges and "
            f"{self.examples:,} examples (chance {self.chance:.3f})"
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """Counts of each implication on mined and held-out examples."""

    mined: EdgeCounts
    held: EdgeCounts
    mutual: Bool[np.ndarray, " edge"]

    @classmethod
    def of(cls, graph: NDG, held_out: BitMatrix, any_thresholds: bool = False) -> Judged:
        """Counts of a graph.

        ShapeError for other nodes or, by default, thresholds.
        """
        implications = graph.implications
        held = count_edges(implications, held_out, any_thresholds)
        return cls(mined(implications), held, mutual(implications))

    def figures(self, chosen: Bool[np.ndarray, " edge"] | None = None, possible: int | None = None) -> EdgeFigures:
        """Figures of the chosen edges, or of all."""
        own, held = self.mined, self.held
        chosen = np.ones(len(self.mutual), np.bool_) if chosen is None else chosen
        judged = chosen & (held.antecedent > 0)
        low, high = wilson(held.support[judged], held.antecedent[judged])
        prior = held.consequent[judged] / max(held.examples, 1)
        return EdgeFigures(
            edges=int(chosen.sum()),
            equivalent=int(self.mutual[chosen].sum()),
            possible=possible,
            mined_precision=mean(own.precision[chosen & (own.antecedent > 0)]) if own.examples else None,
            judged=int(judged.sum()),
            precision=mean(held.precision[judged]),
            low=mean(low),
            high=mean(high),
            chance=mean(prior),
            occurrences=int(held.antecedent[judged].sum()),
            exceptions=int(held.exceptions[judged].sum()),
            examples=held.examples,
        )


@dataclass(frozen=True)
class Section:
    """Edges between two parts or within one, beside independent nodes (`shuffled`)."""

    first: str
    second: str
    figures: EdgeFigures
    shuffled: int | None = None

    def row(self) -> dict[str, Any]:
        figures = self.figures.to_dict()
        head = {
            "first": self.first,
            "second": self.second,
            "where": "within" if self.first == self.second else "between",
        }
        return head | {"edges": figures.pop("edges"), "edges_shuffled": self.shuffled} | figures


def sections(
    graph: NDG, held_out: BitMatrix, parts: Parts, names: tuple[str, ...], shuffled: NDG | None = None
) -> tuple[Section, ...]:
    """Edges of a graph by the pair of parts that they join.

    `parts` holds the number of each node's part, `shuffled` the graph of independent nodes.
    """
    counts, size = Judged.of(graph, held_out), len(names)
    numbers, possible = pair_numbers(graph, parts, size), possible_edges(graph, parts, size)
    chance = None if shuffled is None else np.bincount(pair_numbers(shuffled, parts, size), minlength=size**2)
    rows = []
    for i, j in combinations_with_replacement(range(size), 2):
        number = i * size + j
        figures = counts.figures(numbers == number, None if possible is None else int(possible[i, j]))
        rows.append(Section(names[i], names[j], figures, None if chance is None else int(chance[number])))
    return tuple(rows)


def groups_of(nodes: NodeSpace) -> tuple[Parts, tuple[str, ...]]:
    """Part number of each node (labels, layers, concepts), and their names."""
    parts = np.zeros(len(nodes), np.int64)
    for number, (_, where) in enumerate(nodes.groups):
        parts[where] = number
    return parts, tuple(name for name, _ in nodes.groups)


def label_edges(graph: NDG) -> int:
    """Number of implications that name a label."""
    edges, labels = graph.implications, graph.nodes.labels
    return int(np.count_nonzero((edges.antecedents >> 1 < labels) | (edges.consequents >> 1 < labels)))


def pair_numbers(graph: NDG, parts: Parts, size: int) -> Int64[np.ndarray, " edge"]:
    """Pair of parts of each edge, as `smaller * size + larger`."""
    tails, heads = parts[graph.implications.antecedents >> 1], parts[graph.implications.consequents >> 1]
    return np.minimum(tails, heads) * size + np.maximum(tails, heads)


def possible_edges(graph: NDG, parts: Parts, size: int) -> Int64[np.ndarray, "part part"] | None:
    """Possible implications between parts; None if only some pairs were mined.

    A pair of nodes has eight. Pairs of labels and pairs of concepts are not judged.
    """
    among = candidates(graph.nodes, graph.implications.on, max(graph.examples, 1))
    if not graph.examples or among.tests != graph.implications.tests:
        return None
    cells = np.zeros((size, len(among.observed)), np.int64)
    np.add.at(cells, (parts[among.varies], among.group[among.varies]), 1)
    total, seen = cells.sum(axis=1), cells[:, among.observed]
    between = total[:, None] * total[None, :] - seen @ seen.T
    within = total * (total - 1) // 2 - (seen * (seen - 1) // 2).sum(axis=1)
    return 8 * np.where(np.eye(size, dtype=np.bool_), within, between)


def all_possible(graph: NDG) -> int | None:
    """Possible implications of a graph.

    None if only some pairs were mined.
    """
    possible = possible_edges(graph, np.zeros(len(graph.nodes), np.int64), 1)
    return None if possible is None else int(possible[0, 0])
