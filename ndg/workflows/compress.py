"""Compression of a trained network, logged as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ndg import atomic, escape, runs
from ndg.activations.batches import columns
from ndg.compression.compress import CompressSettings, compress
from ndg.compression.examples import agreement, explained, logits
from ndg.compression.result import Compression
from ndg.errors import ConfigError
from ndg.intervals import rate
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report import compress_tables
from ndg.report.html import study_page
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import subject_of
from ndg.workflows.score import logged_experiment
from ndg.workflows.subject import Subject
from ndg.workflows.targets import Target

KIND = "compress"
CONFIG, UNITS, PAGE = "config.yaml", "removed.csv", "report.html"


def run(
    target: Target,
    where: Locations,
    budget: dict[str, float],
    method: str,
    settings: CompressSettings,
    device: str = "cpu",
    out: Path | None = None,
) -> tuple[RunRecord, Compression]:
    """Compress one network; return the run document and the result.

    The folder of the run, or `out`, gets the smaller network. Raises what `ndg.compress` raises, before a run is
    started; the original is left as it was.
    """
    experiment = logged_experiment(target)
    subject = subject_of(target, where)
    if not subject.logits:
        raise ConfigError(
            "a network that is compressed gives logits; this one gives none; wrap it in a module that does"
        )
    options = RunOptions(
        batch=experiment.extract.compute_batch, threads=experiment.extract.threads, seed=experiment.seed
    )
    network = subject.network.to(device)
    how: dict[str, Any] = {**budget, "method": method, "settings": settings, "options": options}
    result = compress(network, subject.loaders["train"], **how)
    with runs.start(where.store, KIND, experiment, where.runs, target.parent, device=device) as logged:
        logged.artefact(atomic.write(logged.folder / CONFIG, experiment.to_yaml()))
        logged.result("data", subject.facts)
        if subject.identity:
            logged.result("network", subject.identity)
        held = held_out(subject, result, options)
        logged.result("compress", {**result.to_dict(), "held_out": held})
        folder = result.save(logged.folder / "network" if out is None else out)
        if out is None:
            for path in sorted(folder.iterdir()):
                logged.artefact(path)
        logged.artefact(atomic.write(logged.folder / UNITS, escape.csv(result.explain(), experiment.report.raw_csv)))
        page = study_page(
            f"Compression of {experiment.name}",
            {**logged.record, "status": None},
            compress_tables.tables(result.to_dict()),
            [result.words(), words(held)],
            experiment.to_yaml(),
        )
        logged.artefact(atomic.write(logged.folder / PAGE, page))
    return logged.record, result


def held_out(subject: Subject, result: Compression, options: RunOptions) -> dict[str, Any]:
    """Agreement, R^2 and accuracies on the split that chose nothing."""
    split = subject.held_out
    batches = [columns(batch) for batch in subject.loaders[split]]
    before, after = logits(subject.network, batches, options), logits(result.network, batches, options)
    figures: dict[str, Any] = {"split": split, "n": len(before), "r2": explained(before, after)}
    figures |= rate("agreement", round(agreement(before, after) * len(before)), len(before))
    if all("labels" in batch for batch in batches):
        classes = torch.cat([batch["labels"] for batch in batches])
        for name, found in (("accuracy_before", before), ("accuracy", after)):
            figures |= rate(name, int((found.argmax(1) == classes).sum()), len(classes))
    return figures


def words(held: dict[str, Any]) -> str:
    """The figures of the held-out split in a sentence."""
    text = (
        f"On the {held['n']} examples of the {held['split']} split the predictions agree on {held['agreement']:.4f} "
        f"[{held['agreement_low']:.4f}, {held['agreement_high']:.4f}]"
    )
    if "accuracy" in held:
        text += f"; accuracy {held['accuracy']:.4f} [{held['accuracy_low']:.4f}, {held['accuracy_high']:.4f}], before "
        text += f"{held['accuracy_before']:.4f}"
    return f"{text}."
