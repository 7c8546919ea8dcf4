"""Explanation of one prediction by the graph, tested by forcing.

A set of literals implies whatever one of them implies. So the smallest set that suffices for a label is one literal, or
there is none; then the label's own implications, which are necessary for it, are listed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Bool
from torch import Tensor, nn

from ndg.abstraction.explain.forcing import Codes, force, texts
from ndg.abstraction.explain.result import Explanation, Flip, Forced
from ndg.abstraction.minimal.run import BUDGET, INTERVENTION
from ndg.abstraction.minimal.search import smaller
from ndg.abstraction.minimal.study import Study
from ndg.abstraction.validate import check_labels, one_layer
from ndg.activations.batches import columns, compute_batches
from ndg.errors import ConfigError, GraphError, ShapeError, check_kind
from ndg.graph.ndg import NDG
from ndg.interventions import substitution
from ndg.interventions.intervention_sets import definition, predicted
from ndg.interventions.passes import BaselinePass, Passes, argmax
from ndg.literal import Literal
from ndg.nodes import NodeSpace
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.run_study import check_order, placed

EXAMPLES = 256
"""Reference examples, drawn by the seed, in which sets of literals are forced."""


@dataclass(frozen=True)
class ExplainSettings:
    """Which class is explained, and with which sets.

    target        class by which literals are judged; None: the predicted one
    layer         layer that is looked at; None: all of the graph
    values        what is written for booleans, fitted to `fit`: "boolean", "mean", "resample" or "auto"
    examples      reference examples, drawn by the seed, in which sets of literals are forced
    intervention  whose literals are the candidates of the smallest set
    budget        sets that are tried by the exact search, and by the greedy one
    number        number of the example in its loader
    any_network   whether the graph may be of another network of the same shape

    Raises ConfigError for an unknown intervention.

    >>> ndg.ExplainSettings(target=2, values="resample").examples
    256
    """

    target: int | None = None
    layer: str | None = None
    values: str = substitution.AUTO
    examples: int = EXAMPLES
    intervention: str = INTERVENTION
    budget: int = BUDGET
    number: int = 0
    any_network: bool = False

    def __post_init__(self) -> None:
        plain_numbers(self)
        definition(self.intervention)


@old_keywords(settings=ExplainSettings, options=RunOptions)
def explain(
    model: nn.Module,
    graph: NDG,
    example: Any,
    *,
    reference: Iterable[Any] | None = None,
    fit: Iterable[Any] | None = None,
    settings: ExplainSettings = ExplainSettings(),
    options: RunOptions = RunOptions(),
) -> Explanation:
    """Explain one prediction by the graph, and test it by forcing.

    `example` is one row of what a loader gives. With a target other than the prediction, literals are judged by that
    class, and the smallest set of units of one layer is sought that turns this example into it, as in `minimal`. Sets
    are forced in the `reference` examples: the literal that suffices, alone and with all it implies; or, where none
    does, the conditions that are necessary for the class.

    Raises ConfigError for an unknown class, GraphError or LayerError for the layer, GraphError for a graph without
    labels, GraphError or ShapeError for one of another network, ShapeError for more than one example, DataError for an
    empty reference or one that shuffles.

    >>> explanation = ndg.explain(net, graph, x[:1], reference=data, fit=data)
    >>> explanation.about == explanation.prediction
    True
    """
    check_labels(graph)
    check_order(reference)
    labels, target, layer = graph.nodes.labels, settings.target, settings.layer
    if target is not None and not 0 <= target < labels:
        raise ConfigError(f"a target is a class from 0 to {labels - 1}; got {target}; name one of these")
    if layer is not None:
        check_kind(layer, str, "layer= is the name of a layer of the graph", "pass its name", GraphError)
    layers = (layer,) if layer is not None else tuple(known.name for known in graph.nodes.layers)
    model = placed(model, options)
    passes = Passes.of(model, graph, layers, options.threads, any_network=settings.any_network)
    known = passes.baseline(next(compute_batches([_one(example)], options.batch)))
    writing = substitution.fit(settings.values, model, graph, fit, layers, options=options, any_network=True)
    prediction = int(known.predicted[0])
    about = prediction if target is None else target
    own = _own(known, graph.nodes, layers)
    parts, sufficient = _judged(graph, own, about)
    necessary = _within(graph, graph.closure(predicted(graph, about)).marked, layers)
    ancestors = graph.ancestors(predicted(graph, about))
    flip = None
    if about != prediction:
        alone = one_layer(graph, layer, "a minimal intervention sets units of one layer")
        numbers = np.array([settings.number], np.int64)
        study = Study.of(passes, graph, writing, settings.intervention, numbers, settings.budget, options.seed, alone)
        flip = _flip(study, graph, known, prediction, about)
    sets = _sets(graph, sufficient, necessary, layers)
    forced: tuple[Forced, ...] = ()
    if reference is not None and sets:
        forced = force(passes, graph, writing, sets, about, reference, settings.examples, options)
    return Explanation(
        prediction=prediction,
        about=about,
        layers=layers,
        **{name: texts(graph, codes) for name, codes in parts.items()},
        sufficient=texts(graph, sufficient),
        ancestors=sum(graph.nodes.layer(ancestor.node) in layers for ancestor in ancestors),
        necessary=texts(graph, necessary),
        missing=texts(graph, np.setdiff1d(necessary, own)),
        forced=forced,
        flip=flip,
        written=writing.name,
        fitted=writing.examples,
        seed=options.seed,
        graph=graph.digest,
        class_names=graph.class_names,
    )


def _one(example: Any) -> dict[str, Tensor]:
    inputs = {name: column for name, column in columns(example).items() if name != "labels"}
    rows = len(next(iter(inputs.values())))
    if rows != 1:
        raise ShapeError(f"one example is explained at a time; got {rows} rows; pass inputs[i : i + 1]")
    return inputs


def _own(known: BaselinePass, nodes: NodeSpace, layers: Iterable[str]) -> Codes:
    """Literals of the first example that hold in these layers."""
    units = {layer: nodes.slice(layer) for layer in layers}
    codes = [2 * np.arange(where.start, where.stop) + known.bits[layer][0] for layer, where in units.items()]
    return np.sort(np.concatenate(codes)).astype(np.int64)


def _judged(graph: NDG, own: Codes, about: int) -> tuple[dict[str, Codes], Codes]:
    """Literals by their consequences, and the first sufficient one."""
    marked = np.zeros((len(own), 2 * len(graph.nodes)), np.bool_)
    marked[np.arange(len(own)), own] = True
    closed = graph.closures(marked)
    code = predicted(graph, about).code
    yes, no = closed[:, code], closed[:, code ^ 1]
    parts = {"implying": yes & ~no, "contradicting": no & ~yes, "both": yes & no, "open": ~yes & ~no}
    return {name: own[which] for name, which in parts.items()}, own[parts["implying"]][:1]


def _within(graph: NDG, marked: Bool[np.ndarray, " literal"], layers: Iterable[str]) -> Codes:
    """Marked literals of these layers, without units marked twice."""
    kept = np.zeros(len(marked), np.bool_)
    for layer in layers:
        where = graph.nodes.slice(layer)
        kept[2 * where.start : 2 * where.stop] = True
    torn = np.repeat(marked.reshape(-1, 2).all(axis=1), 2)
    return np.flatnonzero(marked & kept & ~torn)


def _sets(graph: NDG, sufficient: Codes, necessary: Codes, layers: Iterable[str]) -> dict[str, Codes]:
    """Sets of literals to be forced, by role."""
    if not len(sufficient):
        return {"what the class implies": necessary} if len(necessary) else {}
    closed = _within(graph, graph.closure(map(Literal.of, sufficient.tolist())).marked, layers)
    return {"that literal alone": sufficient, "with all that it implies there": np.union1d(sufficient, closed)}


def _flip(study: Study, graph: NDG, known: BaselinePass, prediction: int, target: int) -> Flip:
    """The smallest set that turns the first example into the target."""
    layer = study.layer
    first, now, aim = (np.array([value], np.int64) for value in (0, prediction, target))
    bits = known.bits[layer][:1]
    binarised = int(argmax(study.logits(known, first, bits))[0])
    if binarised != prediction:
        return Flip(layer, target, binarised, (), (), False, binarised)
    ask = study.ask(known, first, aim)
    own = study.by_graph(ask, bits, now, aim)
    others = study.by_others(ask, bits, now, aim, study.numbers)
    least = reduce(smaller, [method.left for method in others.values()], own.within.sets)
    searched = study.search(ask, least, own.order)
    chosen = searched.sets
    after = int(argmax(study.logits(known, first, bits ^ chosen))[0])
    start = graph.nodes.slice(layer).start

    def literals(units: Bool[np.ndarray, " unit"]) -> tuple[str, ...]:
        at = np.flatnonzero(units)
        return texts(graph, 2 * (start + at) + ~bits[0, at])

    sets = literals(own.within.sets[0]), literals(chosen[0])
    return Flip(layer, target, binarised, *sets, bool(searched.exact[0]), after)
