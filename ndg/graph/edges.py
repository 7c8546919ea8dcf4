"""The figures of each implication, and implications kept or dropped in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from ndg.errors import GraphError
from ndg.graph.condensation import Condensation, starts_of
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.nodes import CONCEPT, LABEL, NodeSpace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class EdgeCounts:
    """Examples, of `examples`, on which the antecedent holds, the consequent holds, and the implication fails."""

    antecedent: Int64[np.ndarray, " edge"]
    consequent: Int64[np.ndarray, " edge"]
    exceptions: Int64[np.ndarray, " edge"]
    examples: int

    @property
    def support(self) -> Int64[np.ndarray, " edge"]:
        """Examples on which both hold."""
        return self.antecedent - self.exceptions

    @property
    def precision(self) -> Float64[np.ndarray, " edge"]:
        """P(consequent | antecedent); NaN where the antecedent never holds."""
        return _ratio(self.support, self.antecedent)

    @property
    def recall(self) -> Float64[np.ndarray, " edge"]:
        """P(antecedent | consequent); NaN where the consequent never holds."""
        return _ratio(self.support, self.consequent)

    @property
    def lift(self) -> Float64[np.ndarray, " edge"]:
        """How many times more often both hold than if they were independent; NaN where one never holds."""
        prior = _ratio(self.consequent, np.full(len(self.consequent), self.examples))
        return _ratio(self.precision, prior)


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " edge"]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def mined(implications: Implications) -> EdgeCounts:
    """The counts of each implication on the examples it was mined from."""
    holds = implications.holds
    return EdgeCounts(
        holds[implications.antecedents],
        holds[implications.consequents],
        implications.exceptions,
        implications.examples,
    )


def contrapositives(implications: Implications) -> Int64[np.ndarray, " edge"]:
    """Where the contrapositive of each implication stands among them."""
    return _position(implications, implications.consequents ^ 1, implications.antecedents ^ 1)


def mutual(implications: Implications) -> Bool[np.ndarray, " edge"]:
    """Whether each implication holds in the other direction too: its ends are directly equivalent."""
    return _position(implications, implications.consequents, implications.antecedents) >= 0


def _position(
    implications: Implications, tails: Int32[np.ndarray, " edge"], heads: Int32[np.ndarray, " edge"]
) -> Int64[np.ndarray, " edge"]:
    """Where the implication of each head by each tail stands; -1 where there is none."""
    from ndg.graph.traversal import stand

    found = np.empty(len(tails), np.int64)
    stand(
        starts_of(2 * len(implications.nodes), implications.antecedents), implications.consequents, tails, heads, found
    )
    return found


def strongest(implications: Implications, condensation: Condensation) -> Int64[np.ndarray, " arc"]:
    """For each arc between components the implication of highest precision, then highest support, then lowest codes."""
    from ndg.graph.traversal import strongest_edges

    counts, best = mined(implications), np.empty(len(condensation.tails), np.int64)
    strongest_edges(
        condensation.starts,
        condensation.heads,
        condensation.component,
        implications.antecedents,
        implications.consequents,
        np.nan_to_num(counts.precision, nan=-1.0),
        counts.support,
        best,
    )
    return best


def keep(
    implications: Implications,
    min_precision: float | int | None = None,
    min_support: int | None = None,
    min_recall: float | int | None = None,
    layers: Iterable[str] | None = None,
) -> Implications:
    """The implications that meet all bounds together with their contrapositives; the others leave in pairs.

    `layers` keeps those with both ends in these layers or among the labels; "concept" names the concepts.
    """
    for name, bound in (("min_precision", min_precision), ("min_recall", min_recall)):
        if bound is not None and not 0 <= bound <= 1:
            raise GraphError(f"{name} is a probability between 0 and 1; got {bound}")
    counts = mined(implications)
    kept = np.ones(len(implications), np.bool_)
    if min_precision is not None:
        kept &= counts.precision >= min_precision
    if min_support is not None:
        kept &= counts.support >= min_support
    if min_recall is not None:
        kept &= counts.recall >= min_recall
    if layers is not None:
        inside = np.zeros(len(implications.nodes), np.bool_)
        for layer in (LABEL, *_names(layers)):
            inside[implications.nodes.slice(layer)] = True
        kept &= inside[implications.antecedents >> 1] & inside[implications.consequents >> 1]
    return select(implications, kept & kept[contrapositives(implications)])


def select(implications: Implications, kept: Bool[np.ndarray, " edge"]) -> Implications:
    """The implications marked, over the same nodes."""
    return replace(
        implications,
        antecedents=implications.antecedents[kept],
        consequents=implications.consequents[kept],
        exceptions=implications.exceptions[kept],
    )


def restrict(implications: Implications, layers: Iterable[str], labels: bool = True) -> Implications:
    """The implications among the units of these layers, and among the labels if wanted, over those nodes alone.

    "concept" names the concepts as a layer.
    """
    old = implications.nodes
    wanted = set(_names(layers)) - {LABEL}
    for layer in wanted:
        old.slice(layer)
    nodes = NodeSpace(
        old.labels if labels else 0,
        tuple(layer for layer in old.layers if layer.name in wanted),
        old.concepts if CONCEPT in wanted else (),
    )
    if not len(nodes):
        raise GraphError(f"a graph has at least one node; got layers {sorted(wanted)} and no labels")
    inside = np.zeros(len(old), np.bool_)
    for layer in wanted | ({LABEL} if labels else set()):
        inside[old.slice(layer)] = True
    new = np.cumsum(inside) - 1

    kept = select(implications, inside[implications.antecedents >> 1] & inside[implications.consequents >> 1])
    return replace(
        kept,
        nodes=nodes,
        antecedents=(2 * new[kept.antecedents >> 1] + (kept.antecedents & 1)).astype(np.int32),
        consequents=(2 * new[kept.consequents >> 1] + (kept.consequents & 1)).astype(np.int32),
        on=kept.on[inside],
        with_label=kept.with_label[: nodes.labels, inside],
        thresholds=kept.thresholds[inside[old.labels : old.labels + old.neurons]],
        constants=tuple(Literal(int(new[c.node]), c.value) for c in kept.constants if inside[c.node]),
    )


def frame(implications: Implications) -> pd.DataFrame:
    """One row per implication, with its figures on the mined examples."""
    return next(frames(implications, max(len(implications), 1)))


def frames(
    implications: Implications, rows: int, wanted: Bool[np.ndarray, " edge"] | None = None
) -> Iterator[pd.DataFrame]:
    """`frame`, at most `rows` implications at a time, of those `wanted`; one empty frame where there are none."""
    import pandas as pd

    counts, nodes = mined(implications), implications.nodes
    names = [name for name, where in nodes.groups for _ in range(where.stop - where.start)]
    texts, layers = texts_of(nodes), np.array(names, dtype=object)
    whole = np.full(len(implications), implications.examples)
    p_values, q_values = significance(implications)
    figures = {
        "exceptions": known(counts.exceptions, implications),
        "support": known(counts.support, implications),
        "precision": counts.precision,
        "recall": counts.recall,
        "lift": counts.lift,
        "antecedent_prior": _ratio(counts.antecedent, whole),
        "consequent_prior": _ratio(counts.consequent, whole),
        "equivalent": mutual(implications),
        "p_value": p_values,
        "q_value": q_values,
    }
    told = np.arange(len(implications)) if wanted is None else np.flatnonzero(wanted)
    for start in range(0, max(len(told), 1), rows):
        part = told[start : start + rows]
        tails, heads = implications.antecedents[part], implications.consequents[part]
        yield pd.DataFrame(
            {
                "antecedent": texts[tails],
                "consequent": texts[heads],
                "antecedent_layer": layers[tails >> 1],
                "consequent_layer": layers[heads >> 1],
                **{name: column[part] for name, column in figures.items()},
            }
        )


def known(counts: Int64[np.ndarray, " edge"], implications: Implications) -> np.ndarray:
    """Counts, or NaN where there are no examples that they could have been counted on."""
    return counts if implications.examples else np.full(len(counts), np.nan)


def significance(
    implications: Implications,
) -> tuple[Float64[np.ndarray, " edge"], Float64[np.ndarray, " edge"]]:
    """P-value and q-value of each implication; NaN where the counts or the number of tests are not known."""
    from ndg.mining.significance import edge_significance

    unknown = np.full(len(implications), np.nan)
    if not implications.examples:
        return unknown, unknown
    if not implications.tests:
        return edge_significance(replace(implications, tests=max(len(implications), 1)))[0], unknown
    return edge_significance(implications)


def ends(implications: Implications) -> dict[str, np.ndarray]:
    """The text of antecedent and consequent of each implication."""
    texts = texts_of(implications.nodes)
    return {"antecedent": texts[implications.antecedents], "consequent": texts[implications.consequents]}


def texts_of(nodes: NodeSpace) -> np.ndarray:
    """How each literal is written, by its code."""
    names = [text for name in nodes.nodes() for text in (f"~{name}", name)]
    return np.array(names, dtype=object)


def _names(layers: Iterable[str]) -> tuple[str, ...]:
    return (layers,) if isinstance(layers, str) else tuple(layers)
