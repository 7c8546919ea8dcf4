"""Networks to align: trained ones, or the user's own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ndg import config, runs
from ndg.config import Experiment, Importance
from ndg.data import absent
from ndg.data.samples import with_data
from ndg.errors import ConfigError, DataError, RunNotFoundError, nearest
from ndg.extraction import latent_layer
from ndg.importance.evaluation import preflight
from ndg.interventions.intervention_sets import definition
from ndg.locations import Locations
from ndg.progress import log
from ndg.runs.record import RunRecord
from ndg.units.resolve import expand_layers
from ndg.workflows import score_request
from ndg.workflows.subject import Subject, integral, no_layers
from ndg.workflows.train import load, run

METHODS = re.compile(r"\s*importance(\.methods)?\s*=")
"""An override of importance.methods."""


@dataclass(frozen=True)
class Target:
    """A network to align, its experiment, and how it was chosen."""

    experiment: Experiment
    run: RunRecord | None
    why: str
    subject: Subject | None = None
    aligned: RunRecord | None = None

    @property
    def parent(self) -> str | None:
        """Id of the train run; None for the user's own network."""
        return None if self.run is None else self.run.id

    @property
    def id(self) -> str:
        """Id of the train run, or name of the user's network."""
        if self.run is not None:
            return self.run.id
        return str(((self.subject and self.subject.identity) or {}).get("name", ""))


def run_folder(run: RunRecord, where: Locations) -> Path:
    """The logged folder of a run, else that below the folder of runs."""
    return run.folder if os.path.isdir(run.folder) else where.runs / run.id


def find(names: Sequence[str], overrides: Sequence[str], where: Locations, smoke: bool = False) -> list[Target]:
    """Targets of configs and runs, or of every trained config.

    A config stands for its best completed run, with `smoke` for that of its quick run. Raises RunNotFoundError, which
    says how to train, when there is none.
    """
    if not names:
        targets = []
        for name in config.configs():
            with suppress(RunNotFoundError):
                targets.append(_of_config(name, overrides, where, smoke))
        if not targets:
            raise RunNotFoundError(
                f"{where.store} has no completed training of a shipped config; "
                "train one first, as in `ndg train digits_mlp`"
            )
        return targets
    return [_of(name, overrides, where, smoke) for name in names]


def train_missing(
    names: Sequence[str], overrides: Sequence[str], where: Locations, smoke: bool = False, *, device: str, resume: bool
) -> None:
    """Train the configs that have no completed run.

    With `resume`, an interrupted training of theirs continues.
    """
    for name in filter(config.is_config, names):
        try:
            _of_config(name, overrides, where, smoke)
        except RunNotFoundError:
            experiment = config.load(config.find(name), overrides, smoke=smoke)
            experiment = with_data(experiment, where) if smoke else experiment
            log.info("train %s, seed %d, on %s", experiment.name, experiment.seed, device)
            begun = resume and bool(runs.begun(where.runs, experiment))
            log.info("  %s", run(experiment, where, device=device, resume=begun).folder)


def own(
    model: str | None,
    folder: str | None,
    layers: Sequence[str],
    names: Sequence[str],
    overrides: Sequence[str],
    where: Locations,
    *,
    fitted: bool = True,
    layered: bool = True,
) -> Target:
    """The target of a function (`model`) or Hugging Face `folder`.

    Settings are those of one config, or the defaults. Missing splits, and without logits the trial and the scores, are
    left out with a message; with `fitted=False` only the split of the scores is replaced. With `layered=False` neither
    layers nor a `latent_layer` are needed.
    """
    from ndg.workflows.own_network import of_folder, of_function

    if len(names) > 1 or (model is None) == (folder is None):
        raise ConfigError(
            "--model and --hf name one network, whose settings come from at most one config; got "
            f"{' and '.join(names) or 'both of them'}; align one at a time"
        )
    experiment = config.load(config.find(names[0]) if names else {}, overrides)
    if layers:
        experiment = replace(experiment, extract=replace(experiment.extract, layers=list(layers)))
    batch = experiment.extract.compute_batch
    if model is not None:
        subject, why, module = of_function(model, batch), "a function's own network", model.rpartition(":")[0]
        name = Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]
        experiment = replace(experiment, data=replace(experiment.data, name="own"))
    else:
        subject, experiment = of_folder(str(folder), experiment, where)
        why, name = "a Hugging Face folder", Path(str(folder)).resolve().name
    if not any(word.startswith("name=") for word in overrides):
        experiment = replace(experiment, name=name)
    named_layer = isinstance(getattr(subject.network, "latent_layer", None), str)
    if layered and not experiment.extract.layers and not named_layer:
        raise no_layers(subject.network, subject.loaders["train"], batch)
    named = experiment.importance.methods != Importance().methods or any(map(METHODS.match, overrides))
    experiment = _fitted(experiment, subject, named) if fitted else _with_split(experiment, subject)
    return Target(experiment, None, why, subject)


def _fitted(experiment: Experiment, subject: Subject, named: bool) -> Experiment:
    """The experiment as the network allows it; `named` methods stay."""
    trial, importance, loaders = experiment.trial, experiment.importance, subject.loaders
    if not subject.logits:
        log.warning(
            "%s gives no logits (example, class): its graph has neurons only, without trial and scores",
            type(subject.network).__name__,
        )
        trial, importance = replace(trial, interventions=[]), replace(importance, methods=[])
    missing = [split for split in trial.splits if split not in loaders]
    if missing:
        splits = dict.fromkeys(split if split in loaders else subject.held_out for split in trial.splits)
        trial = replace(trial, splits=list(splits))
        log.info("there is no split %s; the trial uses %s", " or ".join(missing), " and ".join(trial.splits))
    importance = _with_split(replace(experiment, importance=importance), subject).importance
    if not named and "conductance" in importance.methods and integral(subject.loaders["train"]):
        network, few = subject.network, preflight.first(subject.loaders["train"])
        layers = importance.layers or experiment.extract.layers or [latent_layer(network)]
        settings = score_request.how_of(replace(experiment, importance=importance), subject)
        if error := preflight.refusal(network, few, expand_layers(network, layers), "conductance", settings):
            importance = replace(importance, methods=[name for name in importance.methods if name != "conductance"])
            log.info("conductance is left out: %s", error)
    unlabelled = [split for split in trial.splits if split not in subject.facts["labelled"]]
    if trial.interventions and unlabelled:
        raise DataError(
            f"a trial needs true labels; the loader of {' and of '.join(unlabelled)} gives only inputs; give (inputs, "
            "labels) or dictionaries with labels, or set trial.interventions=[] for the graph without a trial"
        )
    return replace(experiment, trial=trial, importance=importance)


def _with_split(experiment: Experiment, subject: Subject) -> Experiment:
    """The experiment, scored on the held-out split if necessary."""
    if experiment.importance.split in subject.loaders:
        return experiment
    return replace(experiment, importance=replace(experiment.importance, split=subject.held_out))


def _of(name: str, overrides: Sequence[str], where: Locations, smoke: bool) -> Target:
    if config.is_config(name):
        return _of_config(name, overrides, where, smoke)
    aligned = None
    with runs.open(where.store, local=where.runs) as log:
        record = _named(log, name)
        if record["kind"] == "align" and not record.get("parent"):
            raise RunNotFoundError(
                f"run {record.id} aligned a network of your own, which no run holds; align it by --model or --hf"
            )
        if record["kind"] == "align":
            aligned, record = record, log.get(record["parent"])
    if record["kind"] != "train":
        raise RunNotFoundError(
            f"a network is named by a config, or a run of kind train or align; {name!r} is in the id of {record.id}, a "
            f"{record['kind']} run; `ndg runs kind=train` lists the trained ones"
        )
    if record["status"] != "COMPLETED":
        raise RunNotFoundError(
            f"run {record.id} is {record.state()} and has no finished network; finish it with "
            f"`ndg train {record['name']} --resume`, or choose a completed run (`ndg runs`)"
        )
    return replace(_trained(config.load(record["config"], overrides), record, "named"), aligned=aligned)


def _named(log: runs.Log, name: str) -> RunRecord:
    """The run of a name that is no config's; an error names the nearest config, too."""
    try:
        return log.get(name)
    except RunNotFoundError as error:
        near = nearest(Path(name).stem, config.configs())
        raise RunNotFoundError(f"{error}; of configs, {near}") if near.startswith("nearest") else error from None


def _of_config(name: str, overrides: Sequence[str], where: Locations, smoke: bool) -> Target:
    experiment = config.load(config.find(name), overrides, smoke=smoke)
    score_request.check_methods(experiment)
    for intervention in experiment.trial.interventions:
        definition(intervention)
    seed = experiment.seed if any(word.startswith("seed=") for word in overrides) else None
    command = " ".join([name, *overrides, *["--smoke"] * smoke])

    def fits(record: RunRecord) -> bool:
        """Whether a run was trained on the data that are present."""
        placed = where.place(_with_data_of(experiment, record, where))
        trained_on = record.figure("results.data.digest")
        return absent(placed.data) is None and load(placed, run_folder(record, where)).digest == trained_on

    with runs.open(where.store, local=where.runs) as log:
        record = log.best(experiment.training_digest, name=command, seed=seed, fits=fits)
    accuracy = record.figure("results.train.validation_accuracy")
    why = f"best of the completed runs of {experiment.name}, validation accuracy {accuracy:.4f}"
    return _trained(replace(_with_data_of(experiment, record, where), seed=record["seeds"]["seed"]), record, why)


def _with_data_of(experiment: Experiment, record: RunRecord, where: Locations) -> Experiment:
    """The experiment with its data folder; that of a run, if necessary."""
    placed = where.place(experiment).data
    folder = placed.dir if absent(placed) is None else record["config"]["data"]["dir"]
    return replace(experiment, data=replace(experiment.data, dir=folder))


def _trained(experiment: Experiment, record: RunRecord, why: str) -> Target:
    """The target of a train run.

    Raises ConfigError for other training settings.
    """
    if experiment.training_digest != record["training_digest"]:
        raise ConfigError(
            f"run {record.id} was trained by other settings than these overrides give (digest "
            f"{record['training_digest']} against {experiment.training_digest}); "
            "change data, model or train only when training"
        )
    return Target(experiment, record, why)
