"""What two graphs have in common: edges in both, in one only, and edges that contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64

from ndg.comparison.edges import Keys, Translated, ends, inside, layer_pairs, once, shuffled, translated
from ndg.comparison.units import Matching
from ndg.errors import ConfigError
from ndg.graph.edges import texts_of
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.nodes import NodeSpace
from ndg.results import Result, Row

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
ROUNDS = 100


@dataclass(frozen=True)
class Overlap:
    """The edges of one pair of layers, or of all. Implications and their contrapositives are counted as two.

    `contradicting` counts p -> q in `a` for which p -> ~q is in `b`; both stand among the others too. `jaccard` is the
    share of `both` among those in either, with the Wilson interval over pairs of an implication and its contrapositive.
    `shuffled` is its mean, and `shuffled_low` to `shuffled_high` the middle 95 %, over `rounds` drawn orders of the
    units of `b` within their layers; `p_value` is how often, among these and the given order, it is as high as found.
    Shuffling undoes a matching, whose freedom alone makes graphs alike: `control` is the index of `a` with a network
    that knows nothing and was matched by the same procedure.
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
    """Two graphs edge by edge, over the nodes of the first, `a`.

    The arrays are over the edges of either: their numbers, whether they are in `a` and in `b`, whether the other graph
    has the same antecedent with the negated consequent, and the precision on the examples that each was mined from,
    NaN where it is not an edge. `unmatched` counts edges of `b` with an end that has no partner in `a`; they are left
    out.
    """

    nodes: NodeSpace
    found: Keys
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

    @property
    def overlap(self) -> Overlap:
        """The edges of all layers."""
        return self.overlaps[0]

    def rows(self) -> list[Row]:
        """One row for all edges, then one per pair of layers; see `Overlap`."""
        return [dict(vars(overlap)) for overlap in self.overlaps]

    def edges_frame(self) -> pd.DataFrame:
        """One row per edge of either graph: its ends, where it is, whether it is contradicted, and its precision."""
        import pandas as pd

        texts, (tails, heads) = texts_of(self.nodes), ends(self.found, self.nodes)
        where = np.where(self.in_a & self.in_b, "both", np.where(self.in_a, "a", "b"))
        return pd.DataFrame(
            {
                "antecedent": texts[tails],
                "consequent": texts[heads],
                "in": where.astype(object),
                "contradicted": self.contradicted,
                "precision_a": self.precision_a,
                "precision_b": self.precision_b,
            }
        )

    def context(self) -> Row:
        graphs = {"a": self.graphs[0], "b": self.graphs[1]}
        return {"graphs": graphs, "matched": self.matched, "unmatched": self.unmatched, "seed": self.seed}

    def words(self) -> str:
        """Two sentences on how much the graphs have in common, beside the controls."""
        one = self.overlap
        if one.jaccard is None:
            return "Neither graph has an edge."
        total = one.both + one.only_a + one.only_b
        chance = (
            ""
            if one.shuffled is None
            else f"; units shuffled within layers: {one.shuffled:.3f} [{one.shuffled_low:.3f}, {one.shuffled_high:.3f}]"
        )
        if one.control is not None:
            chance += (
                f"; a re-initialised network, matched alike: {one.control:.3f} [{one.control_low:.3f}, "
                f"{one.control_high:.3f}]"
            )
        left = f" {self.unmatched:,} edges of b have an end without a partner." if self.unmatched else ""
        return (
            f"{one.both:,} of {total:,} edges are in both graphs: Jaccard {one.jaccard:.3f} [{one.low:.3f}, "
            f"{one.high:.3f}]{chance}. {one.only_a:,} are in a only, {one.only_b:,} in b only; {one.contradicting:,} "
            f"of a are contradicted by b.{left}"
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
    """The edges of two graphs over the same nodes, or over nodes that `match` matches (those of `a` with those of `b`).

    Without `match` unit i of the one is unit i of the other, which says little of two trainings. The control shuffles
    the units of `b` within each layer, `rounds` times.

    That undoes a matching. So with one, give as `control` the graph of a re-initialised network of the make of `b`, and
    as `control_match` its matching with `a`, on the same examples: what the freedom of matching gives.

    Raises GraphError for graphs of other nodes, ConfigError for a negative number of rounds.
    """
    if rounds < 0:
        raise ConfigError(f"units are shuffled a number of times that is at least 0; got {rounds}")
    nodes = a.nodes
    own, other = translated(a, nodes, None), translated(b, nodes, match)
    first, second = own.keys, other.keys
    found = np.union1d(first, second)
    in_a, in_b = inside(found, first), inside(found, second)
    against = found ^ 1
    contradicted = (in_a & inside(against, second)) | (in_b & inside(against, first))
    number, pairs = layer_pairs(found, nodes)
    single = once(found, nodes)

    drawn = _shuffled(first, second, nodes, len(pairs), rounds, seed)
    opposed = in_a & inside(against, second)
    known = () if control is None else diff(a, control, control_match, rounds=0).overlaps
    beside = {(one.first, one.second): one for one in known}
    overlaps = [_overlap((ALL, ALL), np.ones(len(found), np.bool_), in_a, in_b, opposed, single, drawn[:, 0])]
    for place, pair in enumerate(pairs):
        chosen = number == place
        if chosen.any():
            overlaps.append(_overlap(pair, chosen, in_a, in_b, opposed, single, drawn[:, place + 1]))
    return Difference(
        nodes=nodes,
        found=found,
        in_a=in_a,
        in_b=in_b,
        contradicted=contradicted,
        precision_a=_precision(found, own),
        precision_b=_precision(found, other),
        overlaps=tuple(_beside(one, beside.get((one.first, one.second))) for one in overlaps),
        graphs=(a.digest, b.digest),
        unmatched=other.unmatched,
        matched=match is not None,
        seed=seed,
    )


def _overlap(
    pair: tuple[str, str],
    chosen: Bool[np.ndarray, " edge"],
    in_a: Bool[np.ndarray, " edge"],
    in_b: Bool[np.ndarray, " edge"],
    opposed: Bool[np.ndarray, " edge"],
    single: Bool[np.ndarray, " edge"],
    drawn: Float64[np.ndarray, " round"],
) -> Overlap:
    both, either = int((in_a & in_b & chosen & single).sum()), int((chosen & single).sum())
    low, high = (float(end) for end in wilson(both, either))
    jaccard = both / either if either else None
    known = drawn[~np.isnan(drawn)]
    ends_of = np.quantile(known, [0.025, 0.975]) if len(known) else None
    return Overlap(
        first=pair[0],
        second=pair[1],
        both=int((in_a & in_b & chosen).sum()),
        only_a=int((in_a & ~in_b & chosen).sum()),
        only_b=int((in_b & ~in_a & chosen).sum()),
        contradicting=int((opposed & chosen).sum()),
        jaccard=jaccard,
        low=low if either else None,
        high=high if either else None,
        shuffled=float(known.mean()) if len(known) else None,
        shuffled_low=None if ends_of is None else float(ends_of[0]),
        shuffled_high=None if ends_of is None else float(ends_of[1]),
        p_value=None if jaccard is None or not len(known) else float((1 + (known >= jaccard).sum()) / (1 + len(known))),
        rounds=len(drawn),
    )


def _beside(one: Overlap, control: Overlap | None) -> Overlap:
    """The same with the index of the control."""
    if control is None:
        return one
    return replace(one, control=control.jaccard, control_low=control.low, control_high=control.high)


def _shuffled(
    first: Keys, second: Keys, nodes: NodeSpace, pairs: int, rounds: int, seed: int
) -> Float64[np.ndarray, "round column"]:
    """For each round the Jaccard index of all edges, then of each pair of layers; NaN where there are none.

    Both graphs hold an edge with its contrapositive, in any order of units, so one of the two is counted; and an edge
    stays between its layers, so the numbers of edges there do too.
    """
    own, other = first[once(first, nodes)], second[once(second, nodes)]
    place = layer_pairs(other, nodes)[0]
    sizes = np.bincount(layer_pairs(own, nodes)[0], minlength=pairs) + np.bincount(place, minlength=pairs)
    found = np.full((rounds, pairs + 1), np.nan)
    for turn in range(rounds):
        kept = inside(shuffled(other, nodes, seed, "diff", turn), first)
        common = np.bincount(place[kept], minlength=pairs)
        both, either = np.append(common.sum(), common), np.append((sizes - common).sum(), sizes - common)
        np.divide(both, either, out=found[turn], where=either > 0)
    return found


def _precision(found: Keys, of: Translated) -> Float64[np.ndarray, " edge"]:
    """The precision of each number that is among the edges, NaN for the others."""
    values = np.full(len(found), np.nan)
    there = inside(found, of.keys)
    values[there] = of.precision[np.searchsorted(of.keys, found[there])]
    return values
