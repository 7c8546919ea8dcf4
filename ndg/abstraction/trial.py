"""The trial of a graph: intervene on every example, run the rest of the network, count what it predicts.

Of each example with true class t an alternative t' is drawn. The layer is replaced by what is written for its booleans,
those of D(t, t') set (see `definitions`), and the prediction under that is aligned (t'), unchanged (t) or changed to
another class. An alignment rate means little without the `controls`, which set as many neurons and are counted on the
same examples with the same alternatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int
from torch import nn

from ndg.abstraction.backward import walked_backwards
from ndg.abstraction.controls import CHANCE, CONTROLS, GRAPH, PROTOTYPES, Prototypes
from ndg.abstraction.counts import Counts
from ndg.abstraction.curve import EXAMPLES, Curve
from ndg.abstraction.intervention_sets import choices, definition
from ndg.abstraction.orders import Orders
from ndg.abstraction.result import TrialResult
from ndg.abstraction.study import DRAW, Study, TrialCounts, curve_key, run
from ndg.activations.batches import COMPUTE_BATCH
from ndg.errors import ConfigError, DataError, GraphError, ShapeError
from ndg.executors import AUTO, TIMEOUT, Executor, Journal
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.cache import Cache
from ndg.interventions.passes import Passes
from ndg.interventions.substitution import Writing
from ndg.run_batches import placed, run_batches


def trial(model: nn.Module, graph: NDG, loader: Iterable[Any], intervention: str = "Q", **settings: Any) -> TrialResult:
    """One intervention on trial, with its controls; the settings are those of `trials`."""
    return trials(model, graph, loader, [intervention], **settings)[intervention]


def trials(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    interventions: str | Sequence[str] = ("Q", "G.1", "G.2"),
    *,
    executor: str | Executor = AUTO,
    seed: int = 0,
    layer: str | None = None,
    split: str = "",
    batch: int = COMPUTE_BATCH,
    threads: int = 1,
    device: str | None = None,
    ray_address: str | None = None,
    timeout: float | int = TIMEOUT,
    values: str | Writing = substitution.AUTO,
    fit: Iterable[Any] | None = None,
    beta: float | int = 1.0,
    draws: int = 1,
    graphs: Mapping[str, NDG] | None = None,
    orders: Mapping[str, Int[np.ndarray, "..."]] | None = None,
    curve: bool = False,
    cache: Cache | None = None,
    journal: Journal | None = None,
    any_network: bool = False,
) -> dict[str, TrialResult]:
    """Each intervention by name, with its controls, counted over all examples of `loader` in one pass.

    `layer` is needed when the graph has several; its units may be neurons, channels or those of tokens. `seed` draws
    the alternatives and the controls, for each example by its index, and seed + 1, ... those of further `draws`;
    `batch` and `threads` are those of the compute batches, on which float results may depend in the last bit, and the
    integers depend on nothing else. `executor` is `auto`, `serial`, `ray` or a value of `ndg.executors`; Ray's workers
    run on the CPU unless a `device` is given, and the network itself stays where it is. `split` is written beside the
    results.

    `values` are written for booleans: a name of `ndg.interventions.substitution`, taken from the examples of `fit`, or
    such a way itself. `auto` without `fit` writes 0 and 1, and the result says so. Implications whose recall exceeds
    `beta` are walked backwards too. `graphs` are further control graphs by name, of the same layer, each with its own
    D(t, t'). With a `curve`, the aligned rate is counted against the number of neurons changed, for the graph's choice,
    the prototypes and `orders` of units by name. A `cache` that several studies of this loader share keeps what is before
    the layer; a `journal` keeps finished batches (its `decode` is set here). With `any_network` the graph may be of
    another network than this one, of the same shape.

    Raises ConfigError for an unknown intervention, executor, device or way to write, and for 0 and 1 where these do not
    read as off and on; GraphError or LayerError for an unknown layer, or one that does not reach the logits; GraphError
    or ShapeError when the graph is of another network; DataError without examples or true labels, and for a loader that
    shuffles or gives what the network does not take; WorkerError when Ray gives no answer.
    """
    layer = _layer(graph, layer)
    labels, where = graph.nodes.labels, graph.nodes.slice(layer)
    named = {name: definition(name) for name in ([interventions] if isinstance(interventions, str) else interventions)}
    _check(graph, layer, named, draws, graphs or {}, orders or {}, curve)
    if not 0 < beta <= 1:
        raise ConfigError(f"beta is a recall inside (0, 1], and 1 walks no implication backwards; got {beta}")
    model = placed(model, device, executor, ray_address)
    passes = Passes.of(model, graph, [layer], threads, cache, any_network=any_network)
    written, why = _writing(values, model, graph, layer, fit, seed, batch, threads)
    walked = {name: walked_backwards(one, beta) for name, one in {GRAPH: graph, **(graphs or {})}.items()}
    study = Study(
        passes=passes,
        layer=layer,
        choices={name: {of: choices(how, one, layer) for of, one in walked.items()} for name, how in named.items()},
        prototypes=Prototypes.of(graph, layer),
        writing=written,
        seed=seed,
        draws=draws,
        orders=Orders.of(graph, layer, orders or {}) if curve else None,
    )
    total, chosen, reason = run_batches(
        run,
        study,
        loader,
        f"trial {' '.join(named)}",
        batch=batch,
        executor=executor,
        ray_address=ray_address,
        timeout=timeout,
        journal=None if journal is None else replace(journal, decode=TrialCounts.from_dict),
    )
    facts = {
        "layer": layer,
        "split": split,
        "units": where.stop - where.start,
        "seed": seed,
        "graph": graph.digest,
        "executor": chosen,
        "reason": reason,
        "beta": beta,
        "values": written.name,
        "values_reason": why,
        "values_examples": written.examples,
    }
    return {name: _result(name, total, study, labels, facts) for name in named}


def _layer(graph: NDG, layer: str | None) -> str:
    names = [known.name for known in graph.nodes.layers]
    if layer is not None:
        graph.nodes.slice(layer)
        return layer
    if len(names) != 1:
        raise GraphError(f"a trial intervenes on one layer; the graph has {', '.join(names) or 'none'}; pass layer=")
    return names[0]


def _check(
    graph: NDG,
    layer: str,
    named: Mapping[str, Any],
    draws: int,
    graphs: Mapping[str, NDG],
    orders: Mapping[str, Any],
    curve: bool,
) -> None:
    labels, where = graph.nodes.labels, graph.nodes.slice(layer)
    if not named:
        raise DataError("a trial needs at least one intervention; got none")
    if labels < 2:
        raise ShapeError(f"an alternative class needs at least 2 classes; the graph has {labels}")
    if draws < 1:
        raise ConfigError(f"alternatives and controls are drawn at least once; got draws={draws}")
    if orders and not curve:
        raise ConfigError(f"orders are those of a curve; got {', '.join(orders)} without one; pass curve=True")
    for name, other in graphs.items():
        if name in (taken := (GRAPH, *CONTROLS, CHANCE)):
            raise ConfigError(f"a control graph has a name of its own, none of {', '.join(taken)}; got {name!r}")
        there = other.nodes.slice(layer)
        if (other.nodes.labels, there.stop - there.start) != (labels, where.stop - where.start):
            raise ShapeError(
                f"a control graph has the same labels and units of {layer!r} as the graph on trial, {labels} and "
                f"{where.stop - where.start}; {name!r} has {other.nodes.labels} and {there.stop - there.start}; mine "
                "it from a network of the same shape"
            )


def _writing(
    values: str | Writing,
    model: nn.Module,
    graph: NDG,
    layer: str,
    fit: Iterable[Any] | None,
    seed: int,
    batch: int,
    threads: int,
) -> tuple[Writing, str]:
    """The way to write for booleans, and why it is that one."""
    if not isinstance(values, str):
        return values, "as given"
    name = substitution.choose(values, graph)
    why = "as asked for"
    if values == substitution.AUTO:
        why = (
            "auto: 0 and 1 stand for the outputs of a sigmoid" if name == "boolean" else "auto: outputs have no bounds"
        )
        if name != "boolean" and fit is None:
            name, why = "boolean", f"auto: without fitting examples 0 and 1 are written, else it would be {name!r}"
    written = substitution.fit(
        name, model, graph, fit, [layer], seed=seed, batch=batch, threads=threads, any_network=True
    )
    return written, why


def _result(name: str, total: TrialCounts, study: Study, labels: int, facts: dict[str, Any]) -> TrialResult:
    tallies, choice = total.tallies, study.choices[name][GRAPH]
    graphs = [of for of in study.choices[name] if of != GRAPH]
    return TrialResult(
        intervention=name,
        controls={control: tallies[name, control] for control in (GRAPH, *CONTROLS, *graphs)},
        by_class=tuple(tallies[name, GRAPH, "true", label] for label in range(labels)),
        by_alternative=tuple(tallies[name, GRAPH, "alternative", label] for label in range(labels)),
        no_ancestors=tuple(np.flatnonzero(choice.no_ancestors).tolist()),
        drawn=tuple(
            {control: tallies[name, DRAW, draw, control] for control in (GRAPH, *PROTOTYPES)}
            for draw in range(1, study.draws)
        ),
        curve=_curve(name, total, study) if study.orders else None,
        **facts,
    )


def _curve(name: str, total: TrialCounts, study: Study) -> Curve:
    assert study.orders is not None
    counted = {order: total.curves[curve_key(name, order)] for order in study.orders.names}
    counted[EXAMPLES] = total.curves[curve_key(name)]
    return Curve(study.orders.sizes, Counts(counted), study.seed)
