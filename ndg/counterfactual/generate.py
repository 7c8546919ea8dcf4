"""Make counterfactual data from a network, its graph and examples."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from ndg.activations.batches import Inputs, check_finite, compute_batches, fixed, forward
from ndg.activations.binarize import as_tensor, binarize
from ndg.activations.digest import weights_digest
from ndg.activations.hooks import Trace, find_layer, per_unit
from ndg.activations.labels import true_labels
from ndg.activations.sampling import shuffled
from ndg.counterfactual.counterfactual_set import CounterfactualSet, Origin
from ndg.errors import DataError, GraphError, ShapeError, nearest
from ndg.graph.ndg import NDG
from ndg.interventions.engine import changing
from ndg.interventions.intervention_sets import alternatives, choices, definition
from ndg.interventions.reach import Change, check_network, check_reach
from ndg.nodes import UNIT
from ndg.options import RunOptions, old_keywords
from ndg.probe import taking


@old_keywords(options=RunOptions)
def counterfactual_set(
    model: nn.Module,
    graph: NDG,
    loader: Iterable[Any],
    intervention: str = "Q",
    *,
    layer: str | None = None,
    options: RunOptions = RunOptions(),
    any_network: bool = False,
) -> CounterfactualSet:
    """Counterfactual data of every example of `loader`, toward drawn alternative classes.

    The alternatives are those of a trial with this seed. Pass the training examples in a fixed order, and `layer` for a
    graph of several layers.

    Raises ConfigError for an unknown intervention; GraphError or LayerError for a layer that does not fit; ShapeError,
    and GraphError unless `any_network`, for the graph of another network; DataError without examples or true labels, or
    for a loader that shuffles.
    """
    if shuffled(loader):
        raise DataError(
            "counterfactual data need examples in a fixed order; this DataLoader shuffles them; make it with "
            "shuffle=False"
        )
    rule = definition(intervention)
    layer = _layer(graph, layer)
    find_layer(model, layer)
    where, labels = graph.nodes.slice(layer), graph.nodes.labels
    thresholds = graph.thresholds[where.start - labels : where.stop - labels]
    if labels < 2 or np.isnan(thresholds).any():
        raise GraphError(
            f"counterfactual data need two classes and the thresholds of all units; the graph has {labels} classes and "
            f"{int(np.isnan(thresholds).sum())} units of {layer!r} without a threshold; mine it from extracted bits"
        )
    seed = options.seed
    network = weights_digest(model)
    if not any_network:
        check_network(model, graph, network)
    sets = choices(rule, graph, layer)
    parts: list[tuple[np.ndarray, ...]] = []
    with fixed(model, options.threads), Trace(model, [layer]) as trace:
        for batch in compute_batches(loader, options.batch):
            trace.clear()
            with taking(model, batch.inputs):
                logits = forward(model, batch.inputs)
            classes, output = logits.shape[1], per_unit(trace[layer], layer)
            latents = output[: batch.count]
            if (classes, latents.shape[1]) != (labels, len(thresholds)):
                raise ShapeError(
                    f"the graph is of another network: it has {labels} labels and {len(thresholds)} units of "
                    f"{layer!r}, the network {classes} and {latents.shape[1]}; use the graph mined from this network"
                )
            if batch.labels is None:
                raise DataError("counterfactual data need the true labels; pass a loader of (inputs, labels)")
            check_finite(latents, layer, batch)
            if not parts:
                check_reach(layer, logits, output.clone(), partial(_changed, model, layer, batch.inputs))
            true = true_labels(batch.labels, batch.count, labels).numpy().astype(np.int64)
            examples = np.array([batch.number(row) for row in range(batch.count)], np.int64)
            other = alternatives(seed, examples, true, labels)
            bits = binarize(latents, as_tensor(thresholds, latents.device)).cpu().numpy()
            named, values, _ = sets.of(true, other)
            parts.append((examples, true, other, latents.float().cpu().numpy(), np.where(named, values, bits), named))
    if not parts:
        raise DataError("counterfactual data need at least one example; the loader gave none; check the split")
    origin = Origin(layer, intervention, graph.digest, network, labels, seed)
    numbers, truth, drawn, real, written, set_units = (np.concatenate(column) for column in zip(*parts, strict=True))
    return CounterfactualSet(numbers, truth, drawn, real, written, set_units, origin)


def _changed(model: nn.Module, layer: str, inputs: Inputs, change: Change) -> Tensor:
    with changing(model, {layer: change}):
        return forward(model, inputs)


def _layer(graph: NDG, layer: str | None) -> str:
    """The requested layer, else the graph's only one.

    GraphError without whole units.
    """
    known = {layer.name: layer for layer in graph.nodes.layers}
    if layer is None and len(known) != 1:
        raise GraphError(f"one layer is written; the graph has {', '.join(known) or 'none'}; pass layer=")
    name = next(iter(known)) if layer is None else layer
    if name not in known:
        raise GraphError(f"no layer {name!r} in this graph; {nearest(name, known)}")
    if known[name].reading != UNIT:
        raise GraphError(
            f"only units of a layer can be written; {name!r} is read by {known[name].reading!r}; choose a layer of "
            "(example, unit)"
        )
    return name
