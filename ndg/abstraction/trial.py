"""The trial of a graph: intervene on every example, run the rest of the network, count what it predicts.

Of each example with true class t an alternative t' is drawn. The layer is replaced by its booleans with those of
D(t, t') set (see `definitions`), and the prediction under that is aligned (t'), unchanged (t) or changed to another
class. An alignment rate means little without the `controls`, which set as many neurons and are counted on the same
examples with the same alternatives.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ndg import executors
from ndg.abstraction.controls import CONTROLS, GRAPH, Prototypes
from ndg.abstraction.definitions import choices, definition
from ndg.abstraction.result import TrialResult
from ndg.abstraction.study import Study, run
from ndg.abstraction.tally import Tallies
from ndg.activations.compute import COMPUTE_BATCH, Batch, compute_batches, device_of
from ndg.activations.trace import find_layer
from ndg.errors import DataError, GraphError, ShapeError
from ndg.executors import AUTO, TIMEOUT, Cost, Executor
from ndg.graph.ndg import NDG

TASK_GPUS = 0.25
"""Part of a GPU that one Ray task takes when a trial runs on a GPU."""


def trial(model: nn.Module, graph: NDG, loader: Iterable[Any], intervention: str = "Q", **settings: Any) -> TrialResult:
    """One intervention on trial, with its controls; the settings are those of `trials`."""
    return trials(model, graph, loader, [intervention], **settings)[intervention]


def trials(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    interventions: Sequence[str] = ("Q", "G.1", "G.2"),
    *,
    executor: str | Executor = AUTO,
    seed: int = 0,
    layer: str | None = None,
    split: str = "",
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
    device: str | None = None,
    ray_address: str | None = None,
    timeout: float = TIMEOUT,
) -> dict[str, TrialResult]:
    """Each intervention by name, with its controls, counted over all examples of `loader` in one pass.

    `layer` is needed when the graph has several. `seed` draws the alternatives and the controls, for each example by
    its index; `batch` and `threads` are those of the compute batches, on which float results may depend in the last
    bit, and the integers depend on nothing else. `executor` is `auto`, `serial`, `ray` or a value of
    `ndg.executors`; Ray's workers run on the CPU unless a `device` is given, and the network itself stays where it is.
    `split` is written beside the results.

    Raises ConfigError for an unknown intervention or executor; GraphError or LayerError for an unknown layer;
    ShapeError when the graph is of another network; DataError without examples or true labels; WorkerError when Ray
    gives no answer.
    """
    layer = _layer(graph, layer)
    find_layer(model, layer)
    labels, where = graph.nodes.labels, graph.nodes.slice(layer)
    thresholds = np.array(graph.thresholds[where.start - labels : where.stop - labels])
    if np.isnan(thresholds).any():
        raise GraphError(
            f"a trial sets neurons by the thresholds that the graph was mined with; those of {layer!r} are NaN; mine "
            "the graph from extracted bits, or pass them as bits= to NDG.from_networkx"
        )
    if labels < 2:
        raise ShapeError(f"an alternative class needs at least 2 classes; the graph has {labels}")
    named = {name: definition(name) for name in interventions}
    if not named:
        raise DataError("a trial needs at least one intervention; got none")
    study = Study(
        model=_placed(model, device or ("cpu" if _is_ray(executor, ray_address) else None)),
        layer=layer,
        labels=labels,
        thresholds=thresholds,
        choices={name: choices(how, graph, layer) for name, how in named.items()},
        prototypes=Prototypes.of(graph, layer),
        seed=seed,
        threads=threads,
    )
    batches = compute_batches(loader, batch)
    count = _batches(loader, batch)
    chosen, reason, start = _choose(executor, study, batches, count, ray_address, timeout)
    left = count if count is None or start is None else count - 1
    total = chosen.total(run, study, batches, f"trial {' '.join(named)}", count=left, start=start)
    facts = {
        "layer": layer,
        "split": split,
        "units": where.stop - where.start,
        "seed": seed,
        "graph": graph.digest,
        "executor": chosen.name,
        "reason": reason,
    }
    return {name: _result(name, total, study, facts) for name in named}


def _layer(graph: NDG, layer: str | None) -> str:
    names = [known.name for known in graph.nodes.layers]
    if layer is not None:
        graph.nodes.slice(layer)
        return layer
    if len(names) != 1:
        raise GraphError(f"a trial intervenes on one layer; the graph has {', '.join(names) or 'none'}; pass layer=")
    return names[0]


def _placed(model: nn.Module, device: str | None) -> nn.Module:
    """The network on a device: itself where it is there already, else a copy."""
    if device is None or device_of(model).type == device or device_of(model) == torch.device(device):
        return model
    return copy.deepcopy(model).to(device)


def _is_ray(executor: str | Executor, address: str | None) -> bool:
    return executor == "ray" or isinstance(executor, executors.Ray) or (executor == AUTO and bool(address))


def _choose(
    executor: str | Executor,
    study: Study,
    batches: Iterator[Batch],
    count: int | None,
    address: str | None,
    timeout: float,
) -> tuple[Executor, str, Tallies | None]:
    """The executor, why it is that one, and the tallies of the first batch where that was timed to find out."""
    place = device_of(study.model)
    start, cost = None, None
    if executor == AUTO and not address:
        if place.type != "cpu":
            return executors.serial(), f"serial: the network is on {place}, which one process uses best", None
        start, cost = _first(study, batches, count)
        if count == 1:
            return executors.serial(), "serial: there is one batch only", start
    cpus = min(study.threads, executors.available_cpus())
    chosen, reason = executors.choose(executor, cost, address=address, timeout=timeout, task_cpus=cpus)
    if isinstance(chosen, executors.Ray) and place.type == "cuda" and not chosen.task_gpus:
        chosen = replace(chosen, task_gpus=TASK_GPUS)
    return chosen, reason, start


def _batches(loader: Iterable[Any], size: int) -> int | None:
    """Number of compute batches, where the loader tells how many examples it has."""
    if isinstance(loader, (list, tuple)):
        return -(-sum(map(_rows, loader)) // size)
    examples = getattr(loader, "dataset", getattr(loader, "examples", None))
    return -(-len(examples) // size) if isinstance(examples, Sized) else None


def _rows(batch: Any) -> int:
    if isinstance(batch, Mapping):
        return _rows(next(iter(batch.values())))
    return _rows(batch[0]) if isinstance(batch, (list, tuple)) else len(batch)


def _first(study: Study, batches: Iterator[Batch], count: int | None) -> tuple[Tallies, Cost]:
    """The tallies of the first batch, and what the others will cost; a short batch is timed again when warm."""
    first = next(batches, None)
    if first is None:
        raise DataError("at least one example is needed; the loader gave none; check the split")
    for _ in range(2):
        before = time.perf_counter()
        tallies = run(study, first)
        seconds = time.perf_counter() - before
        if seconds > 1:
            break
    return tallies, Cost(None if count is None else count - 1, seconds)


def _result(name: str, total: Tallies, study: Study, facts: dict[str, Any]) -> TrialResult:
    return TrialResult(
        intervention=name,
        controls={control: total[name, control] for control in (GRAPH, *CONTROLS)},
        by_class=tuple(total[name, GRAPH, "true", label] for label in range(study.labels)),
        by_alternative=tuple(total[name, GRAPH, "alternative", label] for label in range(study.labels)),
        no_ancestors=tuple(np.flatnonzero(study.choices[name].no_ancestors).tolist()),
        **facts,
    )
