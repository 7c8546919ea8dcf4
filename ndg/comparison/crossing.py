"""Precision of graphs on their own and other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison.sections import EdgeFigures, Judged, all_possible
from ndg.comparison.sources import Source
from ndg.comparison.units import in_units_of, match_units
from ndg.graph.ndg import NDG
from ndg.results import Result, Row

MATCHED = "units matched"
"""Suffix of another network's bits after its units are put in the order of their partners."""


@dataclass(frozen=True)
class Cell:
    """Figures of one graph on one set of bits."""

    graph: str
    data: str
    own: bool
    figures: EdgeFigures

    def row(self) -> Row:
        return {"graph": self.graph, "data": self.data, "own": self.own} | self.figures.to_dict()


@dataclass(frozen=True)
class Crossed(Result):
    """Every graph on every set of bits."""

    cells: tuple[Cell, ...]

    def rows(self) -> list[Row]:
        """One row per graph and set of bits; see `EdgeFigures`."""
        return [cell.row() for cell in self.cells]

    def context(self) -> Row:
        return {"graphs": list(dict.fromkeys(cell.graph for cell in self.cells))}

    def words(self) -> str:
        """Held-out precision and chance, in one line per cell."""
        return "\n".join(f"graph of {cell.graph} on {cell.data}: {cell.figures.words()}." for cell in self.cells)


def crossed(graphs: Mapping[str, NDG], bits: Mapping[str, BitMatrix]) -> Crossed:
    """Cross accuracy: edge precision of each graph on each set of bits.

    A graph and bits of the same name count as its own data. Reorder bits of another training by `in_units_of` first.
    Raises ShapeError for bits of other nodes.
    """
    cells = []
    for name, graph in graphs.items():
        possible = all_possible(graph)
        for data, held_out in bits.items():
            figures = Judged.of(graph, held_out, any_thresholds=True).figures(possible=possible)
            cells.append(Cell(name, data, name == data, figures))
    return Crossed(tuple(cells))


def cross_accuracy(
    a: Source, b: Source, *, names: tuple[str, str] = ("first", "second"), seed: int = 0, **mining: Any
) -> Crossed:
    """Edge precision of two trainings on the held-out booleans of both.

    Each graph is also judged on the other network's units in the order of their partners, matched on the mined examples
    alone. `mining` are arguments of `ndg.mine`. Raises ShapeError for networks of other layers, units or labels.
    """
    cells: list[Cell] = []
    for (name, other_name), (own, other) in ((names, (a, b)), (names[::-1], (b, a))):
        graph = discovery.mine(own.mined, **mining)
        match = match_units(own.mined, other.mined, seed=seed)
        matched = in_units_of(other.held_out, match)
        data = {name: own.held_out, other_name: other.held_out, f"{other_name}, {MATCHED}": matched}
        cells += crossed({name: graph}, data).cells
    return Crossed(tuple(cells))
