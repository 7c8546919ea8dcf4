"""Tables 3 and 7 of Hu & Tian 2022: the graph of a network beside graphs of what knows nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ndg import discovery
from ndg.comparison.crossing import Crossed, crossed
from ndg.comparison.resampling import independent
from ndg.comparison.sections import EdgeFigures, Judged, all_possible, label_edges
from ndg.comparison.sources import NOISE, TRAINED, Source
from ndg.errors import ConfigError
from ndg.mining.miner import Rule
from ndg.results import Result, Row


@dataclass(frozen=True)
class SourceRow:
    """The graph of one source: its nodes that vary and do not, its edges, and those among them that name a label.

    `shuffled` counts the edges found when the same nodes, as often on, know nothing of each other.
    """

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
    """Edges and their mean precision on the mined and the held-out examples, a row per source of booleans."""

    sources: tuple[SourceRow, ...]
    criterion: dict[str, Any]
    seed: int

    def rows(self) -> list[Row]:
        """One row per source; see `SourceRow` and `EdgeFigures`."""
        return [source.row() for source in self.sources]

    def context(self) -> Row:
        return {"criterion": self.criterion, "seed": self.seed}

    def words(self) -> str:
        """A line per source: its edges, those of independent nodes, and held-out precision beside chance."""
        return "\n".join(
            f"{one.source}: {one.figures.edges:,} edges among {one.varying:,} nodes that vary, {one.label_edges:,} of "
            f"them name a label (independent nodes: {one.shuffled:,}); {one.figures.words()}."
            for one in self.sources
        )


def table_3(
    sources: Mapping[str, Source],
    *,
    criterion: Rule = "paper",
    alpha: float | int = 20.0,
    seed: int = 0,
    **mining: Any,
) -> Table3:
    """The graph of each source: edges, and their mean precision on the mined and the held-out examples (Table 3).

    `controls` gives the sources of a network. The other arguments are those of `ndg.mine`. A network without structure
    may have units that are never on or always; they have no edges, so the numbers of nodes stand beside those of edges.
    """
    how = {"criterion": criterion, "alpha": alpha, **mining}
    found: list[SourceRow] = []
    rule: dict[str, Any] = {}
    for name, source in sources.items():
        graph = discovery.mine(source.mined, **how)
        rule = rule or graph.criterion
        found.append(
            SourceRow(
                source=name,
                varying=len(graph.nodes) - len(graph.constants),
                constant=len(graph.constants),
                label_edges=label_edges(graph),
                shuffled=len(discovery.mine(independent(source.mined, seed), **how).implications),
                figures=Judged.of(graph, source.held_out).figures(possible=all_possible(graph)),
            )
        )
    return Table3(tuple(found), rule, seed)


def table_7(
    sources: Mapping[str, Source],
    *,
    real: str = TRAINED,
    noise: str = NOISE,
    criterion: Rule = "paper",
    alpha: float | int = 20.0,
    **mining: Any,
) -> Crossed:
    """The graph of real data and the graph of random inputs, each on held-out real and random data (Table 7).

    `real` and `noise` name the two of the sources. The other arguments are those of `ndg.mine`.
    """
    for name in (real, noise):
        if name not in sources:
            raise ConfigError(f"Table 7 takes a source of real and one of random inputs; got {', '.join(sources)}")
    two = {"real": sources[real], "random": sources[noise]}
    graphs = {name: discovery.mine(source.mined, criterion, alpha=alpha, **mining) for name, source in two.items()}
    return crossed(graphs, {name: source.held_out for name, source in two.items()})
