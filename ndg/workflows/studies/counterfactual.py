"""`align.py counterfactual`: training of the decoder on counterfactual latents."""

from __future__ import annotations

from dataclasses import replace

from ndg import seeds
from ndg.counterfactual import CounterfactualSettings, counterfactual_set
from ndg.models import checkpoint
from ndg.options import RunOptions
from ndg.report.tables import Table
from ndg.runs.run import Run
from ndg.workflows.counterfactual import train_on
from ndg.workflows.prepare import Prepared
from ndg.workflows.studies.study_record import Findings, per_network, with_validation
from ndg.workflows.targets import run_folder

DATA, MODEL = "counterfactual.safetensors", "model.safetensors"
NOTE = (
    "real only: the control, trained as long on the real examples alone. aligned and the controls are over the n "
    "examples that the network of that row classifies correctly; accuracy is over all. The epoch was chosen by the "
    "loss on validation."
)


WITH_VALIDATION = with_validation("counterfactual training chooses its epoch on validation examples")


@per_network("counterfactual", "Counterfactual training of {}", WITH_VALIDATION)
def run(prepared: Prepared, run: Run) -> Findings:
    """Train a network, and try it before and after."""
    experiment, subject, graph = prepared.experiment, prepared.subject, prepared.graph
    settings = experiment.counterfactual
    options = RunOptions(batch=prepared.passes["batch"], threads=prepared.passes["threads"], executor=prepared.by)
    data = counterfactual_set(
        subject.network,
        graph,
        subject.loaders["train"],
        settings.intervention,
        layer=prepared.trial_layer,
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
    trained = prepared.target.run  # a network that was trained here is written in the format of `ndg.load_model`
    description = {} if trained is None else checkpoint.read(run_folder(trained, prepared.where) / MODEL)[1]
    checkpoint.write(run.folder / MODEL, result.model.state_dict(), description)
    run.artefact(run.folder / MODEL)
    table = Table.of_rows(f"{experiment.name}: counterfactual training", result.rows(), note=NOTE)
    return Findings(result.to_dict(), [table], {"counterfactual.csv": result.rows()}, [result.words()])
