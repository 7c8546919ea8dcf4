"""The trial of every edge that leads from a layer to a later one, or to a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from ndg.abstraction.counts import Counts
from ndg.abstraction.edges.forcing import HOW, forcings
from ndg.abstraction.edges.result import EdgeTrials
from ndg.abstraction.edges.study import Study, assembled, run
from ndg.activations.batches import COMPUTE_BATCH, compute_batches
from ndg.activations.sampling import shuffled
from ndg.errors import ConfigError, DataError, GraphError
from ndg.executors import AUTO, TIMEOUT, Executor
from ndg.executors.journal import Journal
from ndg.graph.ndg import NDG
from ndg.graph.verdicts import FORCED, Verdicts, kinds
from ndg.interventions import substitution
from ndg.interventions.cache import Cache
from ndg.interventions.passes import Passes
from ndg.nodes import CONCEPT, LABEL
from ndg.run_batches import placed, run_batches


def try_edges(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    *,
    fit: Iterable[Any] | None = None,
    values: str = "mean",
    how: Sequence[str] = HOW,
    layers: Iterable[str] | None = None,
    at_least: float | int = 0.9,
    q: float = 0.05,
    least: int = 20,
    seed: int = 0,
    split: str = "",
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
    device: str | None = None,
    executor: str | Executor = AUTO,
    ray_address: str | None = None,
    timeout: float | int = TIMEOUT,
    cache: Cache | None = None,
    journal: Journal | None = None,
    any_network: bool = False,
) -> EdgeTrials:
    """What every edge p -> q does when p is forced on the held-out examples of `loader` on which it does not hold.

    p is forced `alone`, and with its `closure` within its layer, of which units that come out both on and off are left
    as they are; `how` may also name `rest`, that closure without p, as a control. Activations stay real: a forced unit
    gets the value that is written for its boolean (`boolean`, `mean`, `resample` or `auto`, fitted to `fit`, the
    examples that the graph was mined from). Edges are tried from a layer to a later one in the order in which the
    network runs, the labels last; `layers` narrows them to these layers and the labels. `ndg.graph.verdicts` says what
    survives: `at_least`, `q` and `least` are the bar, the false discovery rate and the least number of examples. `seed`
    draws what is resampled. Integers do not depend on the executor; `split` is written beside the results. With
    `any_network` the graph may be of another network than this one.

    Raises ConfigError for an unknown way, value or executor; GraphError or LayerError for unknown layers; GraphError or
    ShapeError when the graph is of another network; DataError without examples; WorkerError when Ray gives no answer.
    """
    _check(at_least, q, least)
    if shuffled(loader):
        raise DataError(
            "what is drawn belongs to the number of an example in the loader; this DataLoader shuffles them anew each "
            "time; make it with shuffle=False"
        )
    names = _layers(graph, layers)
    loader = list(loader) if iter(loader) is loader else loader
    model = placed(model, device, executor, ray_address)
    watch = Passes.of(model, graph, names[:1], threads, cache, any_network=any_network)
    of = partial(Passes.of, model, graph, threads=threads, cache=cache, any_network=True)
    order = (*_order(watch, loader, batch, names), LABEL)
    forced = forcings(graph, order, how)
    where = [one.layer for one in forced]
    passes = {layer: of([layer]) for layer in where if (layer,) != watch.changed}
    passes |= {layer: watch for layer in where if layer not in passes}
    values = substitution.choose(values, graph)
    written = substitution.fit(
        values, model, graph, fit, where or names[:1], seed=seed, batch=batch, threads=threads, any_network=True
    )
    study = Study.of(graph, watch, passes, forced, tuple(how), written)
    total, by, reason = run_batches(
        run,
        study,
        loader,
        f"edges {values}",
        batch=batch,
        executor=executor,
        ray_address=ray_address,
        timeout=timeout,
        journal=journal,
    )
    facts = {
        "at_least": at_least,
        "q": q,
        "least": least,
        "values": values,
        "fitted": written.examples,
        "split": split,
        "seed": seed,
        "examples": int(total["examples"][0]),
        "graph": graph.digest,
    }
    return _result(graph, study, total, order, facts, by, reason)


def _result(
    graph: NDG, study: Study, total: Counts, order: tuple[str, ...], facts: dict[str, Any], by: str, reason: str
) -> EdgeTrials:
    found = graph.implications
    edges = np.flatnonzero(kinds(found, order) == FORCED)
    holds, support = total["holds"], total["support"]
    tails, heads = found.antecedents[edges], found.consequents[edges]
    verdicts = Verdicts.of(
        order,
        facts["examples"] - holds[tails],
        holds[heads] - support[edges],
        assembled(study, total, "gained"),
        assembled(study, total, "lost"),
        facts,
    )
    counts = [np.diff(one.starts) for one in study.forcings]
    none = np.zeros(0, np.int64)
    sizes, changed = {}, {}
    for way, how in enumerate(study.how):
        own = [total[f"changed {one.layer} {how}"] for one in study.forcings]
        pairs = list(zip(study.forcings, counts, own, strict=True))
        sizes[how] = np.concatenate([none, *(np.repeat(one.sizes[way], many) for one, many, _ in pairs)])
        changed[how] = np.concatenate([none, *(np.repeat(flips, many) for _, many, flips in pairs)])
    padded = np.zeros(2 * len(graph.nodes), np.int64)
    padded[: len(holds)] = holds
    return EdgeTrials(found, verdicts, padded, support, sizes, changed, by, reason)


def _check(at_least: float | int, q: float, least: int) -> None:
    if not 0 <= at_least <= 1:
        raise ConfigError(f"at_least, the bar of interventional precision, is a probability; got {at_least}")
    if not 0 < q < 1:
        raise ConfigError(f"q, the false discovery rate of the tests, lies between 0 and 1; got {q}")
    if least < 1:
        raise ConfigError(f"least, the number of examples of a test, is at least 1; got {least}")


def _layers(graph: NDG, layers: Iterable[str] | None) -> list[str]:
    names = [layer.name for layer in graph.nodes.layers]
    if layers is not None:
        names = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
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
    """The layers in the order in which the network ends them."""
    first = next(compute_batches(loader, batch), None)
    if first is None:
        raise DataError("at least one example is needed; the loader gave none; check the split")
    order = watch.known(first).order
    return sorted(names, key=lambda name: order[name])
