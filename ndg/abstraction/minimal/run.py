"""The smallest sets of neurons that turn predictions into other classes, chosen with the graph and without it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import nn

from ndg import seeds
from ndg.abstraction.intervention_sets import definition
from ndg.abstraction.minimal.result import MinimalResult
from ndg.abstraction.minimal.study import Study, work
from ndg.abstraction.validate import check_labels, check_loader, check_timeout
from ndg.activations.batches import COMPUTE_BATCH, compute_batches, fixed, forward
from ndg.activations.sampling import count, only
from ndg.errors import ConfigError, DataError, GraphError, ShapeError
from ndg.executors import AUTO, TIMEOUT, Executor, Journal
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.passes import Passes, argmax, true_classes
from ndg.run_batches import placed, run_batches

EXAMPLES = 500
"""Correctly predicted examples that are drawn."""

BUDGET = 8_192
"""Sets that are tried on one example by the exact search, and by the greedy one."""

INTERVENTION = "G.1"
"""Whose literals are the graph's candidates: what the target class implies, and the negation of what the true one does.
Taken on validation splits: G.2, its first half alone, reached fewer targets there, and no smaller sets."""


def minimal(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    *,
    fit: Iterable[Any] | None = None,
    values: str = substitution.AUTO,
    layer: str | None = None,
    examples: int = EXAMPLES,
    intervention: str = INTERVENTION,
    budget: int = BUDGET,
    seed: int = 0,
    split: str = "",
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
    device: str | None = None,
    executor: str | Executor = AUTO,
    ray_address: str | None = None,
    timeout: float | int = TIMEOUT,
    journal: Journal | None = None,
    any_network: bool = False,
) -> MinimalResult:
    """For each example a small set of units of `layer` whose booleans, written otherwise, make the prediction t'.

    At most `examples` of those that the network predicts correctly are drawn by the seed; t' is drawn as in a trial.
    The layer is written as its booleans, and examples whose prediction changes by that alone are left out. The graph
    tries the literals of D(t, t') that do not hold, those that speak most for t' against t first: the shortest prefix
    that gives t', then without the units that can be dropped; the same with its literals taken greedily; and all
    smaller sets of them, size by size, while those tried on an example stay within `budget`. Beside it greedy among all
    units (the one that raises the margin of t' most), prototype order (the surest units of t' that differ), the graph's
    ranking of these, without its edges, and a random order; last, all sets of all units that are smaller than what any
    of these found, within the budget.

    `fit` gives the examples that the graph was mined from, where `values` needs them; the other settings are those of
    `ndg.abstraction.trial.trials`. Raises ConfigError for settings, GraphError or LayerError for the layer, GraphError
    or ShapeError when the graph is of another network, DataError without examples or true labels, or for a loader that
    shuffles.
    """
    check_labels(graph)
    check_timeout(timeout)
    check_loader(loader)
    definition(intervention)
    substitution.choose(values, graph)
    for name, number in (("examples", examples), ("budget", budget)):
        if number < 1:
            raise ConfigError(f"{name} is at least 1; got {number}; leave it out for the default")
    layer = one_layer(graph, layer)
    if graph.nodes.labels < 2:
        raise ShapeError(f"an alternative class needs at least 2 classes; the graph has {graph.nodes.labels}")
    model = placed(model, device, executor, ray_address)
    passes = Passes.of(model, graph, [layer], threads, any_network=any_network)
    given = count(loader)
    numbers, looked, correct = draw(model, loader, given, examples, graph.nodes.labels, seed, batch, threads)
    written = substitution.fit(
        values, model, graph, fit, [layer], seed=seed, batch=batch, threads=threads, any_network=True
    )
    study = Study.of(passes, graph, written, intervention, numbers, budget, seed, layer)
    found, ran, reason = run_batches(
        work,
        study,
        list(only(loader, numbers)),
        "minimal interventions",
        batch=batch,
        executor=executor,
        ray_address=ray_address,
        timeout=timeout,
        journal=journal,
    )
    where = graph.nodes.slice(layer)
    return MinimalResult(
        counts=found,
        numbers=numbers,
        examples=given,
        looked=looked,
        correct=correct,
        layer=layer,
        units=where.stop - where.start,
        intervention=intervention,
        written=written.name,
        fitted=written.examples,
        budget=budget,
        split=split,
        seed=seed,
        graph=graph.digest,
        executor=ran,
        reason=reason,
    )


def one_layer(graph: NDG, layer: str | None) -> str:
    """The layer asked for, or the only one of the graph. Raises GraphError for an unknown one, or where there are
    several and none is asked for."""
    names = [known.name for known in graph.nodes.layers]
    if layer is not None:
        graph.nodes.slice(layer)
        return layer
    if len(names) != 1:
        told = ", ".join(names) or "none"
        raise GraphError(f"a minimal intervention sets units of one layer; the graph has {told}; pass layer=")
    return names[0]


def draw(
    model: nn.Module,
    loader: Iterable[Any],
    given: int,
    wanted: int,
    labels: int,
    seed: int,
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
) -> tuple[Int64[np.ndarray, " example"], int, int]:
    """The numbers, in rising order, of correctly predicted examples, each choice of `wanted` as likely as any other;
    how many examples were looked at for that, and how many of these are correct.

    Examples stand in an order of their own draws, and the first correct ones are taken. Raises DataError without any.
    """
    keys = seeds.words(seed, "minimal", examples=np.arange(given, dtype=np.int64), draws=1)[:, 0]
    order = np.argsort(keys, kind="stable")
    correct = np.zeros(given, np.bool_)
    looked = 0
    while looked < given and correct.sum() < wanted:
        more = np.sort(order[looked : looked + max(2 * wanted, looked)])
        looked += len(more)
        for one in compute_batches(only(loader, more), batch):
            with fixed(model, threads):
                predicted = argmax(forward(model, one.inputs)[: one.count])
            at = np.array([one.number(row) for row in range(one.count)], np.int64)
            correct[at] = predicted == true_classes(one, labels)
    if not correct.any():
        raise DataError(
            f"minimal interventions are on correctly predicted examples; of {given} given none is; check the labels, "
            "or train the network"
        )
    return np.sort(order[correct[order]][:wanted]), looked, int(correct.sum())
