"""Scores of the units of a network as a run logs them: for an alignment, and for `ndg score`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ndg import atomic, extraction, runs
from ndg.activations.batches import device_of
from ndg.activations.digest import weights_digest
from ndg.comparison.networks import reinitialised
from ndg.config import Experiment
from ndg.errors import ConfigError, DataError, LayerError, RunNotFoundError, ShapeError
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
from ndg.workflows.pictures import GRAPH
from ndg.workflows.prepare import subject_of
from ndg.workflows.score_request import checked, counted, how_of, loader_of, weighted_layers
from ndg.workflows.subject import Subject
from ndg.workflows.targets import Target
from ndg.workflows.trial_stages import JOURNALS

SCORES, BOARD, CONFIG, PAGE = "scores.csv", "scoreboard.csv", "config.yaml", "report.html"
KIND, KEPT = "score", "scores"
TOKENS = {"first": "the first token", "mean": "the mean of the tokens", "every": "every token as an example"}
"""What a graph reads of a layer of tokens, by the name of the reading."""


def run(
    target: Target,
    where: Locations,
    device: str = "cpu",
    executor: str = "serial",
    address: str | None = None,
    aligned: RunRecord | None = None,
    resume: bool = False,
) -> RunRecord:
    """The document of a run that scored the units of one network, with a page and, where one fits, an annotated graph.

    The graph is that of `aligned`, else of the newest alignment of this network. Layers are those asked for, else those
    of that graph, else those of the config. With `resume` the newest scoring of this network by this experiment that
    was cut short goes on, with the graph that it began with.
    """
    experiment = logged_experiment(target)
    settings = experiment.importance
    methods = of_network(settings.methods)
    parent = None if target.run is None else target.run.id
    cut = runs.unfinished(where.runs, experiment, kind=KIND, parent=parent) if resume else None
    subject = subject_of(target, where)
    if not subject.logits:
        raise ShapeError("scores say what units do to the logits (example, class); this network gives none")
    subject = replace(subject, network=subject.network.to(device))
    if cut is not None and (begun_on := cut.figure("results.asked")) is not None:
        aligned = _as_begun(cut, begun_on["aligned"], aligned, target, where)
    else:
        aligned = aligned or latest(target, subject, where)
    graph = None if aligned is None else NDG.load(aligned.locate(where.runs) / GRAPH)
    layers = checked(subject, [] if settings.layers else _default(subject, experiment, graph), experiment)
    if graph is None and of_graph(settings.methods):
        raise RunNotFoundError(
            f"{' and '.join(OF_GRAPH)} are counted in the graph of an alignment; {of_graph(settings.methods)[0]} was "
            "asked for, and there is no alignment of this network; run `ndg align` first, or leave it out"
        )
    by = {"executor": executor, "ray_address": address}
    if resume:
        begun = runs.resume(where.store, experiment, where.runs, kind=KIND, parent=parent, device=device)
    else:
        begun = runs.start(where.store, KIND, experiment, where.runs, parent=parent, device=device)
    with begun as one:
        one.artefact(atomic.write(one.folder / CONFIG, experiment.to_yaml()))
        one.result("asked", {"aligned": aligned and aligned.id, "layers": layers})
        one.result("data", subject.facts)
        if subject.identity:
            one.result("network", subject.identity)
        found = measured(subject, layers, methods, experiment, one, **by)
        found += counted(graph, layers, settings.methods) if graph is not None else []
        write(found, experiment, one)
        boards = judge(subject, layers, experiment, one, **by)
        if graph is not None and aligned is not None:
            _annotate(graph, aligned, found, one)
        words = [line for board in boards for line in board.words()]
        tables = [*importance_tables.boards(one.record), *sections.scores(one.record)]
        title = f"Importance of the units of {experiment.name}"
        page = study_page(title, {**one.record, "status": None}, tables, words, experiment.to_yaml())
        one.artefact(atomic.write(one.folder / PAGE, page))
        shutil.rmtree(one.folder / JOURNALS, ignore_errors=True)
    return one.record


def logged_experiment(target: Target) -> Experiment:
    """The experiment that a scoring logs: with one alpha, because scores do not depend on it."""
    return target.experiment.at(target.experiment.criterion.alpha[0])


def measured(
    subject: Subject, layers: Sequence[str], methods: Sequence[str], experiment: Experiment, one: Run, **by: Any
) -> list[Scores]:
    """The scores of these layers by each method, on the split of the experiment; of `all` without what refuses.

    What is finished stays in the folder of the run until it ends.
    """
    found = []
    loader, how, kept = loader_of(subject, experiment), how_of(experiment, **by), kept_in(one, subject, experiment)
    for name in methods:
        log.info("score %s by %s", ", ".join(layers) if len(layers) < 4 else f"{len(layers)} layers", name)
        try:
            found.append(timed(kept, subject.network, loader, layers, name, fitting(name, how)).scores)
        except (ConfigError, DataError, LayerError) as error:
            if ALL not in experiment.importance.methods:
                raise
            log.warning("%s is left out: %s", name, error)
    return found


def kept_in(one: Run, subject: Subject, experiment: Experiment) -> Kept:
    """Where a run keeps finished scores, for examples of this split."""
    settings = experiment.importance
    data = (subject.facts["digest"], settings.split, settings.max_examples, experiment.seed)
    return Kept(one.folder / JOURNALS / KEPT, " ".join(map(str, data)))


def write(found: Sequence[Scores], experiment: Experiment, one: Run, graph: NDG | None = None) -> None:
    """Log the scores, as documents and as a table. Of a layer of tokens it is said what is scored, and what the graph
    reads."""
    import pandas as pd

    read = (
        {layer.name: TOKENS[layer.reading] for layer in graph.nodes.layers if layer.reading in TOKENS} if graph else {}
    )
    told = [{"layer": layer, "graph": words, "scored": "all tokens"} for layer, words in read.items()]
    for scores in found:
        split = "train" if scores.method in OF_GRAPH else experiment.importance.split
        about = {"split": split} | ({"tokens": told} if told else {})
        one.result(f"scores.{stage(scores.method)}", scores.to_dict() | about)
    if found:
        frames = [scores.frame().assign(method=scores.method, measure=scores.measure) for scores in found]
        one.artefact(atomic.write(one.folder / SCORES, pd.concat(frames).to_csv(index=False)))
        for layer, words in read.items():
            log.info("  of %s the graph reads %s; its units are scored with all their tokens", layer, words)


def stage(method: str) -> str:
    """A method as a key of a run document, in which a dot parts keys."""
    return method.replace(".", "_")


def judge(subject: Subject, layers: Sequence[str], experiment: Experiment, one: Run, **by: Any) -> list[Scoreboard]:
    """The scoreboards of the network and of one with random weights, logged, where the experiment asks for them.

    They are of the layers that the experiment names, else of all linear and convolution layers but the last, and where
    there are none of `layers`.
    """
    import pandas as pd

    asked, name = experiment.importance.scoreboard, experiment.name
    if asked is False or asked == []:
        return []
    methods = [ALL] if asked is True else asked
    if not experiment.importance.layers:
        with suppress(LayerError):
            layers = weighted_layers(subject.network, loader_of(subject, experiment))
    how = how_of(experiment, **by)
    networks = {"trained": subject.network, "random weights": reinitialised(subject.network, experiment.seed).model}
    log.info("scoreboard over %d layers, trained and with random weights", len(layers))
    boards = [
        scoreboard(
            network.to(device_of(subject.network)),
            loader_of(subject, experiment),
            layers,
            methods,
            settings=BoardSettings(how.baselines, how.n_steps, network=f"{name}, {what}", target=how.target),
            options=how.options,
            kept=kept_in(one, subject, experiment),
        )
        for what, network in networks.items()
    ]
    one.result("scoreboard", {key: board.to_dict() for key, board in zip(("trained", "random"), boards, strict=True)})
    rows = [row for board in boards for row in board.rows()]
    one.artefact(atomic.write(one.folder / BOARD, pd.DataFrame(rows).to_csv(index=False)))
    return boards


def latest(target: Target, subject: Subject, where: Locations) -> RunRecord | None:
    """The newest completed alignment of a network that left a graph; None where there is none."""
    mine: dict[str, Any] = {"kind": "align", "status": "COMPLETED"}
    mine |= {"parent": target.run.id} if target.run is not None else {"results.network.weights": _weights(subject)}
    with runs.open(where.store, local=where.runs) as book:
        found = book.find(mine, metrics=False)
    return next((record for record in found if (record.locate(where.runs) / GRAPH).is_file()), None)


def _as_begun(
    cut: RunRecord, begun_on: str | None, named: RunRecord | None, target: Target, where: Locations
) -> RunRecord | None:
    """The alignment whose graph a scoring began with. Raises RunNotFoundError where another one was named."""
    if named is not None and named.id != begun_on:
        raise RunNotFoundError(
            f"a scoring goes on with the graph that it began with; {cut.id} began with "
            f"{f'that of {begun_on}' if begun_on else 'none'}, and {named.id} was named; name that, or start another "
            "without --resume"
        )
    if named is not None or begun_on is None:
        return named
    with runs.open(where.store, local=where.runs) as book:
        return book.get(begun_on)


def _annotate(graph: NDG, aligned: RunRecord, found: Sequence[Scores], one: Run) -> None:
    """Write the graph with the scores on its nodes into the run's folder, where they share layers."""
    scored, fits = graph, []
    for scores in found:
        try:
            scored = scored.with_scores(scores)
            fits.append(scores.method)
        except ShapeError as error:
            log.info("the graph of %s is not annotated by %s: %s", aligned.id, scores.method, error)
    if fits:
        one.artefact(scored.save(one.folder / GRAPH))
        nodes = {layer.name: layer.units for layer in graph.nodes.layers}
        shared = list(dict.fromkeys(layer for scores in found for layer in scores.layers if layer in nodes))
        one.result("annotated", {"run": aligned.id, "digest": graph.digest, "methods": fits, "layers": shared})


def _default(subject: Subject, experiment: Experiment, graph: NDG | None) -> list[str]:
    if graph is not None:
        return [layer.name for layer in graph.nodes.layers]
    return find_layers(subject.network, experiment.extract.layers or [extraction.latent_layer(subject.network)])


def _weights(subject: Subject) -> str:
    known = (subject.identity or {}).get("weights")
    return str(known or weights_digest(subject.network))
