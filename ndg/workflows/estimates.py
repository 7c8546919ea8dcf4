"""Estimated seconds of the stages of an alignment, from timed passes.

Counts of passes that depend on the graph are typical ones: measured on the digits and MNIST networks, where each total
was met within a factor of 2.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ndg import executors
from ndg.abstraction.controls import CONTROLS, PROTOTYPES
from ndg.activations.batches import Batch, compute_batches, fixed, forward
from ndg.activations.hooks import Overwrite, Trace
from ndg.config import Experiment
from ndg.importance.evaluation.spec import of_network
from ndg.interventions import substitution
from ndg.interventions.replay import Replay
from ndg.workflows.subject import Subject

CONTEXT_SECONDS = 4.0
"""Writing of the run's documents, picture and report."""

SETTING_SECONDS = 0.0003
"""Choosing and counting one setting of a compute batch, besides its pass."""

FIT_EXAMPLES = 16_384
"""Examples from which mean values are taken."""

GAIN = 0.85
"""Gain of one more thread."""


def stage_seconds(
    experiment: Experiment, subject: Subject, layer: str, units: int, full: float, extracted: int
) -> dict[str, float]:
    """Seconds of each stage on one CPU, without counting.

    `units` are those of the `layer` on trial, `full` the seconds of a pass of the whole network, `extracted` the number
    of such passes for the booleans.
    """
    trial, size = experiment.trial, experiment.extract.compute_batch
    batches = {name: -(-examples // size) for name, examples in subject.sizes.items()}
    seconds = {"extract": extracted * full}
    importance = experiment.importance
    scored = batches.get(importance.split, 0)
    if importance.max_examples:
        scored = min(scored, -(-importance.max_examples // size))
    seconds["scores"] = 2 * len(of_network(importance.methods)) * scored * full  # one step back for each pass
    seconds["report"] = CONTEXT_SECONDS
    if not trial.interventions:
        return seconds
    part = part_seconds(subject, layer, experiment)
    held_out, count = batches[subject.held_out], len(trial.interventions)
    networks = sum(name != "shuffled_labels" for name in trial.graphs)
    seconds["controls"] = networks * batches["train"] * full
    tried = {*trial.splits, *({"validation"} & set(batches))}
    settings = count * (1 + len(CONTROLS) + len(trial.graphs) + (trial.draws - 1) * (1 + len(PROTOTYPES)))
    seconds["trials"] = sum(batches[name] for name in tried) * settings * (0.6 * part + SETTING_SECONDS)
    if trial.curve:
        seconds["curve"] = held_out * count * min(units, 32) * 1.5 * (part + SETTING_SECONDS)
    if trial.interchange:
        seconds["interchange"] = held_out * (8 * part + SETTING_SECONDS) + trial.pool / size * full
    fitted = min(subject.sizes["train"], FIT_EXAMPLES)
    if trial.edges:
        seconds["edges"] = held_out * units * (part + SETTING_SECONDS)
        if substitution.AUTO in trial.values or trial.values != "boolean":
            seconds["edges"] += fitted / size * full
    if trial.minimal:
        examples = min(trial.minimal, subject.sizes[subject.held_out])
        sets = 2 * min(trial.budget, units + units * (units - 1) // 2) + 12 * units
        seconds["minimal"] = examples * sets / size * (part + SETTING_SECONDS) + 3 * examples / size * full
    return seconds


def with_executor(seconds: dict[str, float], chosen: executors.Executor) -> float:
    """The total where the passes run by an executor."""
    alone = seconds.get("report", 0.0) + seconds.get("count", 0.0)
    slots = chosen.slots if isinstance(chosen, executors.Threads) else 1
    return alone + (sum(seconds.values()) - alone) / (1 + GAIN * (slots - 1))


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


def timed(action: Callable[[], Any], times: int = 5) -> float:
    """The least seconds of several runs, after a warm-up."""
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
