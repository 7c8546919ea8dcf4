"""Precision of graphs across data; tables 3 and 7 of Hu & Tian 2022."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ndg import discovery
from ndg.bits.matrix import BitMatrix
from ndg.comparison.resampling import independent
from ndg.comparison.sections import EdgeFigures, Judged, all_possible, label_edges
from ndg.comparison.sources import NOISE, TRAINED, Source
from ndg.comparison.units import in_units_of, match_units
from ndg.errors import ConfigError
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


@dataclass(frozen=True)
class SourceRow:
    """Nodes and edges of one source's graph, beside independent nodes."""

    source: str
    varying: int
    constant: int
    label_edges: int
    shuffled: int
    figures: EdgeFigures

    def row(self) -> Row:
        figures = self.figures.to_dict()
        head = {"source": self.source, "varying": self.varying, "constant": self.constant}
        edges = {"edges": figures.pop("edges"), "edges_shuffled": self.shuffled, "label_edges": self.label_edges}
        return head | edges | figures


@dataclass(frozen=True)
class Table3(Result):
    """Edges and their mean precision, by source of booleans."""

    sources: tuple[SourceRow, ...]
    criterion: dict[str, Any]
    seed: int

    def rows(self) -> list[Row]:
        """One row per source."""
        return [source.row() for source in self.sources]

    def context(self) -> Row:
        return {"criterion": self.criterion, "seed": self.seed}

    def words(self) -> str:
        """Edges, control and held-out precision, in one line per source."""
        return "\n".join(
            f"{source.source}: {source.figures.edges:,} edges among {source.varying:,} nodes that vary, "
            f"{source.label_edges:,} of them name a label (independent nodes: {source.shuffled:,}); "
            f"{source.figures.words()}."
            for source in self.sources
        )


def table_3(sources: Mapping[str, Source], *, seed: int = 0, **mining: Any) -> Table3:
    """Table 3: edges and mean precision of each source's graph.

    `controls` makes the sources of a network; `mining` are arguments of `ndg.mine`. Constant units have no edges.
    """
    rows: list[SourceRow] = []
    rule: dict[str, Any] = {}
    for name, source in sources.items():
        graph = discovery.mine(source.mined, **mining)
        rule = rule or graph.criterion
        rows.append(
            SourceRow(
                source=name,
                varying=len(graph.nodes) - len(graph.constants),
                constant=len(graph.constants),
                label_edges=label_edges(graph),
                shuffled=len(discovery.mine(independent(source.mined, seed), **mining).implications),
                figures=Judged.of(graph, source.held_out).figures(possible=all_possible(graph)),
            )
        )
    return Table3(tuple(rows), rule, seed)


def table_7(sources: Mapping[str, Source], *, real: str = TRAINED, noise: str = NOISE, **mining: Any) -> Crossed:
    """Table 7: graphs of real and random inputs, on both held-out data."""
    for name in (real, noise):
        if name not in sources:
            raise ConfigError(f"Table 7 needs a source of real and one of random inputs; got {', '.join(sources)}")
    pair = {"real": sources[real], "random": sources[noise]}
    graphs = {name: discovery.mine(source.mined, **mining) for name, source in pair.items()}
    return crossed(graphs, {name: source.held_out for name, source in pair.items()})
