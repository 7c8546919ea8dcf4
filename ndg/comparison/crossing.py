"""Graphs on data of their own and of others."""

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
from ndg.mining.miner import Rule
from ndg.results import Result, Row

MATCHED = "units matched"
"""Said of bits of another network whose units were put into the places of their partners."""


@dataclass(frozen=True)
class Cell:
    """How the edges of one graph hold on one set of bits; `own` where the graph is of such data."""

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
        """A line per graph and set of bits: held-out precision beside chance."""
        return "\n".join(f"graph of {cell.graph} on {cell.data}: {cell.figures.words()}." for cell in self.cells)


def crossed(graphs: Mapping[str, NDG], bits: Mapping[str, BitMatrix]) -> Crossed:
    """The precision of the edges of each graph on each set of bits: cross accuracy; equal names are own data.

    Units of two trainings do not correspond by their numbers; `in_units_of` puts the bits of one into the order of the
    other. Thresholds may differ. Raises ShapeError for bits of other nodes than a graph's.
    """
    cells = []
    for name, graph in graphs.items():
        possible = all_possible(graph)
        for data, held_out in bits.items():
            figures = Judged.of(graph, held_out, any_thresholds=True).figures(possible=possible)
            cells.append(Cell(name, data, name == data, figures))
    return Crossed(tuple(cells))


def cross_accuracy(
    a: Source,
    b: Source,
    *,
    names: tuple[str, str] = ("first", "second"),
    criterion: Rule = "paper",
    alpha: float | int = 20.0,
    seed: int = 0,
    **mining: Any,
) -> Crossed:
    """How the edges of each of two trainings hold on the held-out booleans of both.

    Units of two trainings do not correspond by their numbers. So where all can be matched, by the examples that were
    mined and no others, there are rows for the other network's units in the places of their partners as well. The other
    arguments are those of `ndg.mine`.

    Raises ShapeError for networks of other layers, units or labels.
    """
    found: list[Cell] = []
    for (name, own), (other_name, other) in (((names[0], a), (names[1], b)), ((names[1], b), (names[0], a))):
        graph = discovery.mine(own.mined, criterion, alpha=alpha, **mining)
        match = match_units(own.mined, other.mined, seed=seed)
        matched = in_units_of(other.held_out, match)
        data = {name: own.held_out, other_name: other.held_out, f"{other_name}, {MATCHED}": matched}
        found += crossed({name: graph}, data).cells
    return Crossed(tuple(found))
