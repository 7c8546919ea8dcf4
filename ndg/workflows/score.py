"""Scores of the units of a network, logged in a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ndg import atomic, escape, executors, extraction, progress, runs
from ndg.activations.batches import device_of
from ndg.activations.digest import weights_digest
from ndg.comparison.sources import reinitialised
from ndg.config import Experiment
from ndg.errors import ConfigError, DataError, LayerError, RunNotFoundError, ShapeError
from ndg.executors import AUTO
from ndg.graph.ndg import NDG
from ndg.importance.evaluation.score_cache import Kept, timed
from ndg.importance.evaluation.scoreboard import BoardSettings, Scoreboard, scoreboard
from ndg.importance.evaluation.spec import ALL, fitting, of_graph, of_network
from ndg.importance.graph_scores import OF_GRAPH
from ndg.importance.scores import Scores
from ndg.locations import Locations
from ndg.progress import log
from ndg.report import importance_tables, sections
from ndg.report.html import study_page
from ndg.runs.record import RunRecord
from ndg.runs.run import Run
from ndg.units.resolve import find_layers
from ndg.workflows.estimates import WRITE_SECONDS, pass_seconds, score_seconds, with_executor
from ndg.workflows.pictures import GRAPH
from ndg.workflows.prepare import subject_of
from ndg.workflows.score_request import board_methods, checked, counted, how_of, loader_of, weighted_layers
from ndg.workflows.subject import Subject
from ndg.workflows.targets import Target
from ndg.workflows.timing import slowness
from ndg.workflows.trial_stages import JOURNALS

SCORES, BOARD, CONFIG, PAGE = "scores.csv", "scoreboard.csv", "config.yaml", "report.html"
KIND, KEPT = "score", "scores"
AROUND = "reading and writing"
TOKENS = {"first": "the first token", "mean": "the mean of the tokens", "every": "every token as an example"}
"""Readings of a layer of tokens in words."""


def run(
    target: Target,
    where: Locations,
    device: str = "cpu",
    executor: str = "serial",
    address: str | None = None,
    aligned: RunRecord | None = None,
    resume: bool = False,
) -> RunRecord:
    """Score the units of one network; return the run document.

    Layers are those of `importance.layers`, else of the graph (of `aligned` or of the newest alignment), else of the
    config. The run's folder holds a page and, if the layers fit, the annotated graph. With `resume`, the newest
    unfinished scoring by this experiment continues with the graph that it started with.
    """
    experiment = logged_experiment(target)
    methods = of_network(experiment.importance.methods)
    unfinished = runs.unfinished(where.runs, experiment, kind=KIND, parent=target.parent) if resume else None
    subject = _subject(target, where, device)
    if unfinished is not None and (request := unfinished.figure("results.asked")) is not None:
        aligned = _as_begun(unfinished, request["aligned"], aligned, target, where)
    else:
        aligned = aligned or latest(target, subject, where)
    graph = None if aligned is None else NDG.load(aligned.locate(where.runs) / GRAPH)
    layers = _layers(subject, experiment, graph)
    options = {"executor": executor, "ray_address": address}
    with runs.start_or_resume(resume, where, KIND, experiment, target.parent, device=device) as run:
        run.artefact(atomic.write(run.folder / CONFIG, experiment.to_yaml()))
        run.result("asked", {"aligned": aligned and aligned.id, "layers": layers})
        run.result("data", subject.facts)
        if subject.identity:
            run.result("network", subject.identity)
        with progress.whole(dict.fromkeys(methods, 1.0), estimated=False):
            scores = measured(subject, layers, methods, experiment, run, **options)
        scores += counted(graph, layers, experiment.importance.methods) if graph is not None else []
        write(scores, experiment, run)
        boards = judge(subject, layers, experiment, run, **options)
        if graph is not None and aligned is not None:
            _annotate(graph, aligned, scores, run)
        words = [line for board in boards for line in board.lines()]
        tables = [*importance_tables.boards(run.record), *sections.scores(run.record)]
        title = f"Importance of the units of {experiment.name}"
        page = study_page(title, {**run.record, "status": None}, tables, words, experiment.to_yaml())
        run.artefact(atomic.write(run.folder / PAGE, page))
        shutil.rmtree(run.folder / JOURNALS, ignore_errors=True)
    return run.record


@dataclass(frozen=True)
class Plan:
    """Estimated seconds of a method, of the scoreboard, or of the rest."""

    name: str
    network: str
    method: str
    layers: int
    examples: int
    seconds: float


def plans(
    target: Target, where: Locations, device: str = "cpu", executor: str = AUTO, aligned: RunRecord | None = None
) -> list[Plan]:
    """Plans of the scoring of a target, one per method.

    Writes nothing.
    """
    started, experiment = time.perf_counter(), logged_experiment(target)
    subject = _subject(target, where, device)
    aligned = aligned or latest(target, subject, where)
    graph = None if aligned is None else NDG.load(aligned.locate(where.runs) / GRAPH)
    around = time.perf_counter() - started + WRITE_SECONDS * slowness()
    layers, settings = _layers(subject, experiment, graph), experiment.importance
    full = pass_seconds(subject, settings.split, experiment)
    chosen, _ = executors.choose(executor, subject.network, task_cpus=experiment.extract.threads)
    most = settings.max_examples or subject.sizes[settings.split]
    examples = min(subject.sizes[settings.split], most)
    seconds = score_seconds(experiment, subject, layers, full)
    seconds = {method: with_executor({method: each}, chosen) for method, each in seconds.items()} | {AROUND: around}
    return [Plan(experiment.name, target.id, what, len(layers), examples, each) for what, each in seconds.items()]


def _subject(target: Target, where: Locations, device: str) -> Subject:
    """The network on its device, with its data.

    Raises ShapeError without logits.
    """
    subject = subject_of(target, where)
    if not subject.logits:
        raise ShapeError("scores measure effects on the logits (example, class); this network has none")
    return replace(subject, network=subject.network.to(device))


def _layers(subject: Subject, experiment: Experiment, graph: NDG | None) -> list[str]:
    """The layers to score: `importance.layers`, else the graph's, else the config's."""
    settings, layers = experiment.importance, list[str]()
    if not settings.layers and graph is not None:
        layers = [layer.name for layer in graph.nodes.layers]
    elif not settings.layers:
        named = experiment.extract.layers or [extraction.latent_layer(subject.network)]
        layers = find_layers(subject.network, named)
    layers = checked(subject, layers, experiment)
    if graph is None and of_graph(settings.methods):
        raise RunNotFoundError(
            f"{' and '.join(OF_GRAPH)} need the graph of an alignment; {of_graph(settings.methods)[0]} was requested, "
            "and this network has no alignment; run `ndg align` first, or leave it out"
        )
    return layers


def logged_experiment(target: Target) -> Experiment:
    """The experiment that a scoring logs, with its first alpha alone."""
    return target.experiment.at(target.experiment.criterion.alpha[0])


def measured(
    subject: Subject, layers: Sequence[str], methods: Sequence[str], experiment: Experiment, run: Run, **options: Any
) -> list[Scores]:
    """Scores of the layers by each method.

    With `all`, those that reject the network are left out.
    """
    scores = []
    loader, settings = loader_of(subject, experiment), how_of(experiment, subject, **options)
    cache = kept_in(run, subject, experiment)
    for name in methods:
        progress.enter(name)
        log.info("score %s by %s", ", ".join(layers) if len(layers) < 4 else f"{len(layers)} layers", name)
        try:
            scores.append(timed(cache, subject.network, loader, layers, name, fitting(name, settings)).scores)
        except (ConfigError, DataError, LayerError) as error:
            if ALL not in experiment.importance.methods:
                raise
            log.warning("%s is left out: %s", name, error)
    return scores


def kept_in(run: Run, subject: Subject, experiment: Experiment) -> Kept:
    """Cache of a run's finished scores on the experiment's split."""
    settings = experiment.importance
    data = (subject.facts["digest"], settings.split, settings.max_examples, experiment.seed)
    return Kept(run.folder / JOURNALS / KEPT, " ".join(map(str, data)))


def write(all_scores: Sequence[Scores], experiment: Experiment, run: Run, graph: NDG | None = None) -> None:
    """Log scores, as documents and as a table."""
    import pandas as pd

    nodes = graph.nodes.layers if graph else ()
    readings = {layer.name: TOKENS[layer.reading] for layer in nodes if layer.reading in TOKENS}
    tokens = [{"layer": layer, "graph": reading, "scored": "all tokens"} for layer, reading in readings.items()]
    for scores in all_scores:
        split = "train" if scores.method in OF_GRAPH else experiment.importance.split
        about = {"split": split} | ({"tokens": tokens} if tokens else {})
        run.result(f"scores.{scores.method.replace('.', '_')}", scores.to_dict() | about)  # dots separate keys
    if all_scores:
        frames = [scores.frame().assign(method=scores.method, measure=scores.measure) for scores in all_scores]
        run.artefact(atomic.write(run.folder / SCORES, escape.csv(pd.concat(frames), experiment.report.raw_csv)))
        for layer, reading in readings.items():
            log.info("  of %s the graph reads %s; its units are scored with all their tokens", layer, reading)


def judge(
    subject: Subject, layers: Sequence[str], experiment: Experiment, run: Run, **options: Any
) -> list[Scoreboard]:
    """Log the scoreboards of the network and of random weights, if requested.

    They cover the layers of the experiment, else all linear and convolution layers but the last, else `layers`.
    """
    import pandas as pd

    methods, name = board_methods(experiment), experiment.name
    if not methods:
        return []
    if not experiment.importance.layers:
        with suppress(LayerError):
            layers = weighted_layers(subject.network, loader_of(subject, experiment))
    settings, loader = how_of(experiment, subject, **options), loader_of(subject, experiment)
    networks = {"trained": subject.network, "random weights": reinitialised(subject.network, experiment.seed).model}
    log.info("scoreboard over %d layers, trained and with random weights", len(layers))
    boards = [
        scoreboard(
            network.to(device_of(subject.network)),
            loader,
            layers,
            methods,
            settings=BoardSettings(
                settings.baselines, settings.n_steps, network=f"{name}, {what}", target=settings.target
            ),
            options=settings.options,
            kept=kept_in(run, subject, experiment),
        )
        for what, network in networks.items()
    ]
    run.result("scoreboard", {key: board.to_dict() for key, board in zip(("trained", "random"), boards, strict=True)})
    rows = [row for board in boards for row in board.rows()]
    run.artefact(atomic.write(run.folder / BOARD, escape.csv(pd.DataFrame(rows), experiment.report.raw_csv)))
    return boards


def latest(target: Target, subject: Subject, where: Locations) -> RunRecord | None:
    """The newest alignment of a network with a graph, or None."""
    query: dict[str, Any] = {"kind": "align", "status": "COMPLETED"}
    if target.run is not None:
        query["parent"] = target.run.id
    else:
        weights = (subject.identity or {}).get("weights") or weights_digest(subject.network)
        query["results.network.weights"] = weights
    with runs.open(where.store, local=where.runs) as run_log:
        records = run_log.find(query, metrics=False)
    return next((record for record in records if (record.locate(where.runs) / GRAPH).is_file()), None)


def _as_begun(
    unfinished: RunRecord, first: str | None, named: RunRecord | None, target: Target, where: Locations
) -> RunRecord | None:
    """The alignment that a scoring started with. Raises RunNotFoundError for another."""
    if named is not None and named.id != first:
        raise RunNotFoundError(
            f"a scoring continues with the graph that it started with; {unfinished.id} started with "
            f"{f'that of {first}' if first else 'none'}, and {named.id} was named; name that, or start another "
            "without --resume"
        )
    if named is not None or first is None:
        return named
    with runs.open(where.store, local=where.runs) as run_log:
        return run_log.get(first)


def _annotate(graph: NDG, aligned: RunRecord, all_scores: Sequence[Scores], run: Run) -> None:
    """Write the graph with the scores of its layers."""
    annotated, methods = graph, []
    for scores in all_scores:
        try:
            annotated = annotated.with_scores(scores)
            methods.append(scores.method)
        except ShapeError as error:
            log.info("the graph of %s is not annotated by %s: %s", aligned.id, scores.method, error)
    if methods:
        run.artefact(annotated.save(run.folder / GRAPH))
        nodes = {layer.name: layer.units for layer in graph.nodes.layers}
        shared = list(dict.fromkeys(layer for scores in all_scores for layer in scores.layers if layer in nodes))
        run.result("annotated", {"run": aligned.id, "digest": graph.digest, "methods": methods, "layers": shared})
