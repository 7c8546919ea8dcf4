"""Interchange interventions, predicted by the graph (Geiger et al. 2021).

The graph's prediction: S, the swapped units' booleans in the source; C, their consequences; the base's literals that C
contradicts are dropped; C' follows from C and the remaining literals but the labels. It is decided if exactly one label
is on in C' and none both on and off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import nn

from ndg.abstraction.interchange.families import ANCESTORS, EQUIVALENCE, LAYER, RANDOM, families
from ndg.abstraction.interchange.result import InterchangeResult
from ndg.abstraction.interchange.shuffle import shuffled
from ndg.abstraction.interchange.study import Study
from ndg.abstraction.validate import check_graph, check_labels
from ndg.activations.sampling import count
from ndg.errors import ConfigError, DataError, GraphError
from ndg.graph.ndg import NDG
from ndg.interventions.cache import BUDGET, Cache
from ndg.interventions.passes import Passes
from ndg.interventions.pool import check_alike, gather
from ndg.options import RunOptions, names_of, old_keywords, plain_numbers
from ndg.run_study import check_order, placed, run_batches

S = TypeVar("S", bound=Study)

SETS = (EQUIVALENCE, ANCESTORS, RANDOM, LAYER)
POOL = 1024
"""Examples, drawn by the seed, from which sources are taken."""


@dataclass(frozen=True)
class InterchangeSettings:
    """What is swapped, and from which sources.

    sets         families of sets of units that are swapped (see `families`), with `random` a random set of the same
                 size beside the first two
    units        further sets by name, as lists of nodes such as `latent:3`
    layers       layers that are swapped at once; None: all of the graph
    pool         examples of the loader, drawn by the seed, from which sources are taken
    controls     whether the shuffled graph predicts as well
    budget       bytes of activations of sources in memory; what needs more lies on disk
    split        name of the examples, written beside the results
    any_network  whether the graph may be of another network of the same shape

    Raises ConfigError for a pool without sources.

    >>> ndg.InterchangeSettings(sets=("ancestors",), pool=256).controls
    True
    """

    sets: str | Sequence[str] = SETS
    units: Mapping[str, str | Iterable[str]] | None = None
    layers: str | Sequence[str] | None = None
    pool: int = POOL
    controls: bool = True
    budget: int = BUDGET
    split: str = ""
    any_network: bool = False

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.pool < 1:
            raise ConfigError(f"a pool has at least 1 source; got {self.pool}; leave it out for {POOL}")


@old_keywords(settings=InterchangeSettings, options=RunOptions)
def interchange(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any] | None = None,
    *,
    base: Iterable[Any] | None = None,
    source: Iterable[Any] | None = None,
    settings: InterchangeSettings = InterchangeSettings(),
    options: RunOptions = RunOptions(),
    cache: Cache | None = None,
) -> InterchangeResult:
    """Compare the network after interchanges with the graph's predictions.

    Every example of `loader` is a base; its source is drawn, by its number, from the pool of the same loader. Or `base`
    and `source` give pairs, in their order. A `cache` that several studies of this loader share keeps what is before
    the layers.

    Raises ConfigError for unknown sets, GraphError or LayerError for unknown layers or ones behind the logits,
    GraphError for a graph without labels, GraphError or ShapeError for one of another network, ShapeError for sources
    of another shape than the bases', DataError without examples or for a loader that shuffles, WorkerError when Ray
    gives no answer.

    >>> result = ndg.interchange(net, graph, data, settings=ndg.InterchangeSettings(pool=64))
    >>> result.sources
    64
    """
    check_graph(graph)
    pairs = Loaders.of(loader, base, source)
    study = prepare(Study, model, graph, pairs, settings, options, cache)
    run = run_batches(study, pairs.bases, "interchange", options)
    by_name = {family.name: family for family in study.families}
    return InterchangeResult(
        counts=run.total,
        families=tuple(by_name),
        layers=study.passes.changed,
        without_ancestors=by_name[ANCESTORS].alone if ANCESTORS in by_name else (),
        classes=len(by_name[EQUIVALENCE].sets) if EQUIVALENCE in by_name else 0,
        sources=len(study.pool),
        paired=study.pool.paired,
        split=settings.split,
        seed=options.seed,
        graph=graph.digest,
        executor=run.executor,
        reason=run.reason,
    )


@dataclass(frozen=True, eq=False)
class Loaders:
    """Bases and sources; `paired` ones by row, else drawn from the pool."""

    bases: Iterable[Any]
    sources: Iterable[Any]
    paired: bool

    @classmethod
    def of(cls, loader: Iterable[Any] | None, base: Iterable[Any] | None, source: Iterable[Any] | None) -> Loaders:
        """The loaders; ConfigError or DataError unless they fit."""
        if (loader is None) == (base is None) or (base is None) != (source is None):
            raise ConfigError(
                "an interchange takes a loader, or base= and source= for pairs; give the one or the other two"
            )
        for examples in (loader, base, source):
            check_order(examples)
        bases, sources = (
            list(examples) if isinstance(examples, Iterator) else examples
            for examples in (loader if base is None else base, source)
        )
        assert bases is not None
        if sources is None:
            return cls(bases, bases, False)
        if (many := (count(bases), count(sources)))[0] != many[1]:
            raise DataError(
                f"base i is paired with source i; got {many[0]} bases and {many[1]} sources; give as many of both"
            )
        check_alike(bases, sources)
        return cls(bases, sources, True)


def prepare(
    kind: type[S],
    model: nn.Module,
    graph: NDG,
    loaders: Loaders,
    settings: InterchangeSettings,
    options: RunOptions,
    cache: Cache | None,
) -> S:
    """The study, with its passes, families and pool."""
    check_labels(graph)
    names = [layer.name for layer in graph.nodes.layers]
    if settings.layers is not None:
        names = names_of(settings.layers, "layers= has names of layers of the graph", GraphError)
    sets = names_of(settings.sets, "sets= has names of sets")
    model = placed(model, options)
    passes = Passes.of(model, graph, names, options.threads, cache, any_network=settings.any_network)
    return kind(
        passes=passes,
        graph=graph,
        mixed=shuffled(graph, options.seed) if settings.controls else None,
        families=families(graph, passes.changed, sets, settings.units),
        pool=gather(
            replace(passes, cache=None),
            loaders.sources,
            None if loaders.paired else settings.pool,
            seed=options.seed,
            batch=options.batch,
            budget=settings.budget,
        ),
        random=RANDOM in sets,
        seed=options.seed,
    )
