"""Pruning of a trained network with fine-tuning, logged as a run."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ndg import atomic, progress, runs
from ndg.compression.iterative import IterativePruning, Pruned, PruneSettings, check_prunable, prune_network
from ndg.config import Experiment
from ndg.data.examples import Splits
from ndg.errors import ConfigError
from ndg.locations import Locations
from ndg.models import checkpoint
from ndg.report import prune_tables
from ndg.report.html import study_page
from ndg.report.prune_tables import csv_text
from ndg.runs.record import RunRecord
from ndg.training import MODEL
from ndg.workflows.targets import Target, run_folder
from ndg.workflows.train import load, same_data
from ndg.workflows.trial_stages import JOURNALS

KIND = "prune"
CONFIG, STEPS, PAGE = "config.yaml", "prune.csv", "report.html"


def run(
    target: Target, where: Locations, settings: PruneSettings, device: str = "cpu", resume: bool = False
) -> RunRecord:
    """Prune the network of a train run; return the run document.

    The folder gets the pruned network (`model.safetensors`, which `ndg.load_model` reads), a row per step as CSV, and a
    page. With `resume` the newest unfinished pruning of this network goes on. Raises ConfigError or LayerError for what
    cannot be pruned before a run is started; the train run stays.
    """
    if target.run is None:
        raise ConfigError("pruning trains a network on, so it takes a train run or a config; got a network of your own")
    experiment, folder = target.experiment, run_folder(target.run, where)
    splits = load(where.place(experiment), folder)
    same_data(target.run, splits)
    network, about = checkpoint.load(folder / MODEL)
    removed = list(about.get(checkpoint.REMOVED, []))
    check_prunable(network, experiment, splits, settings)
    with runs.start_or_resume(resume, where, KIND, experiment, target.parent, device=device) as run:
        run.artefact(atomic.write(run.folder / CONFIG, experiment.to_yaml()))
        run.result("asked", {**asdict(settings), "layers": list(settings.layers)})
        run.result("data", splits.facts())
        counted = _Steps(run)
        with progress.whole({"prune": 1.0}, estimated=False):
            progress.enter("prune")
            pruning, pruned = prune_network(
                network, experiment, splits, settings, removed=removed, device=device, on_step=counted,
                finished=run.folder / JOURNALS,
            )  # fmt: skip
        run.artefact(_save(run.folder / MODEL, pruned, experiment, splits))
        run.artefact(atomic.write(run.folder / STEPS, csv_text(pruning.steps)))
        run.result("prune", figures(pruning, pruned))
        tables = prune_tables.tables(run.record)
        page = study_page(
            f"Pruning of {experiment.name}", {**run.record, "status": None}, tables, [pruning.words()],
            experiment.to_yaml(),
        )  # fmt: skip
        run.artefact(atomic.write(run.folder / PAGE, page))
        shutil.rmtree(run.folder / JOURNALS, ignore_errors=True)
    return run.record


def figures(pruning: IterativePruning, pruned: Pruned) -> dict[str, Any]:
    """Figures of a pruning for the run log."""
    return {"steps": pruning.steps, "final": pruning.final, "removed": pruned.removed, "words": pruning.words()}


class _Steps:
    """Logs each step as a metric, numbered through."""

    def __init__(self, run: Any) -> None:
        self.run, self.count = run, 0

    def __call__(self, row: dict[str, Any]) -> None:
        self.count += 1
        self.run.metric({**row, "kept_epoch": row["epoch"], "epoch": self.count})


def _save(path: Path, pruned: Pruned, experiment: Experiment, splits: Splits) -> Path:
    """Write the pruned network, with the units that it lost."""
    about: dict[str, Any] = {"experiment": experiment.to_dict(), "epoch": 0}
    about |= {checkpoint.REMOVED: pruned.removed} if pruned.removed else {}
    network = pruned.network.to("cpu")
    checkpoint.save(path, network, experiment.model, splits.form, splits.classes, about)
    return path
