"""Mining in rotated bases: what a graph of the same layer is, and does, when its neurons are other directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from ndg import seeds
from ndg.abstraction.controls import CONTROLS
from ndg.abstraction.result import TrialResult
from ndg.abstraction.trial import trial
from ndg.activations.compute import COMPUTE_BATCH
from ndg.discovery import mine
from ndg.errors import ConfigError
from ndg.extraction import extract
from ndg.graph.evaluate import count_edges
from ndg.graph.ndg import NDG
from ndg.mining.miner import Rule
from ndg.nodes import LABEL
from ndg.rotation.value import LOCALIST, Rotation

if TYPE_CHECKING:
    import pandas as pd

    from ndg.bits.matrix import BitMatrix

RESAMPLES = 1000
MEDIAN, MEAN = "median", "mean"
"""How coordinates become booleans, and booleans coordinates."""


@dataclass(frozen=True)
class MinedBasis:
    """The graph of one basis: implications, those that a label takes part in, and how they hold on other examples.

    `precision` is the mean over the `judged` implications whose antecedent occurs there, with its 95 % bootstrap
    interval over them; `prior`, its control, the mean rate of their consequents. All None where none is judged.
    """

    basis: str
    graph: NDG
    implications: int
    label_implications: int
    judged: int
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    prior: float | None
    trial: TrialResult

    def row(self) -> dict[str, Any]:
        """Figures of the graph, then of the trial with its controls beside it."""
        tally = self.trial.tally
        low, high = tally.interval("aligned")
        return {
            "basis": self.basis,
            "implications": self.implications,
            "label_implications": self.label_implications,
            "held_out_precision": self.precision,
            "held_out_precision_low": self.precision_low,
            "held_out_precision_high": self.precision_high,
            "held_out_prior": self.prior,
            "judged": self.judged,
            "aligned": tally.rate("aligned"),
            "aligned_low": low,
            "aligned_high": high,
            "n": tally.correct,
            "set": tally.rate("neurons_set"),
            "changed": tally.rate("neurons_changed"),
            "kept": tally.kept / tally.correct if tally.correct else None,
            **{name: self.trial.controls[name].rate("aligned") for name in CONTROLS},
        }


@dataclass(frozen=True)
class BasisComparison:
    """The same layer in several bases, judged on the same examples with the same alternatives."""

    layer: str
    intervention: str
    split: str
    seed: int
    bases: tuple[MinedBasis, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row per basis."""
        return [{"layer": self.layer, **basis.row()} for basis in self.bases]

    def frame(self) -> pd.DataFrame:
        """`rows` as a pandas.DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the run log."""
        return {
            "layer": self.layer,
            "intervention": self.intervention,
            "split": self.split,
            "seed": self.seed,
            "rows": self.rows(),
            "graphs": {basis.basis: basis.graph.digest for basis in self.bases},
            "words": self.words(),
        }

    def words(self) -> str:
        """Whether another basis aligns more than the units themselves, as far as the intervals tell."""
        own = next((basis for basis in self.bases if basis.basis == LOCALIST), None)
        rows = [basis.row() for basis in self.bases if basis is not own]
        if own is None or own.trial.tally.correct == 0:
            return ""
        unit = own.row()
        said = []
        for row in rows:
            if row["aligned_low"] > unit["aligned_high"]:
                how = "aligns more than the units themselves"
            elif row["aligned_high"] < unit["aligned_low"]:
                how = "aligns less than the units themselves"
            else:
                how = "is not told from the units themselves"
            sizes = f"{row['set']:.1f} coordinates set against {unit['set']:.1f}"
            said.append(f"{row['basis']} {how}: {row['aligned']:.3f} against {unit['aligned']:.3f}, {sizes}.")
        return " ".join(said)


def compare(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    rotations: Sequence[Rotation],
    *,
    criterion: Rule = "paper",
    alpha: float | int = 20.0,
    intervention: str = "Q",
    split: str = "",
    seed: int = 0,
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
) -> BasisComparison:
    """A graph mined from `train` in every basis, judged and tried on `held_out`, side by side.

    All bases, `ndg.rotation.value.localist` among them, are treated alike: a coordinate is on above its median on
    `train`, and a boolean is written as the mean of the coordinate given it there. Raises ConfigError without
    rotations or for those of different layers.
    """
    layers = {rotation.layer for rotation in rotations}
    if len(layers) != 1:
        raise ConfigError(f"bases of one layer are compared; got those of {', '.join(sorted(layers)) or 'none'}")
    bases = []
    for rotation in rotations:
        turned = rotation.apply(model)
        bits = extract(turned, train, [rotation.path], binarizer=MEDIAN, batch=batch, threads=threads, seed=seed)
        graph = mine(bits, criterion, alpha)
        judged = extract(turned, held_out, like=bits, batch=batch, threads=threads)
        tried = trial(
            turned,
            graph,
            held_out,
            intervention,
            executor="serial",
            seed=seed,
            split=split,
            batch=batch,
            threads=threads,
            values=MEAN,
            fit=train,
        )
        bases.append(_mined(rotation.how, graph, judged, tried, seed))
    return BasisComparison(layers.pop(), intervention, split, seed, tuple(bases))


def _mined(basis: str, graph: NDG, bits: BitMatrix, tried: TrialResult, seed: int) -> MinedBasis:
    held = count_edges(graph.implications, bits)
    judged = held.antecedent > 0
    labels = graph.nodes.slice(LABEL).stop
    touched = (graph.implications.antecedents >> 1 < labels) | (graph.implications.consequents >> 1 < labels)
    precision, prior = held.precision[judged], held.consequent[judged] / held.examples
    low = high = None
    if len(precision):
        draws = seeds.generator(seed, "precision bootstrap")
        means = [precision[draws.integers(len(precision), size=len(precision))].mean() for _ in range(RESAMPLES)]
        low, high = (float(end) for end in np.quantile(means, [0.025, 0.975]))
    return MinedBasis(
        basis=basis,
        graph=graph,
        implications=len(graph.implications),
        label_implications=int(touched.sum()),
        judged=len(precision),
        precision=float(precision.mean()) if len(precision) else None,
        precision_low=low,
        precision_high=high,
        prior=float(prior.mean()) if len(prior) else None,
        trial=tried,
    )
