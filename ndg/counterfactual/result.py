"""Alignment and accuracy before and after counterfactual training, with controls."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from ndg.abstraction.controls import CONTROLS
from ndg.abstraction.result import TrialResult
from ndg.counterfactual.counterfactual_set import Origin
from ndg.intervals import wilson
from ndg.results import Result

BEFORE, AFTER, REAL_ONLY = "before", "after", "real only"
"""Original network; after counterfactual training; after training on real examples alone, as a control."""


@dataclass(frozen=True)
class Epoch:
    """Mean losses (nats) of an epoch; epoch 0 is the original network."""

    number: int
    train_loss: float | None
    validation_loss: float


@dataclass(frozen=True, eq=False)
class CounterfactualResult(Result):
    """The trained `model`, and trials of the graph by stage and split.

    `histories` holds the epochs of both trainings; the epoch with the lowest validation loss is kept.
    """

    model: nn.Module
    origin: Origin
    trials: dict[str, dict[str, TrialResult]]
    histories: dict[str, tuple[Epoch, ...]]
    settings: dict[str, Any]

    @property
    def before(self) -> dict[str, TrialResult]:
        """Trials of the original network, by split."""
        return self.trials[BEFORE]

    @property
    def after(self) -> dict[str, TrialResult]:
        """Trials of the trained network, by split."""
        return self.trials[AFTER]

    def epoch(self, stage: str = AFTER) -> int:
        """The kept epoch, chosen on validation; 0 for the original network."""
        return min(self.histories[stage], key=lambda epoch: (epoch.validation_loss, epoch.number)).number

    def rows(self) -> list[dict[str, Any]]:
        """One row per split and stage, with 95 % Wilson intervals.

        Accuracy is over all `examples`; aligned and the controls (of as many neurons) are over the `n` examples that
        the network of the stage classifies correctly. None where n is zero.
        """
        return [
            {"split": split, "stage": stage, **_row(self.trials[stage][split])}
            for split in self.before
            for stage in self.trials
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the run log."""
        return {
            **asdict(self.origin),
            "settings": self.settings,
            "epoch": {stage: self.epoch(stage) for stage in self.histories},
            "histories": {stage: [asdict(epoch) for epoch in epochs] for stage, epochs in self.histories.items()},
            "rows": self.rows(),
            "trials": {
                stage: {split: trial.to_dict() for split, trial in trials.items()}
                for stage, trials in self.trials.items()
            },
            "words": self.words(),
        }

    def words(self) -> str:
        """The change by training, and the trial's own sentence, for each split."""
        rows = {(row["split"], row["stage"]): row for row in self.rows()}
        sentences = []
        for split in self.before:
            old, new, real = (rows[split, stage] for stage in (BEFORE, AFTER, REAL_ONLY))
            sentences.append(
                f"{split}: {self.origin.intervention} aligns {_format(new['aligned'])} after counterfactual training, "
                f"{_format(old['aligned'])} before, {_format(real['aligned'])} after training on real examples alone; "
                f"accuracy {_format(new['accuracy'])}, {_format(old['accuracy'])} before."
            )
            sentences.append(self.after[split].words())
        return " ".join(sentences)


def _row(trial: TrialResult) -> dict[str, Any]:
    tally = trial.tally
    low, high = wilson(tally.correct, tally.examples)
    aligned_low, aligned_high = tally.interval("aligned")
    return {
        "accuracy": tally.correct / tally.examples if tally.examples else None,
        "accuracy_low": float(low) if tally.examples else None,
        "accuracy_high": float(high) if tally.examples else None,
        "examples": tally.examples,
        "aligned": tally.rate("aligned"),
        "aligned_low": aligned_low if tally.correct else None,
        "aligned_high": aligned_high if tally.correct else None,
        "n": tally.correct,
        "neurons_set": tally.rate("neurons_set"),
        "neurons_changed": tally.rate("neurons_changed"),
        **{name: trial.controls[name].rate("aligned") for name in CONTROLS},
    }


def _format(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.3f}"
