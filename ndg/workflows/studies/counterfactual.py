"""`align.py counterfactual`: train what follows the layer on counterfactual latents, and try it before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ndg import seeds
from ndg.counterfactual import counterfactual_set, train_on
from ndg.errors import ConfigError
from ndg.models import checkpoint
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
    """Each network before and after counterfactual training; its data and the trained network lie in the folder."""
    return [_one(one) for one in prepared]


def _one(prepared: Prepared) -> tuple[RunRecord, Findings]:
    experiment, subject = prepared.target.experiment, prepared.subject
    if "validation" not in subject.loaders:
        raise ConfigError(
            f"counterfactual training chooses its epoch on validation examples; {experiment.name} has "
            f"{', '.join(subject.loaders)}; give a loader named validation"
        )

    def work(one: Run) -> Findings:
        graph = prepared.graph
        settings, layer = experiment.counterfactual, prepared.trial_layer
        how = {"batch": prepared.passes["batch"], "threads": prepared.passes["threads"]}
        data = counterfactual_set(
            subject.network,
            graph,
            subject.loaders["train"],
            settings.intervention,
            layer=layer,
            seed=experiment.trial.seed,
            **how,
        )
        one.artefact(data.save(one.folder / DATA))
        found = train_on(
            subject.network,
            graph,
            data,
            subject.loaders,
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            mix=settings.mix,
            seed=seeds.integer(experiment.seed, "counterfactual"),
            executor=prepared.executor,
            **how,
        )
        one.artefact(_save(prepared, found.model, one))
        table = row_table.table(f"{experiment.name}: counterfactual training", found.rows(), note=NOTE)
        return Findings(found.to_dict(), [table], {"counterfactual.csv": found.rows()}, [found.words()])

    return logged("counterfactual", prepared, work, f"Counterfactual training of {experiment.name}")


def _save(prepared: Prepared, network: nn.Module, one: Run) -> Path:
    """The trained network, as `ndg.load_model` reads it from the folder where it was trained here."""
    run = prepared.target.run
    about = {} if run is None else checkpoint.read(run_folder(run, prepared.where) / MODEL)[1]
    path = one.folder / MODEL
    checkpoint.write(path, network.state_dict(), about)
    return path
