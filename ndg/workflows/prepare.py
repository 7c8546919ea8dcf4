"""Network, data, booleans and graphs of an alignment, and its plan."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import nn

from ndg import discovery, executors, extraction, progress, training
from ndg.abstraction.controls import CONTROLS
from ndg.activations.batches import device_of
from ndg.activations.binarize import choose
from ndg.bits.matrix import BitMatrix
from ndg.config import Experiment
from ndg.data.examples import SPLITS
from ndg.errors import CheckpointError, ConfigError, DataError
from ndg.executors import AUTO, Executor
from ndg.extraction import ReadingSettings
from ndg.graph.ndg import NDG
from ndg.importance.evaluation.spec import every, of_network
from ndg.interventions import substitution
from ndg.interventions.cache import Cache, PrefixCache
from ndg.interventions.intervention_sets import definition
from ndg.locations import Locations
from ndg.mining.pairs import check_pairs
from ndg.nodes import LABEL
from ndg.options import RunOptions
from ndg.progress import log
from ndg.units.resolve import find_layers
from ndg.workflows.estimates import stage_seconds, with_executor
from ndg.workflows.score_request import checked
from ndg.workflows.subject import Subject
from ndg.workflows.targets import Target, run_folder
from ndg.workflows.train import load, same_data

LONG = 60.0
"""Seconds of an alignment above which its stages are measured with the kernels."""
COUNTED = 3e11
"""Pairs of nodes times examples that are counted in a second, roughly."""


@dataclass(frozen=True)
class Plan:
    """Size and estimated cost of an alignment at one alpha.

    `forwards` counts the compute batches of extraction and trial; scores take more. `bytes` are those of the packed
    booleans. Of several alphas, the first carries the cost of extraction and counting, which they share.
    """

    name: str
    run: str
    examples: int
    nodes: int
    pairs: int
    bytes: int
    forwards: int
    seconds: float


def plans(target: Target, where: Locations, executor: str = AUTO) -> list[Plan]:
    """Plans of the alignment of a target, one per alpha.

    Reads the data and runs one batch; writes nothing. Raises DataError for a loader of training examples that does not
    know how many it has.
    """
    started, experiment = time.perf_counter(), target.experiment
    check(experiment)
    prepared = Prepared(target, where, None, executor, None)
    subject, settings = prepared.subject, experiment.extract
    splits = subject.sizes
    reading = time.perf_counter() - started
    scored = checked(subject, prepared.layers, experiment)
    captured, examples, forwards, stages = _estimated(prepared, scored)
    stages["report"] += reading  # of network and data
    batches = {name: -(-size // settings.compute_batch) for name, size in splits.items()}
    interventions = len(experiment.trial.interventions)
    passes = 1 + (1 + len(CONTROLS)) * interventions if interventions else 0
    tried = passes * sum(batches[name] for name in experiment.trial.splits)
    held_out = sum(count for name, count in batches.items() if name != "train")
    extracted = forwards + held_out
    most = min(splits["train"], experiment.mining.max_examples or splits["train"])
    sizes = {name: round(size * examples / most) for name, size in splits.items()}
    sizes["train"] = examples  # each token is an example where tokens are "every"
    chosen, _ = executors.choose(executor, subject.network, task_cpus=settings.threads)
    first = Plan(
        name=experiment.name,
        run=target.id,
        examples=sum(sizes.values()),
        nodes=captured.nodes,
        pairs=captured.pairs,
        bytes=sum(captured.nodes * 8 * -(-size // 64) for size in sizes.values()),
        forwards=tried + extracted,
        seconds=with_executor(stages, chosen),
    )
    again = {name: seconds for name, seconds in stages.items() if name not in ("extract", "mine")}
    other = replace(first, forwards=tried, seconds=with_executor(again, chosen))
    return [first, *[other] * (len(experiment.criterion.alphas) - 1)]


def stages(prepared: Prepared) -> dict[str, float]:
    """Roughly estimated seconds of the stages of an alignment.

    Those of a long alignment are measured with the kernels, which take part of a second to load. None for a loader of
    unknown length.
    """
    try:
        rough = _estimated(prepared, None, kernels=False)[-1]
        return rough if sum(rough.values()) < LONG else _estimated(prepared, None)[-1]
    except DataError:
        return {}


def _estimated(
    prepared: Prepared, scored: Sequence[str] | None, kernels: bool = True
) -> tuple[extraction.CaptureEstimate, int, int, dict[str, float]]:
    """Size of the extraction, its examples and passes, and seconds of each stage, with or without the kernels."""
    experiment, subject, layers = prepared.experiment, prepared.subject, prepared.layers
    settings = experiment.extract
    captured = extraction.estimate(
        subject.network,
        subject.loaders["train"],
        layers,
        settings=prepared.reading,
        options=RunOptions(batch=settings.compute_batch, threads=settings.threads),
        pairs=experiment.mining.pairs,
        packs=kernels,
    )
    if captured.examples is None or captured.forwards is None or captured.seconds is None:
        raise DataError(
            "a dry run needs a loader that tells how many examples it has; that of train does not; give a DataLoader, "
            "a list of batches, or one with `dataset` or `examples`"
        )
    full = captured.seconds / captured.forwards
    held_out = sum(-(-size // settings.compute_batch) for name, size in subject.sizes.items() if name != "train")
    layer, units = experiment.trial.layer or layers[0], captured.nodes // len(layers)
    seconds = stage_seconds(experiment, subject, layer, units, full, captured.forwards + held_out, scored)
    if kernels:
        seconds["mine"] = discovery.seconds_to_count(captured.pairs, captured.examples)
    else:
        seconds["mine"] = captured.pairs * captured.examples / COUNTED
    return captured, captured.examples, captured.forwards, seconds


@dataclass(eq=False)
class Prepared:
    """Network, data, booleans and graphs of a target, for all alphas."""

    target: Target
    where: Locations
    device: str | None
    executor: str
    address: str | None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    caches: dict[str, Cache] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        """The experiment of the target, with all its alphas."""
        return self.target.experiment

    def changed(self, **sections: Any) -> Prepared:
        """The same network with other sections of its experiment."""
        target = replace(self.target, experiment=replace(self.experiment, **sections))
        return replace(self, target=target, seconds={}, caches={})

    @cached_property
    def subject(self) -> Subject:
        """The network and its data. Unreadable layers are an error."""
        subject = subject_of(self.target, self.where)
        _layers(subject, self.experiment)  # layers that cannot be read are refused before anything is written
        return replace(subject, network=subject.network.to(self.device)) if self.device else subject

    @property
    def layers(self) -> list[str]:
        """The layers of the experiment that are extracted."""
        return _layers(self.subject, self.experiment)

    @property
    def reading(self) -> ReadingSettings:
        """How the layers of the experiment are extracted."""
        names = ("channels", "tokens", "binarizer", "quantile")
        settings = {name: getattr(self.experiment.extract, name) for name in names}
        limit = self.experiment.mining.max_examples
        return ReadingSettings(labels=self.subject.logits, max_examples=limit, **settings)

    @property
    def trial_layer(self) -> str:
        """The layer that a trial changes. Raises ConfigError."""
        return _trial_layer(self.layers, self.experiment)

    def _front(self, split: str) -> PrefixCache | None:
        """Cache of activations before the trial's layer; None without a trial."""
        if not self.experiment.trial.interventions:
            return None
        cache, layers = self.caches.setdefault(split, Cache()), tuple(self.layers)
        return PrefixCache(self.subject.network, layers, (self.trial_layer,), cache)

    @property
    def passes(self) -> dict[str, Any]:
        """Batch, threads and device of forward passes."""
        settings, place = self.experiment.extract, device_of(self.subject.network)
        device = None if place.type == "cpu" else str(place)
        return {"batch": settings.compute_batch, "threads": settings.threads, "device": device}

    @cached_property
    def by(self) -> Executor:
        """The executor of all stages, chosen once."""
        threads = self.experiment.extract.threads
        chosen, reason = executors.choose(self.executor, self.subject.network, address=self.address, task_cpus=threads)
        log.info("  executor %s", reason)
        return chosen

    @property
    def shared_seconds(self) -> dict[str, float]:
        """Seconds of the stages that all alphas share."""
        return {stage: seconds for stage, seconds in self.seconds.items() if stage in ("extract", "mine")}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of this context to those of a stage."""
        started = time.perf_counter()
        progress.enter(stage)
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def options(self, seed: int, **more: Any) -> RunOptions:
        """Run options of a study of the network."""
        return RunOptions(seed=seed, executor=self.by, **self.passes, **more)

    def reading_options(self, seed: int) -> RunOptions:
        """How an extraction runs (in Ray, on the CPU)."""
        return replace(self.options(seed), device=None)

    @property
    def graph(self) -> NDG:
        """The graph of the first alpha, for the studies."""
        return next(iter(self.graphs.values()))

    def mine(self, bits: BitMatrix) -> NDG:
        """Mine a graph from booleans at the first alpha."""
        return self.sweep(bits, self.experiment.criterion.alphas[:1])[0]

    @cached_property
    def bits(self) -> dict[str, BitMatrix]:
        """Booleans of every split, all binarised like the training split."""
        model, loaders = self.subject.network, self.subject.loaders
        options = self.reading_options(self.experiment.seed)
        bits: dict[str, BitMatrix] = {}
        with self.timed("extract"):
            for name in dict.fromkeys(["train", *loaders]):
                how: dict[str, Any] = {"like": bits["train"]} if bits else {"settings": self.reading}
                layers = None if bits else self.layers
                around = self._front(name)
                bits[name] = extraction.extract(model, loaders[name], layers, **how, options=options, around=around)
        return bits

    @property
    def read(self) -> dict[str, int]:
        """Number of extracted examples of each split."""
        sizes, limit = self.subject.sizes, self.experiment.mining.max_examples
        return sizes | {"train": min(sizes["train"], limit or sizes["train"])}

    @cached_property
    def graphs(self) -> dict[float, NDG]:
        """Graphs by alpha, from one count of all pairs."""
        bits, alphas = self.bits["train"], self.experiment.criterion.alphas
        with self.timed("mine"):
            graphs = self.sweep(bits, alphas)
        self.peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return dict(zip(alphas, graphs, strict=True))

    def sweep(self, bits: BitMatrix, alphas: Sequence[float]) -> list[NDG]:
        """Mine a graph at each alpha, from one count of pairs."""
        mining = self.experiment.mining
        return discovery.sweep(
            bits,
            [self.experiment.criterion.rule(alpha) for alpha in alphas],
            pairs=mining.pairs,
            max_edges=mining.max_edges,
            options=RunOptions(device=self.device, executor=self.by),
        )


def check(experiment: Experiment) -> None:
    """Raise ConfigError for unknown names of binarizers, interventions, values and methods."""
    choose(experiment.extract.binarizer, nn.Identity())
    for name in [*experiment.trial.interventions, experiment.counterfactual.intervention]:
        definition(name)
    if experiment.trial.values != substitution.AUTO:
        substitution.known(experiment.trial.values)
    of_network(experiment.importance.methods)
    if isinstance(experiment.importance.scoreboard, list):
        every(experiment.importance.scoreboard)


def subject_of(target: Target, where: Locations) -> Subject:
    """Network and data of a target.

    Raises CheckpointError for a changed file.
    """
    if target.subject is not None:
        return target.subject
    if target.run is None:
        raise ConfigError("a target has a train run or a subject; got neither")
    folder = run_folder(target.run, where)
    model, _ = training.load_model(folder)
    logged = {entry["path"]: entry["sha256"] for entry in target.run["artefacts"]}.get(training.MODEL)
    with (folder / training.MODEL).open("rb") as file:
        if logged not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
            raise CheckpointError(
                f"{folder / training.MODEL} is not the network that run {target.run.id} logged: its sha256 differs; "
                "put the logged file back, or train again"
            )
    splits = load(where.place(target.experiment), folder)
    same_data(target.run, splits)
    batch = target.experiment.extract.compute_batch
    loaders: dict[str, Iterable[Any]] = {name: splits[name].loader(batch) for name in SPLITS}
    words = None if splits.tokenizer is None else splits.tokenizer.words
    return Subject(model, loaders, splits.facts(), splits.class_names, words=words)


def _trial_layer(layers: Sequence[str], experiment: Experiment) -> str:
    if len(layers) > 1 and experiment.trial.layer not in layers:
        raise ConfigError(
            f"a trial intervenes on one layer; extract.layers are {', '.join(layers)} and trial.layer is "
            f"{experiment.trial.layer}; set trial.layer to one of them, or trial.interventions=[] for no trial"
        )
    return experiment.trial.layer or layers[0]


def _layers(subject: Subject, experiment: Experiment) -> list[str]:
    """The layers of an experiment. Raises ConfigError for an ambiguous trial."""
    layers = find_layers(subject.network, experiment.extract.layers or [extraction.latent_layer(subject.network)])
    if experiment.trial.interventions:
        _trial_layer(layers, experiment)
    check_pairs(experiment.mining.pairs, [LABEL, *layers] if subject.logits else layers)
    return layers
