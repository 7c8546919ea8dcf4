"""Compression of a trained network, logged as a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from ndg import atomic, escape, runs
from ndg.activations.batches import columns
from ndg.comparison.sources import reinitialised
from ndg.compression.compress import CompressSettings, compress
from ndg.compression.examples import agreement, explained, logits
from ndg.compression.result import Compression
from ndg.errors import ConfigError
from ndg.intervals import rate
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report import compress_tables
from ndg.report.html import study_page
from ndg.results import Row
from ndg.runs.record import RunRecord
from ndg.workflows.prepare import subject_of
from ndg.workflows.score import logged_experiment
from ndg.workflows.smaller import measured
from ndg.workflows.subject import Subject
from ndg.workflows.targets import Target

KIND = "compress"
CONFIG, UNITS, NETWORKS, PAGE = "config.yaml", "removed.csv", "networks.csv", "report.html"

RIVALS = ("magnitude", "random")
"""Methods that remove as many units of the same layers, as controls."""


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

    The folder of the run, or `out`, gets the smaller network; beside it stand the original and controls of the same
    size on held-out examples. Raises what `ndg.compress` raises, before a run is
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
        networks = beside(subject, result, how)
        logged.result("compress", {**result.to_dict(), "held_out": held, "networks": networks})
        folder = result.save(logged.folder / "network" if out is None else out)
        if out is None:
            for path in sorted(folder.iterdir()):
                logged.artefact(path)
        logged.artefact(atomic.write(logged.folder / UNITS, escape.csv(result.explain(), experiment.report.raw_csv)))
        table = escape.csv(pd.DataFrame(networks), experiment.report.raw_csv)
        logged.artefact(atomic.write(logged.folder / NETWORKS, table))
        page = study_page(
            f"Compression of {experiment.name}",
            {**logged.record, "status": None},
            compress_tables.tables(logged.record["results"]["compress"]),
            [result.words(), words(held)],
            experiment.to_yaml(),
        )
        logged.artefact(atomic.write(logged.folder / PAGE, page))
    return logged.record, result


def beside(subject: Subject, result: Compression, how: Mapping[str, Any]) -> list[Row]:
    """The original, the result and controls on held-out examples, one row each.

    Controls lose as many units of the same layers: without repair, by other methods, and of a re-initialised network,
    which agrees with itself the more, the fewer classes it predicts.
    """
    shares: dict[str | tuple[str, ...], float | int]
    shares = {layer.layer: len(layer.removed) / layer.units for layer in result.layers if layer.removed}
    settings = replace(how["settings"], distill=0, layers=tuple(map(str, shares)))

    def shrunk(network: nn.Module, method: str, repair: bool) -> nn.Module:
        own = {"method": method, "settings": replace(settings, repair=repair), "options": how["options"]}
        smaller: nn.Module = compress(network, subject.loaders["train"], units={**shares}, **own).network
        return smaller

    networks = {"original": subject.network, "compressed": result.network}
    if not shares:
        return _rows(networks, subject, how["options"])
    repaired = how["settings"].repair
    if repaired:
        networks["without repair"] = shrunk(subject.network, result.method, False)
    networks |= {name: shrunk(subject.network, name, repaired) for name in RIVALS if name != result.method}
    fresh = reinitialised(subject.network, how["options"].seed).model
    untrained = {"original": fresh, "untrained": shrunk(fresh, result.method, repaired)}
    return _rows(networks, subject, how["options"]) + _rows(untrained, subject, how["options"])[1:]


def _rows(networks: Mapping[str, nn.Module], subject: Subject, options: RunOptions) -> list[Row]:
    found = measured(list(networks.values()), subject, options)
    return [{"network": name, **each.row()} for name, each in zip(networks, found, strict=True)]


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
