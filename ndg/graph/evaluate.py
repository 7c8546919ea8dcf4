"""Held-out evaluation of implications; mined precision is high by construction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from ndg.bits.matrix import BitMatrix
from ndg.errors import ShapeError
from ndg.graph.edges import EdgeCode, EdgeCounts, end_texts, mined
from ndg.intervals import wilson
from ndg.mining.implications import Implications
from ndg.progress import bar
from ndg.results import Result, Row, mean

if TYPE_CHECKING:
    import pandas as pd

PairCount = Int64[np.ndarray, " pair"]
BLOCK_WORDS = 1 << 18  # words of all nodes at a time: 2 MiB, which fit the cache of a core


@dataclass(frozen=True)
class HeldOut(Result):
    """Mean figures of the implications on `examples` held-out examples.

    `precision` and `mined_precision` are over the `judged` implications whose antecedent occurs in the held-out
    examples, `recall` and `mined_recall` over the `recalled` ones whose consequent occurs; null if there are none.
    `base_rate` is how often the consequents of the judged implications hold on all examples, which a precision has to
    exceed.

    >>> held_out = graph.held_out(bits)
    >>> held_out.examples
    300
    >>> held_out.precision == held_out.mined_precision
    True
    """

    implications: int
    examples: int
    judged: int
    precision: float | None
    mined_precision: float | None
    recalled: int
    recall: float | None
    mined_recall: float | None
    base_rate: float | None = None

    def rows(self) -> list[Row]:
        """One row with all figures."""
        return [asdict(self)]

    def to_dict(self) -> Row:
        """Plain JSON types for the run log."""
        return asdict(self)

    def words(self) -> str:
        """Mean precision and recall on the held-out examples, beside those on the mined ones."""
        figures = (self.precision, self.recall, self.mined_precision, self.mined_recall, self.base_rate)
        if None in figures:
            return f"None of {self.implications:,} implications can be judged on {self.examples:,} examples."
        return (
            f"{self.judged:,} of {self.implications:,} implications judged on {self.examples:,} held-out examples: "
            f"mean precision {self.precision:.3f} (mined {self.mined_precision:.3f}; consequents hold on "
            f"{self.base_rate:.3f} of all examples), "
            f"mean recall {self.recall:.3f} (mined {self.mined_recall:.3f})."
        )


def count_edges(implications: Implications, bits: BitMatrix, any_thresholds: bool = False) -> EdgeCounts:
    """Counts of each implication on `bits`.

    ShapeError for other nodes or thresholds.
    """
    nodes = implications.nodes
    if bits.nodes != nodes:
        raise ShapeError(
            f"bits for evaluation must have the graph's nodes: expected {nodes}, got {bits.nodes}; "
            "extract the same layers of a network of the same shape, and add the same concepts by .with_concepts"
        )
    if not any_thresholds and not np.array_equal(bits.thresholds, implications.thresholds, equal_nan=True):
        raise ShapeError(
            "bits for evaluation must have the graph's thresholds; extract them with like=graph, "
            "or pass any_thresholds=True for the bits of another network"
        )
    return edge_counts(implications.antecedents, implications.consequents, bits)


def edge_counts(antecedents: EdgeCode, consequents: EdgeCode, bits: BitMatrix) -> EdgeCounts:
    """Counts on `bits` of the implications from antecedents to consequents."""
    nodes = len(bits.nodes)
    first, second = (codes.astype(np.int64) >> 1 for codes in (antecedents, consequents))
    keys = np.minimum(first, second) * nodes + np.maximum(first, second)
    pairs, inverse = np.unique(keys, return_inverse=True)
    both = common_counts(bits, pairs // max(nodes, 1), pairs % max(nodes, 1))[inverse]

    on, n = bits.on(), bits.examples
    holds = np.stack([n - on, on], axis=1).reshape(-1)
    antecedent, consequent = holds[antecedents], holds[consequents]
    first_on = np.where(consequents & 1, both, on[first] - both)
    support = np.where(antecedents & 1, first_on, consequent - first_on)
    return EdgeCounts(antecedent, consequent, antecedent - support, n)


def common_counts(bits: BitMatrix, rows: PairCount, columns: PairCount) -> PairCount:
    """Examples on which both nodes of each pair are on."""
    from ndg.graph.traversal import add_common

    counts = np.zeros(len(rows), np.int64)
    step = max(BLOCK_WORDS // max(len(bits.words), 1), 1)
    for start in bar(range(0, bits.words.shape[1], step), "evaluating", unit="block"):
        add_common(np.ascontiguousarray(bits.words[:, start : start + step]), rows, columns, counts)
    return counts


def frame(implications: Implications, bits: BitMatrix, any_thresholds: bool = False) -> pd.DataFrame:
    """One row per implication: held-out and mined precision and recall, as `NDG.evaluate`."""
    import pandas as pd

    held_out, on_mined = count_edges(implications, bits, any_thresholds), mined(implications)
    rates: dict[str, np.ndarray] = {}
    for name, n in (("precision", held_out.antecedent), ("recall", held_out.consequent)):
        low, high = (np.where(n > 0, end, np.nan) for end in wilson(held_out.support, n))
        rates |= {name: getattr(held_out, name), f"{name}_low": low, f"{name}_high": high}
    return pd.DataFrame(
        {
            **end_texts(implications),
            **rates,
            "n_antecedent": held_out.antecedent,
            "n_consequent": held_out.consequent,
            "exceptions": held_out.exceptions,
            "mined_precision": on_mined.precision,
            "mined_recall": on_mined.recall,
        }
    )


def summary(implications: Implications, bits: BitMatrix, any_thresholds: bool = False) -> HeldOut:
    """Mean held-out precision and recall, with their numbers of implications."""
    held_out, on_mined = count_edges(implications, bits, any_thresholds), mined(implications)
    judged, recalled = held_out.antecedent > 0, held_out.consequent > 0
    return HeldOut(
        implications=len(implications),
        examples=bits.examples,
        judged=int(judged.sum()),
        precision=mean(held_out.precision[judged]),
        mined_precision=mean(on_mined.precision[judged]),
        recalled=int(recalled.sum()),
        recall=mean(held_out.recall[recalled]),
        mined_recall=mean(on_mined.recall[recalled]),
        base_rate=mean(held_out.consequent[judged] / max(bits.examples, 1)),
    )
