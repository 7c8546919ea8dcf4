"""Figures of each implication, and selection of implications in pairs."""

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

EdgeCode = Int32[np.ndarray, " edge"]
EdgeCount = Int64[np.ndarray, " edge"]
EdgeRate = Float64[np.ndarray, " edge"]
EdgeMask = Bool[np.ndarray, " edge"]


@dataclass(frozen=True, eq=False)
class EdgeCounts:
    """Counts, out of `examples`, of antecedents, consequents and exceptions."""

    antecedent: EdgeCount
    consequent: EdgeCount
    exceptions: EdgeCount
    examples: int

    @property
    def support(self) -> EdgeCount:
        """Examples on which both ends hold."""
        return self.antecedent - self.exceptions

    @property
    def precision(self) -> EdgeRate:
        """P(consequent | antecedent); NaN if the antecedent never holds."""
        return _ratio(self.support, self.antecedent)

    @property
    def recall(self) -> EdgeRate:
        """P(antecedent | consequent); NaN if the consequent never holds."""
        return _ratio(self.support, self.consequent)

    @property
    def lift(self) -> EdgeRate:
        """Ratio of joint occurrence to independence; NaN if one never holds."""
        prior = _ratio(self.consequent, np.full(len(self.consequent), self.examples))
        return _ratio(self.precision, prior)


def _ratio(part: np.ndarray, whole: np.ndarray) -> EdgeRate:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def mined(implications: Implications) -> EdgeCounts:
    """Counts of each implication on the mined examples."""
    holds = implications.holds
    return EdgeCounts(
        holds[implications.antecedents], holds[implications.consequents], implications.exceptions, implications.examples
    )


def contrapositives(implications: Implications) -> EdgeCount:
    """Position of the contrapositive of each implication."""
    return _position(implications, implications.consequents ^ 1, implications.antecedents ^ 1)


def mutual(implications: Implications) -> EdgeMask:
    """Mask of implications whose converse holds too."""
    return _position(implications, implications.consequents, implications.antecedents) >= 0


def _position(implications: Implications, tails: EdgeCode, heads: EdgeCode) -> EdgeCount:
    """Position of each implication from tail to head; -1 if missing."""
    from ndg.graph.traversal import lookup

    positions = np.empty(len(tails), np.int64)
    starts = starts_of(2 * len(implications.nodes), implications.antecedents)
    lookup(starts, implications.consequents, tails, heads, positions)
    return positions


def strongest(implications: Implications, condensation: Condensation) -> Int64[np.ndarray, " arc"]:
    """Strongest implication of each arc: highest precision, then support, then lowest codes."""
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
    """Implications that meet all bounds, as their contrapositives do.

    `layers` also keeps labels.
    """
    for name, bound in (("min_precision", min_precision), ("min_recall", min_recall)):
        if bound is not None and not 0 <= bound <= 1:
            raise GraphError(f"{name} must be a probability between 0 and 1; got {bound}")
    counts = mined(implications)
    mask = np.ones(len(implications), np.bool_)
    bounds = (min_precision, counts.precision), (min_support, counts.support), (min_recall, counts.recall)
    for bound, figures in bounds:
        mask &= True if bound is None else figures >= bound
    if layers is not None:
        mask &= among(implications, marked(implications.nodes, (LABEL, *layers)))
    return select(implications, mask & mask[contrapositives(implications)])


def marked(nodes: NodeSpace, layers: Iterable[str]) -> Bool[np.ndarray, " node"]:
    """Mask of the nodes of these layers."""
    mask = np.zeros(len(nodes), np.bool_)
    for layer in layers:
        mask[nodes.slice(layer)] = True
    return mask


def among(implications: Implications, nodes: Bool[np.ndarray, " node"]) -> EdgeMask:
    """Mask of the implications with both ends among these nodes."""
    return nodes[implications.antecedents >> 1] & nodes[implications.consequents >> 1]


def select(implications: Implications, mask: EdgeMask) -> Implications:
    """Implications of the mask, over the same nodes."""
    return replace(
        implications,
        antecedents=implications.antecedents[mask],
        consequents=implications.consequents[mask],
        exceptions=implications.exceptions[mask],
    )


def restrict(implications: Implications, layers: Iterable[str], labels: bool = True) -> Implications:
    """Implications among `layers` ("concept" too) and labels, over those nodes alone."""
    old = implications.nodes
    names = set(layers) - {LABEL}
    inside = marked(old, names | ({LABEL} if labels else set()))
    nodes = NodeSpace(
        old.labels if labels else 0,
        tuple(layer for layer in old.layers if layer.name in names),
        old.concepts if CONCEPT in names else (),
    )
    if not len(nodes):
        raise GraphError(f"a graph needs at least one node; got layers {sorted(names)} and no labels")
    new = np.cumsum(inside) - 1
    inner = select(implications, among(implications, inside))
    return replace(
        inner,
        nodes=nodes,
        antecedents=(2 * new[inner.antecedents >> 1] + (inner.antecedents & 1)).astype(np.int32),
        consequents=(2 * new[inner.consequents >> 1] + (inner.consequents & 1)).astype(np.int32),
        on=inner.on[inside],
        with_label=inner.with_label[: nodes.labels, inside],
        thresholds=inner.thresholds[inside[old.labels : old.labels + old.neurons]],
        constants=tuple(Literal(int(new[c.node]), c.value) for c in inner.constants if inside[c.node]),
    )


def frames(implications: Implications, rows: int, selected: EdgeMask | None = None) -> Iterator[pd.DataFrame]:
    """Figures per implication on the mined examples, in parts of `rows`."""
    import pandas as pd

    from ndg.mining.significance import edge_significance

    counts, nodes = mined(implications), implications.nodes
    names = [name for name, where in nodes.groups for _ in range(where.stop - where.start)]
    texts, layers = texts_of(nodes), np.array(names, dtype=object)
    whole = np.full(len(implications), implications.examples)
    unknown = np.full(len(implications), np.nan)
    p_values, q_values = edge_significance(implications) if implications.examples else (unknown, unknown)
    figures = {
        "exceptions": or_nan(counts.exceptions, implications),
        "support": or_nan(counts.support, implications),
        "precision": counts.precision,
        "recall": counts.recall,
        "lift": counts.lift,
        "antecedent_prior": _ratio(counts.antecedent, whole),
        "consequent_prior": _ratio(counts.consequent, whole),
        "equivalent": mutual(implications),
        "p_value": p_values,
        "q_value": q_values,
    }
    chosen = np.arange(len(implications)) if selected is None else np.flatnonzero(selected)
    for start in range(0, max(len(chosen), 1), rows):
        part = chosen[start : start + rows]
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


def or_nan(counts: EdgeCount, implications: Implications) -> np.ndarray:
    """Counts, or NaN for a graph without examples."""
    return counts if implications.examples else np.full(len(counts), np.nan)


def plain(column: np.ndarray) -> list[float | int | bool | None]:
    """Values of a numeric column; null if not finite."""
    values = column.tolist()
    return values if np.isfinite(column).all() else [value if np.isfinite(value) else None for value in values]


def end_texts(implications: Implications) -> dict[str, np.ndarray]:
    """Texts of antecedent and consequent of each implication."""
    texts = texts_of(implications.nodes)
    return {"antecedent": texts[implications.antecedents], "consequent": texts[implications.consequents]}


def texts_of(nodes: NodeSpace) -> np.ndarray:
    """Text of each literal, by code."""
    names = [text for name in nodes.nodes() for text in (f"~{name}", name)]
    return np.array(names, dtype=object)
