"""Search for minimal interventions with the graph and without it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import nn

from ndg import seeds
from ndg.abstraction.minimal.result import MinimalResult
from ndg.abstraction.minimal.study import Study
from ndg.abstraction.validate import check_alternatives, check_labels, one_layer
from ndg.activations.batches import compute_batches, fixed, forward
from ndg.activations.sampling import count, only
from ndg.errors import ConfigError, DataError
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.intervention_sets import definition
from ndg.interventions.passes import Passes, argmax, true_classes
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.run_study import check_order, placed, run_batches

EXAMPLES = 500
"""Correctly predicted examples that are drawn."""

BUDGET = 8_192
"""Sets that are tried on one example by the exact search, and by the greedy one."""

INTERVENTION = "G.1"
"""Whose literals are the graph's candidates: what the target class implies, and the negation of what the true one does.
Taken on validation splits: G.2, its first half alone, reached fewer targets there, and no smaller sets."""


@dataclass(frozen=True)
class MinimalSettings:
    """Settings of the search: sets of units and examples.

    layer         layer whose units are set; needed where the graph has several
    values        what is written for booleans, fitted to `fit`: "boolean", "mean", "resample" or "auto"
    examples      correctly predicted examples that are drawn by the seed
    intervention  whose literals are the graph's candidates
    budget        sets that are tried on one example by the exact search, and by the greedy one
    split         name of the examples, written beside the results
    any_network   whether the graph may be of another network of the same shape

    Raises ConfigError for an unknown intervention, and without examples or a budget.

    >>> ndg.MinimalSettings(examples=50, layer="1").examples
    50
    """

    layer: str | None = None
    values: str = substitution.AUTO
    examples: int = EXAMPLES
    intervention: str = INTERVENTION
    budget: int = BUDGET
    split: str = ""
    any_network: bool = False

    def __post_init__(self) -> None:
        plain_numbers(self)
        definition(self.intervention)
        for name, number in (("examples", self.examples), ("budget", self.budget)):
            if number < 1:
                raise ConfigError(f"{name} is at least 1; got {number}; leave it out for the default")


@old_keywords(settings=MinimalSettings, options=RunOptions)
def minimal(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    *,
    fit: Iterable[Any] | None = None,
    settings: MinimalSettings = MinimalSettings(),
    options: RunOptions = RunOptions(),
) -> MinimalResult:
    """Search small sets of units that turn predictions into t'.

    t' is drawn as in a trial. Examples whose prediction changes by writing the layer's booleans alone are left out. The
    graph tries the literals of D(t, t') that do not hold, the most specific first: the shortest prefix that gives t',
    then without the units that can be dropped; the same greedily; and all smaller sets of them within the budget.
    Beside it: greedy among all units, prototype order, the graph's ranking without its edges, and a random order; last,
    all sets of all units that are smaller than what any of these found, within the budget.

    `fit` gives the examples that the graph was mined from. Raises ConfigError for settings, GraphError or LayerError
    for the layer, GraphError or ShapeError when the graph is of another network, DataError without examples or true
    labels, or for a loader that shuffles.

    >>> result = ndg.minimal(net, graph, data, fit=data, settings=ndg.MinimalSettings(examples=20))
    >>> result.plotted().kind
    'rows'
    """
    check_labels(graph)
    check_order(loader)
    layer = one_layer(graph, settings.layer, "a minimal intervention sets units of one layer")
    substitution.choose(settings.values, graph, [layer])
    check_alternatives(graph)
    model = placed(model, options)
    passes = Passes.of(model, graph, [layer], options.threads, any_network=settings.any_network)
    examples = count(loader)
    numbers, looked, correct = draw(model, loader, examples, settings.examples, graph.nodes.labels, options)
    writing = substitution.fit(settings.values, model, graph, fit, [layer], options=options, any_network=True)
    study = Study.of(passes, graph, writing, settings.intervention, numbers, settings.budget, options.seed, layer)
    run = run_batches(study, list(only(loader, numbers)), "minimal interventions", options)
    where = graph.nodes.slice(layer)
    return MinimalResult(
        counts=run.total,
        numbers=numbers,
        examples=examples,
        looked=looked,
        correct=correct,
        layer=layer,
        units=where.stop - where.start,
        intervention=settings.intervention,
        written=writing.name,
        fitted=writing.examples,
        budget=settings.budget,
        split=settings.split,
        seed=options.seed,
        graph=graph.digest,
        executor=run.executor,
        reason=run.reason,
    )


def draw(
    model: nn.Module, loader: Iterable[Any], count: int, wanted: int, labels: int, options: RunOptions
) -> tuple[Int64[np.ndarray, " example"], int, int]:
    """Numbers of drawn correct examples, and how many were predicted, and correctly."""
    keys = seeds.words(options.seed, "minimal", examples=np.arange(count, dtype=np.int64), draws=1)[:, 0]
    order = np.argsort(keys, kind="stable")
    correct = np.zeros(count, np.bool_)
    looked = 0
    while looked < count and correct.sum() < wanted:
        more = np.sort(order[looked : looked + max(2 * wanted, looked)])
        looked += len(more)
        for batch in compute_batches(only(loader, more), options.batch):
            with fixed(model, options.threads):
                predicted = argmax(forward(model, batch.inputs)[: batch.count])
            at = np.array([batch.number(row) for row in range(batch.count)], np.int64)
            correct[at] = predicted == true_classes(batch, labels)
    if not correct.any():
        raise DataError(
            f"minimal interventions need correctly predicted examples; of {count} examples none is; check the labels, "
            "or train the network"
        )
    return np.sort(order[correct[order]][:wanted]), looked, int(correct.sum())
