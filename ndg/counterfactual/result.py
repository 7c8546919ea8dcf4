"""What counterfactual training changed: alignment and ordinary accuracy, before and after, with their controls."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from ndg.abstraction.controls import CONTROLS
from ndg.abstraction.result import TrialResult
from ndg.counterfactual.counterfactual_set import Origin
from ndg.intervals import wilson

if TYPE_CHECKING:
    import pandas as pd

BEFORE, AFTER, REAL_ONLY = "before", "after", "real only"
"""The network as it was, after counterfactual training, and, as a control, after training on real examples alone."""


@dataclass(frozen=True)
class Epoch:
    """Mean losses (nats) of an epoch; epoch 0 is the network as it was."""

    number: int
    train_loss: float | None
    validation_loss: float


@dataclass(frozen=True, eq=False)
class CounterfactualResult:
    """The trained `model`, and the trial of the same graph on every stage and split.

    `histories` has the epochs of the two trainings; the one with the lowest validation loss was kept.
    """

    model: nn.Module
    origin: Origin
    trials: dict[str, dict[str, TrialResult]]
    histories: dict[str, tuple[Epoch, ...]]
    settings: dict[str, Any]

    @property
    def before(self) -> dict[str, TrialResult]:
        """The trial of the network as it was, by split."""
        return self.trials[BEFORE]

    @property
    def after(self) -> dict[str, TrialResult]:
        """The trial of the trained network, by split."""
        return self.trials[AFTER]

    def epoch(self, stage: str = AFTER) -> int:
        """The epoch that was kept, chosen on validation; 0 where none was better than the network as it was."""
        return min(self.histories[stage], key=lambda epoch: (epoch.validation_loss, epoch.number)).number

    def rows(self) -> list[dict[str, Any]]:
        """One row per split and stage.

        Accuracy is over all `examples`; aligned and the controls, of as many neurons, are over the `n` of them that the
        network of that stage classifies correctly. 95 % Wilson intervals; None where n is zero.
        """
        return [
            {"split": split, "stage": stage, **_row(self.trials[stage][split])}
            for split in self.before
            for stage in self.trials
        ]

    def frame(self) -> pd.DataFrame:
        """`rows` as a pandas.DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the run log."""
        return {
            **asdict(self.origin),
            "settings": self.settings,
            "epoch": {stage: self.epoch(stage) for stage in self.histories},
            "histories": {stage: [asdict(epoch) for epoch in epochs] for stage, epochs in self.histories.items()},
            "rows": self.rows(),
            "trials": {
                stage: {split: one.to_dict() for split, one in found.items()} for stage, found in self.trials.items()
            },
            "words": self.words(),
        }

    def words(self) -> str:
        """What the training changed, in a sentence per split; and what the graph's choice is beside the class
        prototype."""
        rows = {(row["split"], row["stage"]): row for row in self.rows()}
        said = []
        for split in self.before:
            old, new, real = (rows[split, stage] for stage in (BEFORE, AFTER, REAL_ONLY))
            said.append(
                f"{split}: {self.origin.intervention} aligns {_spelt(new['aligned'])} after counterfactual training, "
                f"{_spelt(old['aligned'])} before, {_spelt(real['aligned'])} after training on real examples alone; "
                f"accuracy {_spelt(new['accuracy'])}, {_spelt(old['accuracy'])} before."
            )
            said.append(self.after[split].words())
        return " ".join(said)


def _row(found: TrialResult) -> dict[str, Any]:
    tally = found.tally
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
        **{name: found.controls[name].rate("aligned") for name in CONTROLS},
    }


def _spelt(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.3f}"
