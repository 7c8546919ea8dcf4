"""What the implications of a graph hold: nodes, origin, figures on examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError, check_kind
from ndg.graph import edges, evaluate
from ndg.graph.evaluate import HeldOut
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.nodes import NodeSpace
from ndg.plots import Plot, Series

if TYPE_CHECKING:
    import pandas as pd


class Measured:
    """Properties and figures of the implications of a graph."""

    implications: Implications

    @property
    def nodes(self) -> NodeSpace:
        return self.implications.nodes

    @property
    def examples(self) -> int:
        """Number of mined examples."""
        return self.implications.examples

    @property
    def criterion(self) -> dict[str, Any]:
        """Name and parameters of the criterion of the implications."""
        return dict(self.implications.criterion)

    @property
    def thresholds(self) -> Float64[np.ndarray, " neuron"]:
        """Activation above which each neuron is on."""
        return self.implications.thresholds

    @property
    def binarizer(self) -> str:
        return self.implications.binarizer

    @property
    def constants(self) -> tuple[Literal, ...]:
        """Literals that (nearly) always hold; they take part in no implication."""
        return self.implications.constants

    def edges_frame(self) -> pd.DataFrame:
        """One row per implication, with its figures on the mined examples.

        They are exceptions, support, precision, recall, lift, priors, whether the converse holds too, p- and q-value of
        so few exceptions. Null if unknown.
        """
        return next(edges.frames(self.implications, max(len(self.implications), 1)))

    def evaluate(self, bits: BitMatrix, any_thresholds: bool = False) -> pd.DataFrame:
        """One row per implication: precision and recall on held-out `bits`.

        They have 95 % Wilson intervals; null if the antecedent or the consequent never holds. `any_thresholds` accepts
        the bits of another network with as many units.
        """
        return evaluate.frame(self.implications, packed(bits), any_thresholds)

    def precisions(self, bits: BitMatrix, any_thresholds: bool = False) -> Plot:
        """Precision of each implication on held-out `bits`, against that on the mined examples; `.plot()` draws it."""
        table = self.evaluate(bits, any_thresholds).dropna(subset=["precision"])
        series = Series("implications", tuple(table["mined_precision"]), tuple(table["precision"]))
        title = f"{len(series.x):,} implications on {bits.examples:,} held-out examples"
        axes = "precision when mined", "held-out precision"
        return Plot(title, *axes, (series,), "points", diagonal=True)

    def held_out(self, bits: BitMatrix, any_thresholds: bool = False) -> HeldOut:
        """Mean held-out precision and recall, with their numbers of implications."""
        return evaluate.summary(self.implications, packed(bits), any_thresholds)


def packed(bits: object) -> BitMatrix:
    """The bits; BitsError for another value."""
    rule = "examples of a graph are packed booleans, an ndg.BitMatrix"
    check_kind(bits, BitMatrix, rule, "extract them: ndg.extract(network, loader, like=graph)", BitsError)
    return bits  # type: ignore[return-value]
