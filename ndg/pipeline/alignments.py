"""An align run: extract, mine, evaluate, try, score, draw and log one trained network."""

from __future__ import annotations

import hashlib
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from ndg import atomic, data, executors, runs, training
from ndg.abstraction.controls import CONTROLS
from ndg.abstraction.definitions import definition
from ndg.abstraction.trial import TrialResult, trials
from ndg.activations.binarize import choose
from ndg.activations.compute import compute_batches, device_of, fixed, forward
from ndg.bits.matrix import BitMatrix
from ndg.config import Experiment, Store
from ndg.data.examples import SPLITS, Splits
from ndg.errors import CheckpointError, ConfigError, RenderError
from ndg.extraction import extract, latent_layer
from ndg.graph.build import mine
from ndg.graph.ndg import NDG
from ndg.importance.score import known, score
from ndg.importance.scores import Scores
from ndg.intervals import wilson
from ndg.locations import Locations
from ndg.mining.criteria import criterion
from ndg.pipeline import pictures
from ndg.pipeline.targets import Target
from ndg.pipeline.trainings import CONFIG, same_data
from ndg.progress import log
from ndg.report.html import Picture, Report
from ndg.report.html import write as write_report
from ndg.report.render import REPORTS, Look
from ndg.runs.record import RunRecord
from ndg.runs.run import Run

EDGES, TRIALS, SCORES, HTML = "edges.csv", "trials.csv", "scores.csv", "report.html"


@dataclass(frozen=True)
class Plan:
    """What an alignment would do; `seconds` is an estimate of its forward passes from one that was timed."""

    name: str
    run: str
    examples: int
    nodes: int
    pairs: int
    bytes: int
    forwards: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def plan(target: Target, where: Locations) -> Plan:
    """What `run` would do. Reads data and network and runs one compute batch; writes nothing."""
    experiment = target.experiment
    _check(experiment)
    model, splits = _network(target, where)
    settings = experiment.extract
    first = next(compute_batches(splits.train.loader(), settings.compute_batch))
    with fixed(model, settings.threads):
        started = time.perf_counter()
        forward(model, first.inputs)
        seconds = time.perf_counter() - started
    bits = _extract(model, splits.train[: settings.compute_batch].loader(), experiment)
    batches = {name: -(-size // settings.compute_batch) for name, size in splits.sizes().items()}
    tried = sum(batches[name] for name in experiment.trial.splits)
    forwards = sum(batches.values()) + tried * (1 + (1 + len(CONTROLS)) * len(experiment.trial.interventions))
    nodes, examples = len(bits.nodes), sum(splits.sizes().values())
    return Plan(
        name=experiment.name,
        run=target.run.id,
        examples=examples,
        nodes=nodes,
        pairs=nodes * (nodes - 1) // 2,
        bytes=sum(nodes * 8 * -(-size // 64) for size in splits.sizes().values()),
        forwards=forwards,
        seconds=forwards * seconds,
    )


def run(
    target: Target, where: Locations, *, device: str = "cpu", executor: str = "auto", address: str | None = None
) -> RunRecord:
    """The document of a finished alignment; its folder holds the graph, the tables, the picture and the report."""
    store = where.store_of(target.experiment)
    experiment = replace(target.experiment, store=Store())  # it may hold a password
    _check(experiment)
    model, splits = _network(target, where)
    model.to(device)
    with runs.start(store, "align", experiment, where.runs, parent=target.run.id, device=device) as one:
        one.artefact(atomic.write(one.folder / CONFIG, experiment.to_yaml()))
        one.result("data", splits.facts())
        bits = _bits(model, splits, experiment)
        one.result("accuracy", {name: _accuracy(part) for name, part in bits.items()})
        graph = _mine(bits["train"], experiment, target, one)
        _evaluate(graph, bits, one)
        _try(model, graph, splits, experiment, one, executor, address)
        scores = _score(model, graph, splits, experiment, one)
        graph = graph.with_scores(scores)
        one.artefact(graph.save(one.folder / pictures.GRAPH))
        _report(graph, scores, splits, experiment, bits["test"], one)
    return one.record


def _network(target: Target, where: Locations) -> tuple[nn.Module, Splits]:
    folder = target.run.folder if target.run.folder.is_dir() else where.runs / target.run.id
    model, _ = training.load_model(folder)
    logged = {entry["path"]: entry["sha256"] for entry in target.run["artefacts"]}.get(training.MODEL)
    with (folder / training.MODEL).open("rb") as file:
        if logged not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
            raise CheckpointError(
                f"{folder / training.MODEL} is not the network that run {target.run.id} logged: its sha256 differs; "
                "put the logged file back, or train again"
            )
    splits = data.load(where.place(target.experiment).data)
    same_data(target.run, splits)
    return model, splits


def _check(experiment: Experiment) -> None:
    """Raise ConfigError for a name that no registry knows, before anything is written."""
    criterion(experiment.criterion.name)
    choose(experiment.extract.binarizer, nn.Identity())
    for name in experiment.trial.interventions:
        definition(name)
    for name in experiment.importance.methods:
        known(name)
    layers = experiment.extract.layers
    if len(layers) > 1 and experiment.trial.layer not in layers:
        raise ConfigError(
            f"a trial intervenes on one layer; extract.layers are {', '.join(layers)} and trial.layer is "
            f"{experiment.trial.layer}; set trial.layer to one of them"
        )


def _extract(model: nn.Module, loader: Any, experiment: Experiment, like: BitMatrix | None = None) -> BitMatrix:
    settings = experiment.extract
    return extract(
        model,
        loader,
        None if like else settings.layers or [latent_layer(model)],
        binarizer=settings.binarizer,
        quantile=settings.quantile,
        like=like,
        batch=settings.compute_batch,
        threads=settings.threads,
        seed=experiment.seed,
    )


def _bits(model: nn.Module, splits: Splits, experiment: Experiment) -> dict[str, BitMatrix]:
    """The booleans of every split; the others are binarised as train is."""
    train = _extract(model, splits.train.loader(), experiment)
    others = {
        name: _extract(model, splits[name].loader(), experiment, like=train) for name in SPLITS if name != "train"
    }
    return {"train": train, **others}


def _accuracy(bits: BitMatrix) -> dict[str, Any]:
    correct = bits.correct or 0
    low, high = wilson(correct, bits.examples)
    rate = correct / bits.examples
    return {"rate": rate, "low": float(low), "high": float(high), "correct": correct, "n": bits.examples}


def _mine(bits: BitMatrix, experiment: Experiment, target: Target, one: Run) -> NDG:
    rule = experiment.criterion
    provenance = {"run": one.id, "trained": target.run.id, "digest": experiment.digest, "seed": experiment.seed}
    graph = mine(
        bits,
        criterion=rule.name,
        alpha=rule.alpha[0],
        confidence=rule.confidence,
        support=rule.support,
        provenance=provenance,
    )
    figures = graph.stats(bits)
    one.result(
        "graph",
        {
            "digest": graph.digest,
            "criterion": graph.criterion,
            "binarizer": graph.binarizer,
            "layers": [{"layer": layer.name, "units": layer.units} for layer in graph.nodes.layers],
            "examples": graph.examples,
            "implications": len(graph),
            "paper": asdict(figures.paper),
            "condensed": asdict(figures.condensed),
            "equivalent_pairs": figures.equivalent_pairs,
            "worst_agreement": figures.worst_agreement,
            "cyclic_components": figures.cyclic_components,
            "contradictory": figures.contradictory,
        },
    )
    log.info("  %d implications among %d nodes from %d examples", len(graph), len(graph.nodes), graph.examples)
    return graph


def _evaluate(graph: NDG, bits: dict[str, BitMatrix], one: Run) -> None:
    """Precision and recall of the implications on every split, and per edge on test."""
    one.result("edges", {name: graph.held_out(part).to_dict() for name, part in bits.items()})
    one.artefact(atomic.write(one.folder / EDGES, graph.evaluate(bits["test"]).to_csv(index=False)))


def _try(
    model: nn.Module,
    graph: NDG,
    splits: Splits,
    experiment: Experiment,
    one: Run,
    executor: str,
    address: str | None,
) -> None:
    """Log every intervention on each asked split, with its controls."""
    import pandas as pd

    settings = experiment.trial
    found: dict[str, dict[str, TrialResult]] = {}
    by = executors.ray(address) if executor == "ray" else executor
    with by.session() if isinstance(by, executors.Ray) else nullcontext():
        for split in dict.fromkeys(settings.splits):
            found[split] = trials(
                model,
                graph,
                splits[split].loader(),
                settings.interventions,
                executor=by,
                ray_address=address,
                layer=settings.layer,
                device=None if device_of(model).type == "cpu" else str(device_of(model)),
                seed=settings.seed,
                split=split,
                batch=experiment.extract.compute_batch,
                threads=experiment.extract.threads,
            )
            for result in found[split].values():
                one.result(f"trial.{result.key}.{split}", result.to_dict())
            log.info("  trial on %s, %s", split, result.reason)
    frame = pd.concat([result.frame() for results in found.values() for result in results.values()])
    one.artefact(atomic.write(one.folder / TRIALS, frame.to_csv(index=False)))


def _score(model: nn.Module, graph: NDG, splits: Splits, experiment: Experiment, one: Run) -> list[Scores]:
    """The scores of the graph's layers by each asked method."""
    import pandas as pd

    settings = experiment.importance
    layers = [layer.name for layer in graph.nodes.layers]
    loader = splits[settings.split].loader()
    found = [
        score(
            model,
            loader,
            layers,
            method,
            steps=settings.steps,
            batch=experiment.extract.compute_batch,
            threads=experiment.extract.threads,
        )
        for method in settings.methods
    ]
    for scores in found:
        one.result(f"scores.{scores.method}", scores.to_dict() | {"split": settings.split})
    if found:
        frames = [scores.frame().assign(method=scores.method, measure=scores.measure) for scores in found]
        one.artefact(atomic.write(one.folder / SCORES, pd.concat(frames).to_csv(index=False)))
    return found


def _report(
    graph: NDG, scores: list[Scores], splits: Splits, experiment: Experiment, bits: BitMatrix, one: Run
) -> None:
    """The picture as PDF and SVG, and the report that holds everything on one page. `bits` are those of test."""
    limits = experiment.report
    look = Look(scores or None, None, limits.max_nodes, splits.class_names, experiment.name, None, limits.timeout)
    drawn: list[Picture] = []
    try:
        for kind in ("pdf", "svg"):
            one.artefact(atomic.write(one.folder / f"{pictures.NAME}.{kind}", REPORTS[kind](graph, look)))
        svg = (one.folder / f"{pictures.NAME}.svg").read_text(encoding="utf-8")
        drawn = [Picture(look.drawing(graph).left_out, svg)]
    except RenderError as error:  # a picture can be drawn again from the run, the figures cost more
        log.warning("no picture: %s; `ndg render %s` draws it later", error, one.id)
    content = Report(
        title=f"What {experiment.name} says about itself",
        record={**one.record, "status": None},
        pictures=drawn,
        edges=[{str(key): value for key, value in row.items()} for row in graph.evaluate(bits).to_dict("records")],
        rules=graph.rules(limit=40),
        config=experiment.to_yaml(),
    )
    one.artefact(write_report(one.folder / HTML, content))
