"""Shared, additional and contradicting edges of two graphs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64

from ndg.comparison.causal_edges import SharedEdges, shared_edges
from ndg.comparison.edges import (
    Keys,
    Translated,
    by_layers,
    edge_texts,
    inside,
    layer_pairs,
    once,
    shuffled,
    translated,
)
from ndg.comparison.units import Matching
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.intervals import rate
from ndg.nodes import NodeSpace
from ndg.results import Result, Row, mean

if TYPE_CHECKING:
    import pandas as pd

SHUFFLED, REINITIALISED = "units shuffled within layers", "a re-initialised network, matched alike"
ROUNDS = 100


@dataclass(frozen=True)
class Overlap:
    """Counts of edges between two layers, or of all edges.

    An implication and its contrapositive count as two. `contradicting` counts p -> q in `a` with p -> ~q in `b`.
    `jaccard` is `both` over the edges in either graph, with a Wilson interval over pairs of an implication and its
    contrapositive. `shuffled` is its mean over drawn orders of the units of `b` within layers (with the middle 95 %),
    `p_value` the share of orders with at least this index. `control` is that of `a` and a re-initialised network.
    """

    first: str
    second: str
    both: int
    only_a: int
    only_b: int
    contradicting: int
    jaccard: float | None
    low: float | None
    high: float | None
    shuffled: float | None
    shuffled_low: float | None
    shuffled_high: float | None
    p_value: float | None
    rounds: int
    control: float | None = None
    control_low: float | None = None
    control_high: float | None = None


@dataclass(frozen=True, eq=False)
class Difference(Result):
    """Edges of two graphs, in terms of the nodes of `a`.

    Arrays are over the edges of either graph; precisions on the mined examples are NaN where it is no edge. `unmatched`
    counts the edges of `b` with a node that has no partner in `a`. `causal` has counts of conjunctions and votes; all
    else is of implications.
    """

    nodes: NodeSpace
    keys: Keys
    in_a: Bool[np.ndarray, " edge"]
    in_b: Bool[np.ndarray, " edge"]
    contradicted: Bool[np.ndarray, " edge"]
    precision_a: Float64[np.ndarray, " edge"]
    precision_b: Float64[np.ndarray, " edge"]
    overlaps: tuple[Overlap, ...]
    graphs: tuple[str, str]
    unmatched: int
    matched: bool
    seed: int
    causal: tuple[SharedEdges, ...] = ()

    @property
    def overlap(self) -> Overlap:
        """Counts of all edges."""
        return self.overlaps[0]

    def rows(self) -> list[Row]:
        """One row for all edges, then one per pair of layers."""
        return [dict(vars(overlap)) for overlap in self.overlaps]

    def edges_frame(self) -> pd.DataFrame:
        """One row per edge of either graph."""
        import pandas as pd

        where = np.where(self.in_a & self.in_b, "both", np.where(self.in_a, "a", "b"))
        return pd.DataFrame(
            {
                **edge_texts(self.keys, self.nodes),
                "in": where.astype(object),
                "contradicted": self.contradicted,
                "precision_a": self.precision_a,
                "precision_b": self.precision_b,
            }
        )

    def context(self) -> Row:
        graphs = {"a": self.graphs[0], "b": self.graphs[1]}
        causal = {"causal": [asdict(each) for each in self.causal]} if self.causal else {}
        return {"graphs": graphs, "matched": self.matched, "unmatched": self.unmatched, "seed": self.seed, **causal}

    def words(self) -> str:
        """Shared edges and the controls, in two sentences; then conjunctions and votes."""
        overlap, causal = self.overlap, "".join(f" {each.words()}" for each in self.causal)
        if overlap.jaccard is None:
            return f"Neither graph has an {'implication' if causal else 'edge'}.{causal}"
        total = overlap.both + overlap.only_a + overlap.only_b
        chance = "".join(
            f"; {what}: {value:.3f} [{low:.3f}, {high:.3f}]"
            for what, value, low, high in (
                (SHUFFLED, overlap.shuffled, overlap.shuffled_low, overlap.shuffled_high),
                (REINITIALISED, overlap.control, overlap.control_low, overlap.control_high),
            )
            if value is not None
        )
        left = f" {self.unmatched:,} edges of b have an end without a partner." if self.unmatched else ""
        return (
            f"{overlap.both:,} of {total:,} edges are in both graphs: Jaccard {overlap.jaccard:.3f} "
            f"[{overlap.low:.3f}, {overlap.high:.3f}]{chance}. {overlap.only_a:,} are in a only, {overlap.only_b:,} in "
            f"b only; {overlap.contradicting:,} of a are contradicted by b.{left}{causal}"
        )


def diff(
    a: NDG,
    b: NDG,
    match: Matching | None = None,
    *,
    control: NDG | None = None,
    control_match: Matching | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Difference:
    """Edge differences of two graphs over the same or matched nodes.

    Without `match`, unit i of `a` is compared with unit i of `b`. The control shuffles the units of `b` within each
    layer, which undoes a matching; so with `match`, also pass `control`, the graph of a re-initialised copy of b's
    network, and `control_match`, its matching with `a`.

    Raises GraphError for graphs of other nodes, ConfigError for a negative number of rounds.
    """
    if rounds < 0:
        raise ConfigError(f"rounds must be at least 0; got {rounds}")
    nodes = a.nodes
    own, other = translated(a, nodes, None), translated(b, nodes, match)
    first, second = own.keys, other.keys
    keys = np.union1d(first, second)
    in_a, in_b = inside(keys, first), inside(keys, second)
    opposed = in_a & inside(keys ^ 1, second)
    contradicted = opposed | (in_b & inside(keys ^ 1, first))
    marks = np.stack([in_a, in_b, opposed, once(keys, nodes)])

    drawn = _shuffled(first, second, nodes, rounds, seed)
    known = () if control is None else diff(a, control, control_match, rounds=0).overlaps
    matched = {(overlap.first, overlap.second): overlap for overlap in known}
    overlaps = [
        _overlap(pair, marks[:, chosen], drawn[:, place], matched.get(pair))
        for place, pair, chosen in by_layers(keys, nodes)
    ]
    return Difference(
        nodes=nodes,
        keys=keys,
        in_a=in_a,
        in_b=in_b,
        contradicted=contradicted,
        precision_a=_precision(keys, own),
        precision_b=_precision(keys, other),
        overlaps=tuple(overlaps),
        graphs=(a.digest, b.digest),
        unmatched=other.unmatched,
        matched=match is not None,
        seed=seed,
        causal=shared_edges(a, b, match),
    )


def _overlap(
    pair: tuple[str, str],
    marks: Bool[np.ndarray, "mark edge"],
    drawn: Float64[np.ndarray, " round"],
    control: Overlap | None,
) -> Overlap:
    """Counts of some edges, and the controls' indices."""
    in_a, in_b, opposed, single = marks
    jaccard, low, high = rate("", int((in_a & in_b & single).sum()), int(single.sum())).values()
    known = drawn[~np.isnan(drawn)]
    shuffled_low, shuffled_high = np.quantile(known, [0.025, 0.975]).tolist() if len(known) else (None, None)
    p_value = None
    if jaccard is not None and len(known):
        p_value = float((1 + (known >= jaccard).sum()) / (1 + len(known)))
    columns: dict[str, Any] = {}
    if control is not None:
        columns = {"control": control.jaccard, "control_low": control.low, "control_high": control.high}
    return Overlap(
        *pair,
        both=int((in_a & in_b).sum()),
        only_a=int((in_a & ~in_b).sum()),
        only_b=int((in_b & ~in_a).sum()),
        contradicting=int(opposed.sum()),
        jaccard=jaccard,
        low=low,
        high=high,
        shuffled=mean(known),
        shuffled_low=shuffled_low,
        shuffled_high=shuffled_high,
        p_value=p_value,
        rounds=len(drawn),
        **columns,
    )


def _shuffled(
    first: Keys, second: Keys, nodes: NodeSpace, rounds: int, seed: int
) -> Float64[np.ndarray, "round column"]:
    """Jaccard indices of all edges and each layer pair, by round."""
    own, other = first[once(first, nodes)], second[once(second, nodes)]
    place, names = layer_pairs(other, nodes)
    pairs = len(names)
    sizes = np.bincount(layer_pairs(own, nodes)[0], minlength=pairs) + np.bincount(place, minlength=pairs)
    indices = np.full((rounds, pairs + 1), np.nan)
    for turn in range(rounds):
        kept = inside(shuffled(other, nodes, seed, "diff", turn), first)
        common = np.bincount(place[kept], minlength=pairs)
        both, either = np.append(common.sum(), common), np.append((sizes - common).sum(), sizes - common)
        np.divide(both, either, out=indices[turn], where=either > 0)
    return indices


def _precision(keys: Keys, of: Translated) -> Float64[np.ndarray, " edge"]:
    """Precision of each edge of a graph, NaN for other numbers."""
    values = np.full(len(keys), np.nan)
    there = inside(keys, of.keys)
    values[there] = of.precision[np.searchsorted(of.keys, keys[there])]
    return values
