"""`align.py counterfactual`: the trial before and after training the decoder on counterfactual latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from ndg import seeds
from ndg.counterfactual import CounterfactualSettings, counterfactual_set, train_on
from ndg.errors import ConfigError
from ndg.models import checkpoint
from ndg.options import RunOptions
from ndg.report import row_table
from ndg.runs.record import RunRecord
from ndg.runs.run import Run
from ndg.workflows.prepare import Prepared, run_folder
from ndg.workflows.studies.study_record import Findings, logged

DATA, MODEL = "counterfactual.safetensors", "model.safetensors"
NOTE = (
    "real only: the control, trained as long on the real examples alone. aligned and the controls are over the n "
    "examples that the network of that row classifies correctly; accuracy is over all. The epoch was chosen by the "
    "loss on validation."
)


def run(prepared: Sequence[Prepared]) -> list[tuple[RunRecord, Findings]]:
    """Train and try each network. The counterfactual data and the trained network are artefacts of the run."""
    return [_study(network) for network in prepared]


def _study(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, subject = prepared.target.experiment, prepared.subject
    if "validation" not in subject.loaders:
        raise ConfigError(
            f"counterfactual training chooses its epoch on validation examples; {experiment.name} has only "
            f"{', '.join(subject.loaders)}; give a loader named validation"
        )

    def work(run: Run) -> Findings:
        graph = prepared.graph
        settings, layer = experiment.counterfactual, prepared.trial_layer
        options = RunOptions(batch=prepared.passes["batch"], threads=prepared.passes["threads"], executor=prepared.by)
        data = counterfactual_set(
            subject.network,
            graph,
            subject.loaders["train"],
            settings.intervention,
            layer=layer,
            options=replace(options, seed=experiment.trial.seed),
        )
        run.artefact(data.save(run.folder / DATA))
        result = train_on(
            subject.network,
            graph,
            data,
            subject.loaders,
            settings=CounterfactualSettings(settings.epochs, settings.learning_rate, settings.mix),
            options=replace(options, seed=seeds.integer(experiment.seed, "counterfactual")),
        )
        run.artefact(_save(prepared, result.model, run))
        table = row_table.table(f"{experiment.name}: counterfactual training", result.rows(), note=NOTE)
        return Findings(result.to_dict(), [table], {"counterfactual.csv": result.rows()}, [result.words()])

    return logged("counterfactual", prepared, work, f"Counterfactual training of {experiment.name}")


def _save(prepared: Prepared, network: nn.Module, run: Run) -> Path:
    """Write the trained network, in the format of `ndg.load_model` if it was trained here."""
    trained = prepared.target.run
    description = {} if trained is None else checkpoint.read(run_folder(trained, prepared.where) / MODEL)[1]
    path = run.folder / MODEL
    checkpoint.write(path, network.state_dict(), description)
    return path
