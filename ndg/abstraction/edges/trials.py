"""Trial of every edge from a layer to a later one or a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from ndg.abstraction.counts import Counts
from ndg.abstraction.edges.forcing import HOW, forcings
from ndg.abstraction.edges.result import EdgeTrials
from ndg.abstraction.edges.study import Study
from ndg.abstraction.validate import check_graph
from ndg.activations.batches import check_loader, compute_batches, no_examples
from ndg.errors import ConfigError, GraphError
from ndg.graph.ndg import NDG
from ndg.graph.verdicts import BOTH_FALSE, FORCED, Verdicts, kinds
from ndg.interventions import substitution
from ndg.interventions.cache import Cache
from ndg.interventions.passes import Passes
from ndg.nodes import CONCEPT, LABEL
from ndg.options import RunOptions, names_of, old_keywords, plain_numbers
from ndg.run_study import StudyRun, check_order, placed, run_batches


@dataclass(frozen=True)
class EdgeSettings:
    """Settings of the forcing of antecedents and of survival.

    how          ways of forcing: "alone", with its "closure" within its layer (units that come out both on and off are
                 left as they are), and as a control the "rest" of that closure without the antecedent
    values       what is written for booleans: "boolean", "mean", "resample" or "auto", fitted to `fit`
    at_least     least interventional precision of an edge that survives, on examples on which neither end holds
    q            false discovery rate of the tests
    least        least number of examples of a test, on which neither end of the edge holds
    split        name of the examples, written beside the results
    any_network  whether the graph may be of another network of the same shape

    Raises ConfigError for a bar, rate or number that means nothing.

    >>> settings = ndg.EdgeSettings(how=("alone",), values="resample")
    >>> settings.at_least
    0.9
    """

    how: Sequence[str] = HOW
    values: str = "mean"
    at_least: float | int = 0.9
    q: float = 0.05
    least: int = 20
    split: str = ""
    any_network: bool = False

    def __post_init__(self) -> None:
        plain_numbers(self)
        if not 0 <= self.at_least <= 1:
            raise ConfigError(f"at_least, the bar of interventional precision, is a probability; got {self.at_least}")
        if not 0 < self.q < 1:
            raise ConfigError(f"q, the false discovery rate of the tests, lies between 0 and 1; got {self.q}")
        if self.least < 1:
            raise ConfigError(f"least, the number of examples of a test, is at least 1; got {self.least}")


@old_keywords(settings=EdgeSettings, options=RunOptions)
def try_edges(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    *,
    fit: Iterable[Any] | None = None,
    layers: Iterable[str] | None = None,
    settings: EdgeSettings = EdgeSettings(),
    options: RunOptions = RunOptions(),
    cache: Cache | None = None,
) -> EdgeTrials:
    """Force the antecedent of every edge p -> q on held-out examples.

    A forced unit gets the value that is written for its boolean, fitted to `fit`, the examples that the graph was mined
    from. Edges are tried from a layer to a later one in the order in which the network runs, the labels last; `layers`
    narrows them. `ndg.graph.verdicts` says what survives. The seed draws what is resampled.

    Raises ConfigError for an unknown way, value or executor; GraphError or LayerError for unknown layers; GraphError or
    ShapeError when the graph is of another network; DataError without examples; WorkerError when Ray gives no answer.

    >>> forced = ndg.try_edges(net, graph, data, fit=data)
    >>> graph.with_verdicts(forced).causal()
    NDG(3 labels, 8 neurons, 8 implications, 300 examples, edges judged by the rule 'antecedent and consequent false')
    """
    check_graph(graph)
    check_loader(loader)
    check_order(loader)
    names = _layers(graph, layers)
    loader = list(loader) if iter(loader) is loader else loader
    model = placed(model, options)
    watch = Passes.of(model, graph, names[:1], options.threads, cache, any_network=settings.any_network)
    of = partial(Passes.of, model, graph, threads=options.threads, cache=cache, any_network=True)
    order = (*_order(watch, loader, options.batch, names), LABEL)
    how = tuple(names_of(settings.how, "how= has names of ways to force"))
    forced = forcings(graph, order, how)
    where = [forcing.layer for forcing in forced]
    passes = {layer: of([layer]) for layer in where if (layer,) != watch.changed}
    values = substitution.choose(settings.values, graph, where or names[:1])
    writing = substitution.fit(values, model, graph, fit, where or names[:1], options=options, any_network=True)
    ends = (codes.astype(np.int64) for codes in (graph.implications.antecedents, graph.implications.consequents))
    study = Study(watch, passes, forced, how, writing, *ends)
    run = run_batches(study, loader, f"edges {values}", options)
    facts = {
        "rule": BOTH_FALSE,
        "at_least": settings.at_least,
        "q": settings.q,
        "least": settings.least,
        "values": writing.name,
        "fitted": writing.examples,
        "split": settings.split,
        "seed": options.seed,
        "examples": int(run.total["examples"][0]),
        "graph": graph.digest,
    }
    return _result(graph, study, run, order, facts)


def _result(
    graph: NDG, study: Study, run: StudyRun[Counts], order: tuple[str, ...], facts: dict[str, Any]
) -> EdgeTrials:
    implications, total, forcings = graph.implications, run.total, study.forcings
    edges = np.flatnonzero(kinds(implications, order) == FORCED)
    holds, support = total["holds"], total["support"]
    tails, heads = implications.antecedents[edges], implications.consequents[edges]

    def counted(name: str, how: str) -> np.ndarray:
        return _joined(total[f"{name} {forcing.layer} {how}"] for forcing in forcings)

    gained, lost = ({how: counted(name, how) for how in study.how} for name in ("gained", "lost"))
    before = holds[heads] - support[edges]
    verdicts = Verdicts.of(order, facts["examples"] - holds[tails], before, gained, lost, facts)
    many = _joined(np.diff(forcing.starts) for forcing in forcings)  # edges of each antecedent
    ways = enumerate(study.how)
    sizes = {how: np.repeat(_joined(forcing.sizes[way] for forcing in forcings), many) for way, how in ways}
    changed = {how: np.repeat(counted("changed", how), many) for how in study.how}
    padded = np.zeros(2 * len(graph.nodes), np.int64)
    padded[: len(holds)] = holds
    return EdgeTrials(implications, verdicts, padded, support, sizes, changed, run.executor, run.reason)


def _joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _layers(graph: NDG, layers: Iterable[str] | None) -> list[str]:
    names = [layer.name for layer in graph.nodes.layers]
    if layers is not None:
        names = list(dict.fromkeys(names_of(layers, "layers= has names of layers", GraphError)))
        for name in names:
            graph.nodes.slice(name)
    names = [name for name in names if name not in (LABEL, CONCEPT)]
    if not names:
        raise GraphError(
            "an edge on trial leads from a layer of neurons to a later one, or to a label; the graph has no layer to "
            "begin at; mine it from the bits of a layer at least"
        )
    return names


def _order(watch: Passes, loader: Iterable[Any], batch: int, names: Sequence[str]) -> list[str]:
    """Layers in the order in which the network ends them."""
    first = next(compute_batches(loader, batch), None)
    if first is None:
        raise no_examples()
    order = watch.baseline(first).order
    return sorted(names, key=lambda name: order[name])
