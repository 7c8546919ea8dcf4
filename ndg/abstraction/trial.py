"""Trial of a graph: intervene on examples and count predictions.

For each example with true class t, an alternative t' is drawn. The layer is replaced by the values written for its
booleans, with those of D(t, t') set (see `intervention_sets`); the prediction is then aligned (t'), unchanged (t) or
changed to another class. Controls set as many neurons on the same examples with the same alternatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from torch import nn

from ndg.abstraction.backward import walked_backwards
from ndg.abstraction.controls import CHANCE, CONTROLS, GRAPH, PROTOTYPES, Prototypes
from ndg.abstraction.counts import Counts
from ndg.abstraction.curve import EXAMPLES, Curve
from ndg.abstraction.orders import Orders
from ndg.abstraction.result import TrialResult, corrected
from ndg.abstraction.study import DRAW, Study, TrialCounts, curve_key
from ndg.abstraction.validate import check_alternatives, check_graph, one_layer
from ndg.abstraction.verdict import KEPT
from ndg.activations.batches import check_loader
from ndg.errors import ConfigError, DataError, ShapeError, check_kind, nearest
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.cache import Cache
from ndg.interventions.intervention_sets import choices, definition
from ndg.interventions.passes import Passes
from ndg.interventions.substitution import Writing
from ndg.options import RunOptions, names_of, old_keywords, plain_numbers
from ndg.run_study import placed, run_batches


@dataclass(frozen=True)
class TrialSettings:
    """Settings of a trial: written values and controls.

    layer        layer on trial; needed where the graph has several
    values       what is written for booleans: a name of `ndg.interventions.substitution`, taken from the examples of
                 `fit`, or such a way itself. "auto" writes 0 and 1 into sigmoids, and means of `fit` elsewhere
    beta         implications whose recall exceeds it are walked backwards too; 1 walks none
    draws        draws of alternatives and controls, by the seed, seed + 1 and so on
    graphs       further control graphs by name, of the same layer, each with its own D(t, t')
    curve        whether the aligned rate is counted against the number of neurons changed, for the graph's choice, the
                 prototypes and `orders`
    orders       orders of units by name, for the curve
    split        name of the examples, written beside the results
    any_network  whether the graph may be of another network of the same shape
    kept_at_least  share of the correct predictions that must survive binarising alone, else there is no verdict
    against      prototype control of each intervention that further draws repeat; all where an intervention has none

    Raises ConfigError for a beta outside (0, 1], no draws, or orders without a curve.

    >>> ndg.TrialSettings(values="mean", draws=1, curve=True).beta
    1.0
    """

    layer: str | None = None
    values: str | Writing = substitution.AUTO
    beta: float | int = 1.0
    draws: int = 1
    graphs: Mapping[str, NDG] | None = None
    curve: bool = False
    orders: Mapping[str, Int[np.ndarray, "..."]] | None = None
    split: str = ""
    any_network: bool = False
    kept_at_least: float = KEPT
    against: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        if not 0 < self.beta <= 1:
            raise ConfigError(f"beta is a recall inside (0, 1], and 1 walks no implication backwards; got {self.beta}")
        if not 0 <= self.kept_at_least <= 1:
            raise ConfigError(f"kept_at_least is a share inside [0, 1]; got {self.kept_at_least}")
        if self.draws < 1:
            raise ConfigError(f"alternatives and controls are drawn at least once; got draws={self.draws}")
        check_kind(self.against, (Mapping, type(None)), "against has a control by intervention", 'such as {"Q": name}')
        for name in (self.against or {}).values():
            if name not in PROTOTYPES:
                raise ConfigError(
                    f"further draws repeat a prototype control; got {name!r}; {nearest(name, PROTOTYPES)}"
                )
        check_kind(self.graphs, (Mapping, type(None)), "graphs has control graphs by name", 'such as {"other": graph}')
        orders = [] if self.orders is None else names_of(self.orders, "orders has names of orders of a curve")
        if orders and not self.curve:
            raise ConfigError(f"orders are those of a curve; got {', '.join(orders)} without one; pass curve=True")


@old_keywords(settings=TrialSettings, options=RunOptions)
def trial(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    intervention: str = "Q",
    *,
    fit: Iterable[Any] | None = None,
    settings: TrialSettings = TrialSettings(),
    options: RunOptions = RunOptions(),
    cache: Cache | None = None,
) -> TrialResult:
    """Try one intervention with its controls; see `trials`.

    >>> result = ndg.trial(net, graph, data, "G.2", fit=data)
    >>> int(result.frame()["n"].max())
    300
    """
    results = trials(model, graph, loader, [intervention], fit=fit, settings=settings, options=options, cache=cache)
    return results[intervention]


@old_keywords(settings=TrialSettings, options=RunOptions)
def trials(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    interventions: str | Sequence[str] = ("Q", "G.1", "G.2"),
    *,
    fit: Iterable[Any] | None = None,
    settings: TrialSettings = TrialSettings(),
    options: RunOptions = RunOptions(),
    cache: Cache | None = None,
) -> dict[str, TrialResult]:
    """Try each intervention with its controls, in one pass over `loader`.

    Units of the layer may be neurons, channels or those of tokens. The seed draws the alternatives and the controls,
    for each example by its index; integers depend on nothing else. Ray's workers run on the CPU unless there is a
    device. `fit` gives the examples from which values are taken. A `cache` that several studies of this loader share
    keeps what is before the layer; the journal is a `Journal`, whose `decode` is set here.

    Raises ConfigError for an unknown intervention, executor, device or way to write, and for 0 and 1 where these do not
    read as off and on; GraphError or LayerError for an unknown layer, or one that does not reach the logits; GraphError
    or ShapeError when the graph is of another network; DataError without examples or true labels, and for a loader that
    shuffles or gives what the network does not take; WorkerError when Ray gives no answer.

    >>> list(ndg.trials(net, graph, data, ["Q", "G.2"], fit=data))
    ['Q', 'G.2']
    """
    if fit is not None:
        check_loader(fit)
    layer = one_layer(graph, settings.layer, "a trial intervenes on one layer")
    labels, where = graph.nodes.labels, graph.nodes.slice(layer)
    names = names_of(interventions, "interventions are names")
    named = {name: definition(name) for name in names}
    if not named:
        raise DataError("a trial needs at least one intervention; got none")
    check_alternatives(graph)
    graphs = settings.graphs or {}
    _check_controls(graph, layer, graphs)
    model = placed(model, options)
    passes = Passes.of(model, graph, [layer], options.threads, cache, any_network=settings.any_network)
    if isinstance(settings.values, str):
        values, why = _choose(settings.values, graph, layer)
        writing = substitution.fit(values, model, graph, fit, [layer], options=options, any_network=True)
    else:
        check_kind(settings.values, substitution.Writing, "values is the name of a way to write", "pass auto or mean")
        writing, why = settings.values, "as given"
    walked = {name: walked_backwards(known, settings.beta) for name, known in {GRAPH: graph, **graphs}.items()}
    study = Study(
        passes=passes,
        layer=layer,
        choices={name: {of: choices(how, known, layer) for of, known in walked.items()} for name, how in named.items()},
        prototypes=Prototypes.of(graph, layer),
        writing=writing,
        seed=options.seed,
        redrawn={name: (of,) if (of := (settings.against or {}).get(name)) else PROTOTYPES for name in named},
        draws=settings.draws,
        orders=Orders.of(graph, layer, settings.orders or {}) if settings.curve else None,
    )
    run = run_batches(study, loader, f"trial {' '.join(named)}", options)
    facts = {
        "layer": layer,
        "split": settings.split,
        "units": where.stop - where.start,
        "seed": options.seed,
        "graph": graph.digest,
        "executor": run.executor,
        "reason": run.reason,
        "beta": settings.beta,
        "values": writing.name,
        "values_reason": why,
        "values_examples": writing.examples,
        "kept_at_least": settings.kept_at_least,
    }
    return corrected({name: _result(name, run.total, study, labels, facts) for name in named})


def _check_controls(graph: NDG, layer: str, graphs: Mapping[str, NDG]) -> None:
    """Raise ConfigError or ShapeError for unsuitable control graphs."""
    labels, where = graph.nodes.labels, graph.nodes.slice(layer)
    for name, other in graphs.items():
        if name in (taken := (GRAPH, *CONTROLS, CHANCE)):
            raise ConfigError(f"a control graph has a name of its own, none of {', '.join(taken)}; got {name!r}")
        check_graph(other)
        there = other.nodes.slice(layer)
        if (other.nodes.labels, there.stop - there.start) != (labels, where.stop - where.start):
            raise ShapeError(
                f"a control graph has the same labels and units of {layer!r} as the graph on trial, {labels} and "
                f"{where.stop - where.start}; {name!r} has {other.nodes.labels} and {there.stop - there.start}; mine "
                "it from a network of the same shape"
            )


def _choose(values: str, graph: NDG, layer: str) -> tuple[str, str]:
    """The way to write booleans, and the reason for it."""
    name = substitution.choose(values, graph, [layer])
    why = "as requested"
    if values == substitution.AUTO:
        outputs = "0 and 1 stand for the outputs of a sigmoid" if name == "boolean" else "outputs have no bounds"
        why = f"auto: {outputs}"
    return name, why


def _result(name: str, total: TrialCounts, study: Study, labels: int, facts: dict[str, Any]) -> TrialResult:
    tallies, choice = total.tallies, study.choices[name][GRAPH]
    graphs = [of for of in study.choices[name] if of != GRAPH]
    curve = None
    if study.orders:
        counted = {order: total.curves[curve_key(name, order)] for order in study.orders.names}
        counted[EXAMPLES] = total.curves[curve_key(name)]
        curve = Curve(study.orders.sizes, Counts(counted), study.seed)
    return TrialResult(
        intervention=name,
        controls={control: tallies[name, control] for control in (GRAPH, *CONTROLS, *graphs)},
        by_class=tuple(tallies[name, GRAPH, "true", label] for label in range(labels)),
        by_alternative=tuple(tallies[name, GRAPH, "alternative", label] for label in range(labels)),
        no_ancestors=tuple(np.flatnonzero(choice.no_ancestors).tolist()),
        drawn=tuple(
            {control: tallies[name, DRAW, draw, control] for control in (GRAPH, *study.redrawn[name])}
            for draw in range(1, study.draws)
        ),
        curve=curve,
        **facts,
    )
