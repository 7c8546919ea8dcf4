"""Counterfactual training with trials before and after, and controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from ndg.abstraction.controls import CONTROLS
from ndg.abstraction.result import TrialResult
from ndg.abstraction.trial import TrialSettings, trial
from ndg.counterfactual.counterfactual_set import CounterfactualSet, Origin
from ndg.counterfactual.training import AFTER, REAL_ONLY, TRAIN, CounterfactualSettings, Epoch, train_copies
from ndg.graph.ndg import NDG
from ndg.intervals import rate
from ndg.interventions.substitution import Boolean
from ndg.options import RunOptions, old_keywords
from ndg.results import Result

BEFORE = "before"
"""Stage of the original network."""


@dataclass(frozen=True, eq=False)
class CounterfactualResult(Result):
    """The trained `model`, and trials and epochs by stage."""

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


@old_keywords(settings=CounterfactualSettings, options=RunOptions)
def train_on(
    model: nn.Module,
    graph: NDG,
    data: CounterfactualSet,
    loaders: Mapping[str, Iterable[Any]],
    *,
    settings: CounterfactualSettings = CounterfactualSettings(),
    options: RunOptions = RunOptions(),
) -> CounterfactualResult:
    """Train a copy of the network after the layer on `data`, and compare both.

    `loaders` maps `train` (the examples of `data`), `validation` and any held-out split to loaders; all but `train` are
    put on trial. Each step sees its examples twice: the real latents with the true class, weighted by 1 - `mix`, and
    the written ones with the alternative, weighted by `mix`. Everything before the layer is frozen, dropout is off. The
    epoch with the lowest loss on `validation` is kept; 0 is the original network. As a control, a second copy is
    trained on the real examples alone.

    Raises GraphError or CheckpointError for data of another graph or network; DataError without `train` or
    `validation`, for other examples than those of `data`, or for a loader that shuffles; LayerError without parameters
    after the layer; FailureError for a loss that is not finite.
    """
    networks, histories = train_copies(model, graph, data, loaders, settings, options)
    origin = data.origin
    trials = {
        stage: {
            split: trial(
                network,
                graph,
                loader,
                origin.intervention,
                settings=TrialSettings(origin.layer, Boolean(), split=split, any_network=True),
                options=replace(options, seed=origin.seed),
            )
            for split, loader in loaders.items()
            if split != TRAIN
        }
        for stage, network in {BEFORE: model, **networks}.items()
    }
    facts = {
        **asdict(settings),
        "learning_rate": float(settings.learning_rate),
        "mix": float(settings.mix),
        "seed": options.seed,
        "data_seed": origin.seed,
        "examples": len(data),
    }
    return CounterfactualResult(networks[AFTER], origin, trials, histories, facts)


def _row(trial: TrialResult) -> dict[str, Any]:
    tally = trial.tally
    return {
        **rate("accuracy", tally.correct, tally.examples),
        "examples": tally.examples,
        **rate("aligned", tally.aligned, tally.correct),
        "n": tally.correct,
        "neurons_set": tally.rate("neurons_set"),
        "neurons_changed": tally.rate("neurons_changed"),
        **{name: trial.controls[name].rate("aligned") for name in CONTROLS},
    }


def _format(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.3f}"
