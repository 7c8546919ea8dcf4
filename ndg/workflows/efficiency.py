"""Efficiency of a network, logged as a run with its page."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ndg import atomic, escape, runs
from ndg.activations.sampling import subset
from ndg.efficiency.importance import check_kinds
from ndg.efficiency.measure import compare, report
from ndg.efficiency.parts import parts_of
from ndg.efficiency.paths import Pathways, pathways
from ndg.efficiency.result import EfficiencyComparison, EfficiencyReport
from ndg.efficiency.sensitivity import Curve, sensitivity
from ndg.errors import LayerError
from ndg.extras import DISTRIBUTION, installed
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.progress import log
from ndg.report import efficiency_plots, efficiency_tables
from ndg.report.html import Picture, study_page
from ndg.runs.record import RunRecord
from ndg.workflows.efficiency_apply import Applied, apply
from ndg.workflows.prepare import subject_of
from ndg.workflows.score import logged_experiment
from ndg.workflows.subject import Subject
from ndg.workflows.targets import Target
from ndg.workflows.trial_stages import JOURNALS

KIND = "efficiency"
TABLE, CONFIG, PAGE, SMALLER = "efficiency.csv", "config.yaml", "report.html", "smaller"
CALIBRATION = 1000
"""Training examples on which activations are measured."""
PATHS = 12


@dataclass(frozen=True)
class Request:
    """What is measured: layers (none: all), kinds of importance, and most examples.

    `applied`: remove the recommended units too; `resume`: continue the newest unfinished measurement of the network.
    """

    layers: Sequence[str] = ()
    importance: Sequence[str] = ("activation",)
    max_examples: int = CALIBRATION
    applied: bool = False
    resume: bool = False


def run(
    target: Target,
    where: Locations,
    device: str = "cpu",
    request: Request = Request(),
    before: Sequence[EfficiencyReport] = (),
) -> tuple[RunRecord, EfficiencyReport, Applied | None]:
    """Measure the efficiency of one network.

    Return the run document, the report and what was applied.

    The run's folder holds the table of layers, the figures, a page, and the smaller network where recommendations are
    applied. With one report `before`, of another network, the page has both side by side. Raises LayerError for layers
    without weights and ConfigError for an unknown importance before a run is started.
    """
    layers = request.layers
    experiment = logged_experiment(target)
    subject = subject_of(target, where)
    subject = replace(subject, network=subject.network.to(device))
    options = RunOptions(
        batch=experiment.extract.compute_batch, threads=experiment.extract.threads, seed=experiment.seed
    )
    parts_of(subject.network, layers or None)  # raises before a run is started
    check_kinds(request.importance)
    calibration = subset(subject.loaders["train"], request.max_examples, experiment.seed)
    with runs.start_or_resume(request.resume, where, KIND, experiment, target.parent, device=device) as logged:
        logged.artefact(atomic.write(logged.folder / CONFIG, experiment.to_yaml()))
        logged.result("data", subject.facts)
        if subject.identity:
            logged.result("network", subject.identity)
        kept = replace(options, journal=logged.folder / JOURNALS / "removals.jsonl")
        result = report(
            subject.network, calibration, layers or None, kept, importance=request.importance, name=experiment.name
        )
        result = replace(result, pathways=_pathways(subject, calibration, options) if not layers else None)
        logged.result("efficiency", result.to_dict())
        rows = escape.csv(result.frame(), experiment.report.raw_csv)
        logged.artefact(atomic.write(logged.folder / TABLE, rows))
        smaller = apply(subject, result, options, logged.folder / SMALLER) if request.applied else None
        if smaller is not None:
            logged.result("applied", smaller.to_dict())
            for path in sorted((logged.folder / SMALLER).iterdir()):
                logged.artefact(path)
        both = side_by_side([*before, result])
        if both is not None:
            logged.result("compared", both.to_dict())
        curves = _sensitivity(subject, calibration, layers, options)
        pictures = _pictures(result, curves)
        for name, (_, text) in pictures.items():
            logged.artefact(atomic.write(logged.folder / f"{name}.svg", text))
        title = f"Efficiency of {experiment.name}"
        sentences = [each.words() for each in (result, smaller, both, result.pathways) if each is not None]
        page = study_page(
            title,
            {**logged.record, "status": None},
            [
                *([efficiency_tables.applied(smaller)] if smaller else []),
                *([efficiency_tables.compared(both)] if both else []),
                *efficiency_tables.every(result),
            ],
            sentences,
            experiment.to_yaml(),
            pictures=[Picture(caption, text) for caption, text in pictures.values()],
        )
        logged.artefact(atomic.write(logged.folder / PAGE, page))
        shutil.rmtree(logged.folder / JOURNALS, ignore_errors=True)
    return logged.record, result, smaller


def side_by_side(results: Sequence[EfficiencyReport]) -> EfficiencyComparison | None:
    """The comparison of two reports, None for another number."""
    return compare(*results) if len(results) == 2 else None


def _pathways(subject: Subject, calibration: Iterable[Any], options: RunOptions) -> Pathways | None:
    if not subject.logits:
        return None
    try:
        return pathways(subject.network, calibration, PATHS, options)
    except LayerError as error:
        log.info("no pathways: %s", error)
        return None


def _sensitivity(
    subject: Subject, calibration: Iterable[Any], layers: Sequence[str], options: RunOptions
) -> dict[str, Curve]:
    labelled = subject.facts.get("labelled", list(subject.loaders))
    split = next((name for name in ("validation", "test") if name in labelled), None)
    if split is None or not subject.logits:
        return {}
    return sensitivity(subject.network, calibration, subject.loaders[split], layers or None, options)


def _pictures(result: EfficiencyReport, curves: dict[str, Curve]) -> dict[str, tuple[str, str]]:
    """Caption and SVG text of each figure, by name.

    None without the package that draws them.
    """
    if not installed("matplotlib"):
        log.info("the page has no figures, which need matplotlib: pip install '%s[plots]'", DISTRIBUTION)
        return {}
    figures = {
        "importance": (
            "Importance of the weights, and its Lorenz curves",
            efficiency_plots.importance_distribution(result),
        ),
        "layers": ("Layers side by side", efficiency_plots.layer_comparison(result)),
        "sensitivity": (
            "Sensitivity to pruning: predicted error by units, measured accuracy by weights",
            efficiency_plots.pruning_sensitivity(result, curves),
        ),
    }
    if result.pathways:
        caption = "Strongest paths from inputs to classes; solid: verified by ablation"
        figures["pathways"] = (caption, efficiency_plots.pathway_graph(result.pathways))
    return {name: (caption, efficiency_plots.svg(figure, name)) for name, (caption, figure) in figures.items()}
