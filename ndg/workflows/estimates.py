"""Estimated seconds of the stages of an alignment, from timed passes.

Counts of passes that depend on the graph are typical ones: measured on the digits and MNIST networks, where each total
was met within a factor of 2.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any

from torch import Tensor

from ndg import executors
from ndg.abstraction.controls import CONTROLS, PROTOTYPES
from ndg.activations.batches import Batch, compute_batches, fixed, forward
from ndg.activations.hooks import Overwrite, Trace
from ndg.activations.sampling import subset
from ndg.config import Experiment
from ndg.importance.evaluation.spec import fitting, of_network, scored
from ndg.interventions import substitution
from ndg.interventions.replay import Replay
from ndg.workflows.score_request import board_methods, how_of, loader_of, weighted_layers
from ndg.workflows.subject import Subject
from ndg.workflows.timing import slowness, timed

CONTEXT_SECONDS = 1.5
"""Writing of the run's documents, picture and report."""

WRITE_SECONDS = 0.5
"""Writing of the documents and the page of a scoring."""

SETTING_SECONDS = 0.0003
"""Choosing and counting one setting of a compute batch, besides its pass."""

FIT_EXAMPLES = 16_384
"""Examples from which mean values are taken."""

GAIN = 0.85
"""Gain of one more thread."""

PASS_SECONDS = 0.02
"""Passes of a sample of scoring take about this long, so that a dry run of a large network stays short."""

SAMPLE_SECONDS = 1.0
"""Seconds after which no further task of a sample starts."""


def stage_seconds(
    experiment: Experiment,
    subject: Subject,
    layer: str,
    units: int,
    full: float,
    extracted: int,
    scored: Sequence[str] | None = None,
) -> dict[str, float]:
    """Seconds of each stage on one CPU, without counting.

    `units` are those of the `layer` on trial, `full` the seconds of a pass of the whole network, `extracted` the number
    of such passes for the booleans. Scores of the layers `scored` are estimated from a sample, else by their steps.
    """
    factor = slowness()
    setting = SETTING_SECONDS * factor
    trial, size = experiment.trial, experiment.extract.compute_batch
    batches = {name: -(-examples // size) for name, examples in subject.sizes.items()}
    seconds = {"extract": extracted * full}
    if scored is None:
        importance = experiment.importance
        steps = len(of_network(importance.methods)) * (importance.n_steps or 1)
        seconds["scores"] = 3 * steps * batches.get(importance.split, 0) * full
    else:
        seconds["scores"] = sum(score_seconds(experiment, subject, scored, full).values(), 0.0)
    seconds["report"] = CONTEXT_SECONDS * factor
    if not trial.interventions:
        return seconds
    part = part_seconds(subject, layer, experiment)
    held_out, count = batches[subject.held_out], len(trial.interventions)
    networks = sum(name != "shuffled_labels" for name in trial.graphs)
    seconds["controls"] = networks * batches["train"] * full
    tried = {*trial.splits, *({"validation"} & set(batches))}
    first, further = count * (1 + len(CONTROLS) + len(trial.graphs)), count * (trial.draws - 1)
    chosen = "validation" in tried  # its strongest prototype is the only one that further draws of other splits repeat
    settings = {name: first + further * (2 if chosen else 1 + len(PROTOTYPES)) for name in tried}
    settings |= {"validation": first + further * (1 + len(PROTOTYPES))} if chosen else {}
    seconds["trials"] = sum(batches[name] * settings[name] for name in tried) * (0.55 * part + setting)
    if trial.curve:
        seconds["trials"] += held_out * count * min(units, 32) * 1.9 * (part + setting)
    if trial.interchange:
        seconds["interchange"] = held_out * (8 * part + setting) + trial.pool / size * full
    fitted = min(subject.sizes["train"], FIT_EXAMPLES)
    if trial.edges:
        seconds["edges"] = held_out * units * (part + setting)
        if substitution.AUTO in trial.values or trial.values != "boolean":
            seconds["edges"] += fitted / size * full
    if trial.minimal:
        examples = min(trial.minimal, subject.sizes[subject.held_out])
        sets = 2 * min(trial.budget, units + units * (units - 1) // 2) + 12 * units
        seconds["minimal"] = examples * sets / size * (part + setting) + 3 * examples / size * full
    return seconds


def score_seconds(experiment: Experiment, subject: Subject, layers: Sequence[str], full: float) -> dict[str, float]:
    """Seconds of each method on one CPU, from a sample of examples."""
    settings, size = experiment.importance, experiment.extract.compute_batch
    if not subject.logits:
        return {}
    loader = loader_of(subject, experiment)
    examples = min(subject.sizes[settings.split], settings.max_examples or subject.sizes[settings.split])
    whole = min(size, examples)
    rows = min(whole, max(16, round(size * PASS_SECONDS / full)))
    few, batch = subset(loader, rows, experiment.seed), size if rows == whole else rows

    def sampled(name: str, scored_layers: Sequence[str]) -> float:
        sample = _Sample()
        how = how_of(experiment, subject, executor=sample)
        how = fitting(name, replace(how, options=replace(how.options, batch=batch)))
        started = time.perf_counter()
        with suppress(Exception):  # a part of the sums may be refused; what refuses a request was tried before
            scored(subject.network, few, scored_layers, name, how)
        return (time.perf_counter() - started + sample.left_out) * examples / rows

    seconds = {name: sampled(name, layers) for name in of_network(settings.methods)}
    if compared := board_methods(experiment):
        board = layers if settings.layers else weighted_layers(subject.network, loader)
        seconds["scoreboard"] = 2 * sum(sampled(name, board) for name in {*compared, "ablation"})
    return seconds


class _Sample:
    """Executor that runs the first tasks of a total and estimates the others."""

    name = "sample"

    def __init__(self) -> None:
        self.left_out = 0.0

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def total(self, work: Callable[[Any, Any], Any], shared: Any, tasks: Iterable[Any], label: str, **_: Any) -> Any:
        todo, started, sums = list(tasks), time.perf_counter(), None
        for done, task in enumerate(todo, 1):
            result = work(shared, task)
            sums = result if sums is None else sums + result
            if (spent := time.perf_counter() - started) > SAMPLE_SECONDS or done == len(todo):
                self.left_out += spent * (len(todo) / done - 1)
                break
        return sums


def with_executor(seconds: dict[str, float], chosen: executors.Executor) -> float:
    """The total where the passes run by an executor."""
    alone = seconds.get("report", 0.0) + seconds.get("mine", 0.0)
    slots = chosen.slots if isinstance(chosen, executors.Threads) else 1
    return alone + (sum(seconds.values()) - alone) / (1 + GAIN * (slots - 1))


def pass_seconds(subject: Subject, split: str, experiment: Experiment) -> float:
    """Seconds of a pass of the whole network."""
    settings, model = experiment.extract, subject.network
    batch: Batch = next(iter(compute_batches(subject.loaders[split], settings.compute_batch)))
    with fixed(model, settings.threads):
        return timed(lambda: forward(model, batch.inputs))


def part_seconds(subject: Subject, layer: str, experiment: Experiment) -> float:
    """Seconds of one compute batch in what comes after a layer."""
    settings, model = experiment.extract, subject.network
    batch: Batch = next(iter(compute_batches(subject.loaders["train"], settings.compute_batch)))
    replay = Replay(model, [layer])
    with fixed(model, settings.threads), Trace(model, [layer]) as trace, replay.recording():
        forward(model, batch.inputs)
        output: Tensor = trace[layer]

    def again() -> Any:
        with fixed(model, settings.threads), Overwrite(model, layer, lambda _: output + 0), replay.replaying():
            return forward(model, batch.inputs)

    return timed(again)
