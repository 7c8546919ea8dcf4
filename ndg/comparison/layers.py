"""Two or more layers of one network in one graph: what holds within each and between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison.resampling import independent
from ndg.comparison.sections import Section, groups_of, sections
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.mining.miner import Rule
from ndg.results import Result, Row


@dataclass(frozen=True)
class InterLayer(Result):
    """The edges within and between the labels, layers and concepts of one network.

    `graph` is the digest of the graph, `examples` are those that it was mined from.
    """

    sections: tuple[Section, ...]
    graph: str
    criterion: dict[str, Any]
    examples: int
    seed: int

    def rows(self) -> list[Row]:
        """One row per pair of parts of the network; see `EdgeFigures`."""
        return [section.row() for section in self.sections]

    def context(self) -> Row:
        return {"graph": self.graph, "criterion": self.criterion, "examples": self.examples, "seed": self.seed}

    def words(self) -> str:
        """A line per pair of parts: held-out precision of its edges beside chance."""
        return "\n".join(
            f"{section.first} and {section.second}: {section.figures.words()}." for section in self.sections
        )


def inter_layer(
    bits: BitMatrix,
    held_out: BitMatrix,
    *,
    criterion: Rule = "paper",
    alpha: float | int = 20.0,
    seed: int = 0,
    **mining: Any,
) -> InterLayer:
    """Edges, and their precision on the mined and the held-out examples, within each layer and between layers.

    Beside each number of edges stands how many are found when the nodes are made independent by `seed`. The other
    arguments are those of `ndg.mine`.

    Raises ConfigError for bits of fewer than two layers, ShapeError for held-out bits of other nodes.
    """
    if len(bits.nodes.layers) < 2:
        names = ", ".join(layer.name for layer in bits.nodes.layers) or "none"
        raise ConfigError(
            f"edges between layers take bits of at least two layers; got {names}; extract with layers=[first, second]"
        )
    how = {"criterion": criterion, "alpha": alpha, **mining}
    graph = discovery.mine(bits, **how)
    return of_graph(graph, held_out, seed, discovery.mine(independent(bits, seed), **how))


def of_graph(graph: NDG, held_out: BitMatrix, seed: int = 0, shuffled: NDG | None = None) -> InterLayer:
    """The same of a graph that was mined already, with the graph of independent nodes where that was."""
    found = sections(graph, held_out, *groups_of(graph.nodes), shuffled)
    return InterLayer(found, graph.digest, graph.criterion, graph.examples, seed)
