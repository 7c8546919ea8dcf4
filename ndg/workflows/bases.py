"""Graphs mined from a layer in several rotated bases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ndg.abstraction.controls import CONTROLS
from ndg.abstraction.result import TrialResult
from ndg.abstraction.trial import TrialSettings, trial
from ndg.comparison.sections import EdgeFigures, Judged, label_edges
from ndg.discovery import mine
from ndg.errors import ConfigError
from ndg.extraction import ReadingSettings, extract
from ndg.graph.ndg import NDG
from ndg.intervals import rate
from ndg.mining.miner import Rule
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.results import Result
from ndg.rotation.basis import LOCALIST, Rotation

MEDIANS, MEAN = ReadingSettings(binarizer="median"), "mean"
"""Binarizer of coordinates, and values that are written for booleans."""


@dataclass(frozen=True)
class MinedBasis:
    """Graph of one basis, its held-out figures and its trial."""

    basis: str
    graph: NDG
    figures: EdgeFigures
    trial: TrialResult

    def row(self) -> dict[str, Any]:
        """Figures of the graph, the trial and its controls."""
        tally, figures = self.trial.tally, self.figures
        return {
            "basis": self.basis,
            "implications": figures.edges,
            "label_implications": label_edges(self.graph),
            "held_out_precision": figures.precision,
            "held_out_precision_low": figures.low,
            "held_out_precision_high": figures.high,
            "held_out_prior": figures.chance,
            "judged": figures.judged,
            **rate("aligned", tally.aligned, tally.correct),
            "n": tally.correct,
            "set": tally.rate("neurons_set"),
            "changed": tally.rate("neurons_changed"),
            "kept": tally.kept / tally.correct if tally.correct else None,
            **{name: self.trial.controls[name].rate("aligned") for name in CONTROLS},
        }


@dataclass(frozen=True)
class BasisComparison(Result):
    """One layer in several bases, on the same examples and alternatives."""

    layer: str
    intervention: str
    split: str
    seed: int
    bases: tuple[MinedBasis, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row per basis."""
        return [{"layer": self.layer, **basis.row()} for basis in self.bases]

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
        """Alignment of each basis against the units, by their intervals."""
        own = next((basis for basis in self.bases if basis.basis == LOCALIST), None)
        rows = [basis.row() for basis in self.bases if basis is not own]
        if own is None or own.trial.tally.correct == 0:
            return ""
        unit = own.row()
        sentences = []
        for row in (row for row in rows if row["n"]):
            if row["aligned_low"] > unit["aligned_high"]:
                how = "aligns more than the units themselves"
            elif row["aligned_high"] < unit["aligned_low"]:
                how = "aligns less than the units themselves"
            else:
                how = "is not told from the units themselves"
            sizes = f"{row['set']:.1f} coordinates set against {unit['set']:.1f}"
            sentences.append(f"{row['basis']} {how}: {row['aligned']:.3f} against {unit['aligned']:.3f}, {sizes}.")
        return " ".join(sentences)


@dataclass(frozen=True)
class BasisSettings:
    """Settings for mining and trying the graph of each basis.

    criterion     criterion of the implications, a name or a value
    alpha         its alpha, where it has one
    intervention  intervention that is on trial
    split         name of the held-out examples, written beside the results
    """

    criterion: Rule = "paper"
    alpha: float | int = 20.0
    intervention: str = "Q"
    split: str = ""

    def __post_init__(self) -> None:
        plain_numbers(self)


@old_keywords(settings=BasisSettings, options=RunOptions)
def compare(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    rotations: Sequence[Rotation],
    *,
    settings: BasisSettings = BasisSettings(),
    options: RunOptions = RunOptions(),
) -> BasisComparison:
    """Graphs mined from `train` in each basis and tried on `held_out`.

    All bases, `ndg.rotation.basis.localist` included, are treated in the same way: a coordinate is on above its median
    on `train`, and a boolean is written as the mean of the coordinate over the training examples with that boolean.
    Raises ConfigError without rotations or for those of different layers.
    """
    intervention, split = settings.intervention, settings.split
    layers = {rotation.layer for rotation in rotations}
    if len(layers) != 1:
        raise ConfigError(f"all bases must be of one layer; got those of {', '.join(sorted(layers)) or 'none'}")
    bases = []
    for rotation in rotations:
        turned = rotation.apply(model)
        bits = extract(turned, train, [rotation.path], settings=MEDIANS, options=options)
        graph = mine(bits, settings.criterion, alpha=settings.alpha)
        judged = extract(turned, held_out, like=bits, options=options)
        tried = trial(
            turned,
            graph,
            held_out,
            intervention,
            fit=train,
            settings=TrialSettings(values=MEAN, split=split),
            options=options,
        )
        bases.append(MinedBasis(rotation.how, graph, Judged.of(graph, judged).figures(), tried))
    return BasisComparison(layers.pop(), intervention, split, options.seed, tuple(bases))
