"""One compute batch on trial: what the network predicts by itself, and under every intervention and control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from ndg.abstraction.controls import GRAPH, Prototypes, alternatives, controls
from ndg.abstraction.definitions import Choices
from ndg.abstraction.intervention import Intervention
from ndg.abstraction.replay import Replay
from ndg.abstraction.tally import Outcome, Tallies, Tally
from ndg.activations.binarize import as_tensor, binarize
from ndg.activations.compute import Batch, Inputs, check_finite, fixed, forward, true_labels
from ndg.activations.trace import Trace, per_unit
from ndg.errors import DataError, ShapeError

Indices = Int64[np.ndarray, " example"]
Bits = Bool[np.ndarray, "example unit"]


@dataclass(frozen=True, eq=False)
class Study:
    """All that a worker needs to know to try one batch."""

    model: nn.Module
    layer: str
    labels: int
    thresholds: Float64[np.ndarray, " unit"]
    choices: dict[str, Choices]
    prototypes: Prototypes
    seed: int
    threads: int


def run(study: Study, batch: Batch) -> Tallies:
    """The tallies of one compute batch, of every intervention and control, keyed by both and, of the graph's own
    choice, by role and class as well."""
    replay = Replay(study.model, [study.layer])
    with fixed(study.model, study.threads):
        with replay.recording():
            original, bits = _observe(study, batch)
        true = _true(study, batch)
        examples = np.arange(batch.start, batch.start + batch.count, dtype=np.int64)
        other = alternatives(study.seed, examples, true, study.labels)
        everyone = np.ones(batch.count, np.bool_)
        nobody = ~everyone
        seen: dict[bytes, Indices] = {}
        correct = original == true
        kept = _predict(study, batch, bits, replay, seen) == true
        tallies: dict[tuple[str | int, ...], Tally] = {}
        for name, choice in study.choices.items():
            mask, values, contradictory = choice.of(true, other)
            sets = {GRAPH: (mask, values)}
            sets |= controls(study.prototypes, study.seed, examples, other, mask.sum(axis=1))
            graph_aligned = nobody
            for control, (chosen, booleans) in sets.items():
                own = control == GRAPH
                after = _predict(study, batch, np.where(chosen, booleans, bits), replay, seen)
                if own:
                    graph_aligned = after == other
                outcome = Outcome(
                    correct=correct,
                    aligned=after == other,
                    unchanged=after == true,
                    contradictory=contradictory if own else nobody,
                    no_ancestors=choice.no_ancestors[other] if own else nobody,
                    neurons_set=chosen.sum(axis=1),
                    neurons_changed=(chosen & (booleans != bits)).sum(axis=1),
                    kept=kept,
                    graph_aligned=graph_aligned,
                )
                tallies[name, control] = outcome.tally(everyone)
                if own:
                    for role, classes in (("true", true), ("alternative", other)):
                        parts = {label: outcome.tally(classes == label) for label in np.unique(classes).tolist()}
                        tallies |= {(name, control, role, label): tally for label, tally in parts.items()}
    return Tallies(tallies)


def _observe(study: Study, batch: Batch) -> tuple[Indices, Bits]:
    """What the unmodified network predicts, and the booleans of the layer."""
    with Trace(study.model, [study.layer]) as trace:
        logits = forward(study.model, batch.inputs)[: batch.count]
        values = per_unit(trace[study.layer], study.layer)[: batch.count]
    units = len(study.thresholds)
    if (logits.shape[1], values.shape[1]) != (study.labels, units):
        raise ShapeError(
            f"the graph is of another network: it has {study.labels} labels and {units} units of {study.layer!r}, the "
            f"network {logits.shape[1]} and {values.shape[1]}; use the graph that was mined from this network"
        )
    check_finite(values, study.layer, batch.start)
    check_finite(logits, "logits", batch.start)
    bits = binarize(values, as_tensor(study.thresholds, values.device))
    return _argmax(logits), bits.cpu().numpy()


def _predict(study: Study, batch: Batch, booleans: Bits, replay: Replay, seen: dict[bytes, Indices]) -> Indices:
    """What the network predicts when the layer has these booleans; equal booleans run once."""
    key = booleans.tobytes()
    if key not in seen:
        rows = torch.from_numpy(booleans).to(torch.get_default_dtype())
        padding = _rows(batch.inputs) - batch.count
        values = torch.cat([rows, rows[-1:].expand(padding, -1)])
        whole = Intervention(study.layer, torch.ones_like(values, dtype=torch.bool), values)
        with replay.replaying():
            seen[key] = _argmax(whole.logits(study.model, batch.inputs)[: batch.count])
    return seen[key]


def _argmax(logits: Tensor) -> Indices:
    return logits.argmax(dim=1).cpu().numpy()


def _rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs)


def _true(study: Study, batch: Batch) -> Indices:
    if batch.labels is None:
        raise DataError("a trial needs the true labels; the loader gives inputs alone; give (inputs, labels)")
    return true_labels(batch.labels, batch.count, study.labels).numpy().astype(np.int64)
