"""Alignment of one network, from extraction to report."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from typing import Any

from ndg import atomic, escape, runs
from ndg.bits.matrix import BitMatrix
from ndg.config import Experiment
from ndg.errors import RenderError
from ndg.graph.ndg import NDG
from ndg.importance.evaluation.spec import of_network
from ndg.importance.scores import Scores
from ndg.intervals import wilson
from ndg.mining.pairs import pairs_of
from ndg.options import RunOptions
from ndg.progress import log
from ndg.report.explorer.page import explore
from ndg.report.html import Picture, Report, page
from ndg.report.render import REPORTS, Look
from ndg.runs.record import RunRecord
from ndg.runs.run import Run
from ndg.workflows import pictures, score, seen
from ndg.workflows.prepare import Prepared, check
from ndg.workflows.score_request import checked, counted
from ndg.workflows.targets import Target
from ndg.workflows.train import CONFIG
from ndg.workflows.trial_stages import JOURNALS, TrialStages

EDGES, HTML = "edges.csv", "report.html"


def run(prepared: Prepared, alpha: float, resume: bool = False) -> RunRecord:
    """Align a network at one alpha; return the run document.

    The run's folder holds graph, tables, picture and report. With `resume`, the newest unfinished alignment of this
    network by this experiment continues.
    """
    target, where, experiment = prepared.target, prepared.where, prepared.experiment.at(alpha)
    check(experiment)
    subject = prepared.subject
    scored = checked(subject, prepared.layers, experiment)
    prepared.seconds = prepared.shared_seconds
    with (
        runs.start_or_resume(resume, where, "align", experiment, target.parent, device=prepared.device) as run,
        prepared.by.session(),
    ):
        run.artefact(atomic.write(run.folder / CONFIG, _config(experiment, target)))
        run.result("data", subject.facts)
        title = getattr(subject.network, "title", None)
        if subject.identity or title:
            run.result("network", {**(subject.identity or {}), "title": title})
        bits = prepared.bits
        judged = {name: part for name, part in bits.items() if part.correct is not None}
        if judged:
            run.result("accuracy", {name: _accuracy(part, prepared.read[name]) for name, part in judged.items()})
        graph = _mine(prepared, experiment, target, run)
        run.result("edges", {name: graph.held_out(part).to_dict() for name, part in bits.items()})
        edges = graph.evaluate(bits[subject.held_out])
        run.artefact(atomic.write(run.folder / EDGES, escape.csv(edges, experiment.report.raw_csv)))
        with prepared.timed("scores"):
            scores = _score(prepared, graph, scored, experiment, run)
        on_nodes = [each for each in scores if set(each.layers) & {layer.name for layer in graph.nodes.layers}]
        if experiment.trial.interventions:
            graph = TrialStages(prepared, experiment, graph, run).run(on_nodes)
        graph = graph.with_scores(on_nodes)
        run.artefact(graph.save(run.folder / pictures.GRAPH))
        shutil.rmtree(run.folder / JOURNALS, ignore_errors=True)
        with prepared.timed("report"):
            _report(prepared, graph, on_nodes, experiment, edges.to_dict("records"), run)
        run.result("seconds", {name: round(seconds, 3) for name, seconds in prepared.seconds.items()})
    return run.record


def _config(experiment: Experiment, target: Target) -> str:
    """The config as YAML, without the training of foreign networks."""
    if target.run is not None:
        return experiment.to_yaml()
    own = target.subject is not None and experiment.data.name == "own"
    return experiment.to_yaml(without=("model", "train", *(("data",) if own else ())))


def _accuracy(bits: BitMatrix, examples: int) -> dict[str, Any]:
    """Accuracy with its interval over the `examples` of a split."""
    correct = bits.correct or 0
    low, high = wilson(correct, examples)
    return {"rate": correct / examples, "low": float(low), "high": float(high), "correct": correct, "n": examples}


def _mine(prepared: Prepared, experiment: Experiment, target: Target, run: Run) -> NDG:
    bits = prepared.bits["train"]
    network = {"trained": target.id} if target.run is not None else {"network": (prepared.subject.identity or {})}
    provenance = {"run": run.id, **network, "digest": experiment.digest, "seed": experiment.seed}
    graph = prepared.graphs[experiment.criterion.alpha[0]]
    graph = replace(graph, provenance={**graph.provenance, **provenance})
    names = prepared.subject.class_names or ()
    if len(names) == graph.nodes.labels and any(name != str(number) for number, name in enumerate(names)):
        graph = graph.with_class_names(names)
    run.result(
        "mining",
        {
            "examples": graph.examples,
            "sample": None if bits.sample is None else asdict(bits.sample),
            "nodes": len(graph.nodes),
            "pairs": pairs_of(graph.nodes, experiment.mining.pairs),
            "forwards": sum(-(-count // experiment.extract.compute_batch) for count in prepared.read.values()),
            "tests": graph.implications.tests,
            "implications": len(graph),
            "bytes": sum(8 * len(part.nodes) * -(-part.examples // 64) for part in prepared.bits.values()),
            "process_peak_bytes": prepared.peak_bytes,
            "seconds": prepared.shared_seconds,
            "alphas": list(prepared.experiment.criterion.alphas),
        },
    )
    run.result(
        "graph",
        {
            "digest": graph.digest,
            "criterion": graph.criterion,
            "binarizer": graph.binarizer,
            "layers": [{"layer": layer.name, "units": layer.units} for layer in graph.nodes.layers],
            "examples": graph.examples,
            "implications": len(graph),
            **graph.stats(bits).to_dict(),
        },
    )
    log.info("  %d implications among %d nodes from %d examples", len(graph), len(graph.nodes), graph.examples)
    return graph


def _score(prepared: Prepared, graph: NDG, layers: list[str], experiment: Experiment, run: Run) -> list[Scores]:
    """Scores of the layers by each method, logged with scoreboards."""
    subject = prepared.subject
    if not subject.logits:
        return []
    methods = experiment.importance.methods
    scores = score.measured(subject, layers, of_network(methods), experiment, run, executor=prepared.by)
    scores += counted(graph, layers, methods)
    score.write(scores, experiment, run, graph)
    score.judge(subject, layers, experiment, run, executor=prepared.by)
    return scores


def _report(
    prepared: Prepared, graph: NDG, scores: list[Scores], experiment: Experiment, edges: list[dict[Any, Any]], run: Run
) -> None:
    """Write the picture as PDF and SVG, and the one-page report."""
    limits, subject = experiment.report, prepared.subject
    look = Look(scores or None, None, limits.max_nodes, title=experiment.name, timeout=limits.timeout)
    drawn: list[Picture] = []
    try:
        for kind in ("pdf", "svg"):
            run.artefact(atomic.write(run.folder / f"{pictures.NAME}.{kind}", REPORTS[kind](graph, look)))
        drawn = [Picture.of((run.folder / f"{pictures.NAME}.svg").read_text(encoding="utf-8"))]
    except RenderError as error:  # a picture can be drawn later; the figures cost more
        log.warning("no picture: %s; `ndg render %s` draws it later", error, run.id)
    title, record = f"Report of {experiment.name}", {**run.record, "status": None}
    config = _config(experiment, prepared.target)
    options = RunOptions(**prepared.passes, seed=experiment.seed)
    examples = seen.of_graph(subject, graph, edges, options) if subject.logits else []
    run.artefact(atomic.write(run.folder / seen.FILE, seen.text(examples)))
    explorer = explore(graph, run.folder / pictures.EXPLORER, title=experiment.name, examples=examples)
    run.artefact(explorer)
    report = Report(title, record, drawn, edges, subject.held_out, graph.rules(limit=40), config, pictures.EXPLORER)
    report = replace(report, explorer_page=explorer.read_text(encoding="utf-8"), seen=examples)
    run.artefact(atomic.write(run.folder / HTML, page(report)))
