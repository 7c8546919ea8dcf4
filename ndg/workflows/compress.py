"""Compression of a trained network, logged as a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from ndg import atomic, escape, runs
from ndg.activations.batches import columns
from ndg.activations.digest import digest_of
from ndg.compression.examples import agreement, explained, logits
from ndg.compression.methods import known
from ndg.compression.result import Compression
from ndg.compression.saving import make_folder
from ndg.compression.smaller import CompressSettings, compress
from ndg.errors import ConfigError, GraphError, NDGError, RunNotFoundError
from ndg.graph.ndg import NDG
from ndg.intervals import rate
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.progress import log
from ndg.report import compress_tables
from ndg.report.html import study_page
from ndg.runs.record import RunRecord
from ndg.workflows.compress_beside import beside
from ndg.workflows.pictures import GRAPH
from ndg.workflows.prepare import subject_of
from ndg.workflows.score import latest, logged_experiment
from ndg.workflows.subject import Subject
from ndg.workflows.targets import Target

KIND, UNFINISHED = "compress", "unfinished"
CONFIG, UNITS, NETWORKS, PAGE = "config.yaml", "removed.csv", "networks.csv", "report.html"


@dataclass(frozen=True)
class Request:
    """What is asked of a compression: `budget` names units, flops or agreement.

    `rivals` are methods to compare with, `out` the folder for the smaller network instead of the run's, `resume` says
    to continue the same compression where it was interrupted.
    """

    budget: dict[str, float]
    method: str = "obs"
    settings: CompressSettings = CompressSettings()
    rivals: Sequence[str] = ()
    out: Path | None = None
    resume: bool = False


def run(target: Target, where: Locations, request: Request, device: str = "cpu") -> tuple[RunRecord, Compression]:
    """Compress one network; return the run document and the result.

    The folder of the run, or that of the request, gets the smaller network; beside it stand the original, controls and
    rivals of the same size on held-out examples. The graph of the network's newest alignment, or of the align run that
    named it, labels the units of its layers. Raises what `ndg.compress` raises, before a run is started; the original
    is left as it was.
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
    for name in request.rivals:
        known(name)
    if request.out is not None:
        make_folder(request.out)
    how: dict[str, Any] = {"method": request.method, "settings": request.settings, "options": options}
    with journal_of(target, where, request) as journal:
        own = {**how, **request.budget, "options": replace(options, journal=journal)}
        result = explained_by(target, subject, where, network, own)
        return _logged(target, where, request, device, subject, result, how, journal), result


def _logged(
    target: Target,
    where: Locations,
    request: Request,
    device: str,
    subject: Subject,
    result: Compression,
    how: Mapping[str, Any],
    journal: Path,
) -> RunRecord:
    """The run of a compression: held-out figures, networks beside it, the smaller network, tables and the page."""
    experiment, options = logged_experiment(target), how["options"]
    with runs.start(where.store, KIND, experiment, where.runs, target.parent, device=device) as logged:
        logged.artefact(atomic.write(logged.folder / CONFIG, experiment.to_yaml()))
        logged.result("data", subject.facts)
        if subject.identity:
            logged.result("network", subject.identity)
        held = held_out(subject, result, options)
        networks, skipped = beside(subject, result, how, request.rivals, rows_of(journal))
        left_out = [{"method": name, "reason": reason} for name, reason in skipped.items()]
        facts = {"held_out": held, "networks": networks, "left_out": left_out}
        logged.result("compress", {**result.to_dict(), **facts})
        folder = result.save(request.out or logged.folder / "network")
        if request.out is None:
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
    return logged.record


def rows_of(journal: Path) -> Path:
    """The journal of the finished rows of a compression."""
    return journal.with_suffix(".rows.jsonl")


@contextmanager
def journal_of(target: Target, where: Locations, request: Request) -> Iterator[Path]:
    """The journal of a compression.

    It stays where the compression is interrupted. Raises RunNotFoundError.
    """
    facts = [target.id, logged_experiment(target).digest, request.budget, request.method, request.settings]
    path = where.runs / UNFINISHED / f"{KIND}-{digest_of(facts)}.jsonl"
    files = path, rows_of(path)
    if request.resume and not path.is_file():
        raise RunNotFoundError(
            f"there is no unfinished compression of {target.id} with these settings in {path.parent}; start one "
            "without --resume"
        )
    if not request.resume:
        _remove(files)
    try:
        yield path
    except NDGError:
        _remove(files)
        raise
    _remove(files)


def _remove(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def explained_by(
    target: Target, subject: Subject, where: Locations, network: nn.Module, how: Mapping[str, Any]
) -> Compression:
    """The compression, with its units labelled by the graph of an alignment."""
    aligned = target.aligned or latest(target, subject, where)
    if aligned is not None:
        graph = NDG.load(aligned.locate(where.runs) / GRAPH)
        try:
            settings = replace(how["settings"], graph=graph)
            return compress(network, subject.loaders["train"], **{**how, "settings": settings})
        except GraphError as error:
            if target.aligned is not None:
                raise
            log.info("the graph of %s explains nothing here: %s", aligned.id, error)
    return compress(network, subject.loaders["train"], **how)


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
