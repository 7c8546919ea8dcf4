"""Figures of Table 2 of Hu & Tian 2022."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ndg.bits.matrix import BitMatrix
from ndg.escape import html as escape
from ndg.graph.agreement import ClassAgreement, agreements
from ndg.graph.closure import Reachability, reach
from ndg.graph.condensation import Codes, Condensation, condense, connected, distinct, starts_of
from ndg.graph.edges import mutual
from ndg.mining.implications import Implications
from ndg.results import Result, Row

if TYPE_CHECKING:
    import pandas as pd

CYCLE_LIMIT = 1000


@dataclass(frozen=True)
class Figures:
    """Figures of one form of the graph.

    Nodes are literals in the paper's form, classes in the condensed one. `neurons` counts units of the network,
    constant or not. `nodes` leaves out constants and counts both values of the others, labels too. `isolated` nodes
    have no edge. `equivalent` counts literals: in the paper's form those that imply another and are implied by it, else
    those in a class of two or more. `constant` counts neurons and labels. `mean_degree` is edges in and out per node.
    `height` is the length of the longest path, null with cycles. `cycles` counts elementary cycles, up to 1,000. From
    each of the `contradictions` some node follows both on and off. `components` are weakly connected, isolated nodes
    included.
    """

    neurons: int
    nodes: int
    edges: int
    isolated: int
    equivalent: int
    constant: int
    mean_degree: float
    height: int | None
    cycles: int
    contradictions: int
    components: int


@dataclass(frozen=True)
class GraphStats(Result):
    """Figures of the paper's and the condensed graph, and what condensing hides.

    The paper's graph has an edge for every implication but those of the `equivalent_pairs`, which imply each other
    directly. As approximate implication is not transitive, it may have cycles: `cyclic_components` counts strongly
    connected components of two or more literals, which are one class when condensed. `contradictory` components contain
    a literal and its negation; they have no edges in the condensed graph. All figures are of implications alone, but
    the numbers of `conjunctions` and `votes`.

    >>> stats = graph.stats(bits)
    >>> stats.contradictory
    0
    """

    paper: Figures
    condensed: Figures
    equivalent_pairs: int
    cyclic_components: int
    contradictory: int
    classes: tuple[ClassAgreement, ...]
    conjunctions: int = 0
    votes: int = 0

    @property
    def worst_agreement(self) -> float | None:
        """Smallest agreement of two members of one class; null if unknown."""
        return min((each.worst for each in self.classes if each.worst == each.worst), default=None)

    def rows(self) -> list[Row]:
        """One row per figure."""
        figures = zip(vars(self.paper).items(), vars(self.condensed).values(), strict=True)
        return [{"figure": name, "paper": paper, "condensed": condensed} for (name, paper), condensed in figures]

    def words(self) -> str:
        """Nodes and edges of both graphs, and what condensing glosses over."""
        worst = "none" if self.worst_agreement is None else f"{self.worst_agreement:.3f}"
        more = ", ".join(f"{count:,} {name}" for name, count in self._hyperedges().items())
        return (
            f"{self.paper.edges:,} edges among {self.paper.nodes:,} literals; condensed {self.condensed.edges:,} among "
            f"{self.condensed.nodes:,} classes. {self.cyclic_components} components are cyclic, {self.contradictory} "
            f"contradict themselves; worst agreement within a class: {worst}."
            f"{f' Besides: {more}.' if more else ''}"
        )

    def _hyperedges(self) -> dict[str, int]:
        counts = {"conjunctions": self.conjunctions, "votes": self.votes}
        return {name: count for name, count in counts.items() if count}

    def frame(self) -> pd.DataFrame:
        """One row per figure, for both forms of the graph."""
        import pandas as pd

        return pd.DataFrame(self.rows(), dtype=object).set_index("figure").rename_axis(None)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for a record, with a summary of the classes."""
        return {
            "paper": asdict(self.paper),
            "condensed": asdict(self.condensed),
            "equivalent_pairs": self.equivalent_pairs,
            "cycles_counted_up_to": CYCLE_LIMIT,
            "cyclic_components": self.cyclic_components,
            "contradictory": self.contradictory,
            "classes": len(self.classes),
            "largest_class": max((len(each.members) for each in self.classes), default=0),
            "worst_agreement": self.worst_agreement,
            "worst_agreement_exact": all(each.exact for each in self.classes),
            **self._hyperedges(),
        }

    def _repr_html_(self) -> str:
        table = "<table><tr><th></th><th>paper's graph</th><th>condensed</th></tr>"
        for row in self.rows():
            sign = "≥ " if row["figure"] == "cycles" and row["paper"] >= CYCLE_LIMIT else ""
            cells = f"<td>{sign}{_shown(row['paper'])}</td><td>{_shown(row['condensed'])}</td>"
            table += f"<tr><th>{escape(row['figure'].replace('_', ' '))}</th>{cells}</tr>"
        return f"{table}</table>"


def _shown(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def statistics(implications: Implications, reachability: Reachability, bits: BitMatrix | None = None) -> GraphStats:
    """All figures of a graph, with agreement counted on `bits` if passed."""
    literals, mutual_edges, condensation = 2 * len(implications.nodes), mutual(implications), reachability.condensation
    classes = condensation.classes(contradictory=False)
    tails, heads = implications.antecedents[~mutual_edges], implications.consequents[~mutual_edges]
    paper = condense(literals, tails, heads, bridge=True)
    cyclic = int((paper.sizes > 1).sum())
    joined = implications.antecedents[mutual_edges] != implications.consequents[mutual_edges]
    return GraphStats(
        paper=_figures(
            implications,
            literals,
            (tails, heads),
            equivalent=int(np.unique(implications.antecedents[mutual_edges][joined]).size),
            height=None if cyclic else int(paper.level.max(initial=0)),
            cycles=_cycles(paper, tails, heads) if cyclic else 0,
            contradictions=int(paper.sizes[reach(paper).contradicting].sum()),
        ),
        condensed=_figures(
            implications,
            len(condensation),
            (condensation.tails, condensation.heads),
            equivalent=sum(map(len, classes)),
            height=int(condensation.level.max(initial=0)),
            cycles=0,
            contradictions=int(reachability.contradicting.sum()),
        ),
        equivalent_pairs=int(joined.sum()) // 2,
        cyclic_components=cyclic,
        contradictory=int(condensation.contradictory.sum()),
        classes=agreements(implications, classes, bits),
    )


def _figures(implications: Implications, size: int, edges: tuple[Codes, Codes], **own: Any) -> Figures:
    tails, heads = edges
    constant = 2 * len(implications.constants)
    linked = int(np.count_nonzero(np.bincount(np.concatenate([tails, heads]), minlength=size)))
    nodes = size - constant
    return Figures(
        neurons=implications.nodes.neurons,
        nodes=nodes,
        edges=len(tails),
        isolated=nodes - linked,
        constant=len(implications.constants),
        mean_degree=2 * len(tails) / nodes if nodes else 0.0,
        components=connected(size, tails, heads, "weak")[0] - constant,
        **own,
    )


def _cycles(condensation: Condensation, tails: Codes, heads: Codes) -> int:
    """Number of elementary cycles, at most CYCLE_LIMIT."""
    # a strongly connected graph has at least edges - nodes + 1 cycles; each passes a node of two edges, but for rings
    from ndg.graph.traversal import circuits

    within = condensation.component[tails] == condensation.component[heads]
    tails, heads = tails[within].astype(np.int64), heads[within].astype(np.int64)
    edges = np.bincount(condensation.component[tails], minlength=len(condensation))
    cyclic = edges > 0
    rings = int((edges == condensation.sizes)[cyclic].sum())
    if (edges - condensation.sizes + 1)[cyclic].sum() >= CYCLE_LIMIT:
        return CYCLE_LIMIT
    degree = np.bincount(tails, minlength=len(condensation.component))
    rank = np.empty(len(degree), np.int64)
    rank[np.argsort(-degree, kind="stable")] = np.arange(len(degree))
    tails, heads = distinct(len(degree), rank[tails], rank[heads])
    cycles = circuits(starts_of(len(degree), tails), heads, int((degree > 1).sum()), CYCLE_LIMIT)
    return min(rings + cycles, CYCLE_LIMIT)
