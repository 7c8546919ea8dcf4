"""Interchange interventions: a base's neurons take the activations of a source, and the graph says what follows.

Geiger, Lu, Icard & Potts 2021. The graph's prediction: S, the swapped units' booleans in the source; C, what follows
from S; the base's literals that C contradicts are dropped; C' follows from C and the rest of them, labels apart. It is
decided iff exactly one label is on in C' and none both on and off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ndg.abstraction.counts import Counts
from ndg.abstraction.interchange.families import ANCESTORS, EQUIVALENCE, LAYER, RANDOM, families
from ndg.abstraction.interchange.pool import check_alike, gather
from ndg.abstraction.interchange.result import InterchangeResult
from ndg.abstraction.interchange.shuffle import shuffled
from ndg.abstraction.interchange.study import Study, work
from ndg.abstraction.validate import check_labels, check_loader, check_timeout
from ndg.activations.batches import COMPUTE_BATCH, Batch
from ndg.activations.sampling import count
from ndg.errors import ConfigError, DataError
from ndg.executors import AUTO, TIMEOUT, Executor, Journal
from ndg.graph.ndg import NDG
from ndg.interventions.cache import BUDGET, Cache
from ndg.interventions.passes import Passes
from ndg.run_batches import placed, run_batches

SETS = (EQUIVALENCE, ANCESTORS, RANDOM, LAYER)
POOL = 1024
"""Examples, drawn by the seed, from which sources are taken."""


def interchange(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any] | None = None,
    *,
    base: Iterable[Any] | None = None,
    source: Iterable[Any] | None = None,
    sets: str | Sequence[str] = SETS,
    units: Mapping[str, str | Iterable[str]] | None = None,
    layers: str | Sequence[str] | None = None,
    pool: int = POOL,
    controls: bool = True,
    seed: int = 0,
    split: str = "",
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
    device: str | None = None,
    cache: Cache | None = None,
    budget: int = BUDGET,
    executor: str | Executor = AUTO,
    ray_address: str | None = None,
    timeout: float | int = TIMEOUT,
    journal: Journal | None = None,
    any_network: bool = False,
) -> InterchangeResult:
    """How often the network, some of whose neurons come from a source, predicts what the graph says.

    Every example of `loader` is a base; its source is drawn, by its number, from at most `pool` examples of the same
    loader. Or `base` and `source` give pairs, in their order. `layers`, by default all of the graph, are swapped at
    once: for each base a set of their units from each family of `sets` (see `families`), a random set of the same size
    beside the first two with `random`, and the sets of `units`, which have names and list nodes such as `latent:3`.
    With `controls` the shuffled graph predicts as well. Activations of sources that need more than `budget` bytes lie
    on disk; the other settings are those of `ndg.abstraction.trial.trials`.

    Raises ConfigError for unknown sets, GraphError or LayerError for layers that the graph or the network does not have
    or that lie behind the logits, GraphError for a graph without labels, GraphError or ShapeError for one of another
    network, ShapeError for sources of another shape than the bases', DataError without examples or for a loader that
    shuffles, WorkerError when Ray gives no answer.
    """
    ran = run_study(
        work,
        "interchange",
        model,
        graph,
        loader,
        base=base,
        source=source,
        sets=sets,
        units=units,
        layers=layers,
        pool=pool,
        controls=controls,
        seed=seed,
        batch=batch,
        threads=threads,
        device=device,
        cache=cache,
        budget=budget,
        executor=executor,
        ray_address=ray_address,
        timeout=timeout,
        journal=journal,
        any_network=any_network,
    )
    return InterchangeResult(
        counts=ran.counts,
        families=tuple(family.name for family in ran.study.families),
        layers=ran.study.passes.changed,
        without_ancestors=_of(ran.study.families, ANCESTORS, lambda family: family.alone, ()),
        classes=_of(ran.study.families, EQUIVALENCE, lambda family: len(family.sets), 0),
        sources=len(ran.study.pool),
        paired=ran.study.pool.paired,
        split=split,
        seed=seed,
        graph=graph.digest,
        executor=ran.executor,
        reason=ran.reason,
    )


@dataclass(frozen=True, eq=False)
class Ran:
    """A study of interchanges, what it counted, and where it ran."""

    study: Study
    counts: Counts
    executor: str
    reason: str


def run_study(
    work: Callable[[Study, Batch], Counts],
    label: str,
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any] | None = None,
    *,
    base: Iterable[Any] | None = None,
    source: Iterable[Any] | None = None,
    sets: str | Sequence[str] = SETS,
    units: Mapping[str, str | Iterable[str]] | None = None,
    layers: str | Sequence[str] | None = None,
    pool: int = POOL,
    controls: bool = True,
    seed: int = 0,
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
    device: str | None = None,
    cache: Cache | None = None,
    budget: int = BUDGET,
    executor: str | Executor = AUTO,
    ray_address: str | None = None,
    timeout: float | int = TIMEOUT,
    journal: Journal | None = None,
    any_network: bool = False,
) -> Ran:
    """What `work` counts of all pairs; the settings and errors are those of `interchange`."""
    if (loader is None) == (base is None) or (base is None) != (source is None):
        raise ConfigError(
            "an interchange takes a loader, or base= and source= for pairs; give the one or the other two"
        )
    if pool < 1:
        raise ConfigError(f"a pool has at least 1 source; got {pool}; leave it out for {POOL}")
    check_labels(graph)
    check_timeout(timeout)
    for given in (loader, base, source):
        check_loader(given)
    bases = _kept(loader if base is None else base)
    sources = bases if source is None else _kept(source)
    if source is not None:
        if (many := (count(bases), count(sources)))[0] != many[1]:
            raise DataError(
                f"base i is paired with source i; got {many[0]} bases and {many[1]} sources; give as many of both"
            )
        check_alike(bases, sources)
    names = [layers] if isinstance(layers, str) else layers
    names = [layer.name for layer in graph.nodes.layers] if names is None else list(names)
    sets = [sets] if isinstance(sets, str) else list(sets)
    model = placed(model, device, executor, ray_address)
    passes = Passes.of(model, graph, names, threads, cache, any_network=any_network)
    study = Study(
        passes=passes,
        graph=graph,
        mixed=shuffled(graph, seed) if controls else None,
        families=families(graph, passes.changed, sets, units),
        pool=gather(
            replace(passes, cache=None),
            sources,
            None if base is not None else pool,
            seed=seed,
            batch=batch,
            budget=budget,
        ),
        random=RANDOM in sets,
        seed=seed,
    )
    found, ran, reason = run_batches(
        work,
        study,
        bases,
        label,
        batch=batch,
        executor=executor,
        ray_address=ray_address,
        timeout=timeout,
        journal=journal,
    )
    return Ran(study, found, ran, reason)


def _kept(loader: Iterable[Any] | None) -> Iterable[Any]:
    """A loader that can be walked again."""
    assert loader is not None
    return list(loader) if isinstance(loader, Iterator) else loader


def _of(found: Iterable[Any], name: str, read: Any, otherwise: Any) -> Any:
    return next((read(family) for family in found if family.name == name), otherwise)
