"""Edges within and between layers of one network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison.resampling import independent
from ndg.comparison.sections import Section, groups_of, sections
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.results import Result, Row


@dataclass(frozen=True)
class InterLayer(Result):
    """Edges within and between labels, layers and concepts."""

    sections: tuple[Section, ...]
    graph: str
    criterion: dict[str, Any]
    examples: int
    seed: int

    def rows(self) -> list[Row]:
        """One row per pair of labels, layers or concepts."""
        return [section.row() for section in self.sections]

    def context(self) -> Row:
        return {"graph": self.graph, "criterion": self.criterion, "examples": self.examples, "seed": self.seed}

    def words(self) -> str:
        """Held-out precision and chance, in one line per pair of parts."""
        parts = self.sections
        return "\n".join(f"{part.first} and {part.second}: {part.figures.words()}." for part in parts)


def inter_layer(bits: BitMatrix, held_out: BitMatrix, *, seed: int = 0, **mining: Any) -> InterLayer:
    """Edges within and between layers, with mined and held-out precision.

    The control counts the edges of nodes made independent by `seed`; `mining` are arguments of `ndg.mine`. Raises
    ConfigError for bits of fewer than two layers, ShapeError for held-out bits of other nodes.
    """
    if len(bits.nodes.layers) < 2:
        names = ", ".join(layer.name for layer in bits.nodes.layers) or "none"
        raise ConfigError(
            f"edges between layers need bits of at least two layers; got {names}; extract with layers=[first, second]"
        )
    shuffled = discovery.mine(independent(bits, seed), **mining)
    return of_graph(discovery.mine(bits, **mining), held_out, seed, shuffled)


def of_graph(graph: NDG, held_out: BitMatrix, seed: int = 0, shuffled: NDG | None = None) -> InterLayer:
    """Edges within and between the layers of a mined graph."""
    parts = sections(graph, held_out, *groups_of(graph.nodes), shuffled)
    return InterLayer(parts, graph.digest, graph.criterion, graph.examples, seed)
