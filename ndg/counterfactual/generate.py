"""From a network, its graph and examples to counterfactual data."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from ndg.abstraction.controls import alternatives
from ndg.abstraction.intervention_sets import choices, definition
from ndg.activations.batches import Inputs, check_finite, compute_batches, fixed, forward, true_labels
from ndg.activations.binarize import as_tensor, binarize
from ndg.activations.digest import weights_digest
from ndg.activations.hooks import Overwrite, Trace, find_layer, per_unit
from ndg.activations.sampling import shuffled
from ndg.counterfactual.counterfactual_set import CounterfactualSet, Origin
from ndg.errors import DataError, GraphError, ShapeError, nearest
from ndg.graph.ndg import NDG
from ndg.interventions.passes import check_network
from ndg.interventions.reach import Change, check_reach, taking
from ndg.nodes import UNIT
from ndg.options import RunOptions, old_keywords


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
    """What an intervention writes on every example of `loader`, toward an alternative class drawn from its number.

    The alternatives are those that a trial with this seed draws. `layer` is needed when the graph has several. Give
    the training examples, in a fixed order.

    Raises ConfigError for an unknown intervention; GraphError or LayerError for a layer that does not fit or does not
    reach the logits; GraphError, unless `any_network`, or ShapeError when the graph is of another network; DataError
    without examples or true labels, or for a loader that shuffles.
    """
    if shuffled(loader):
        raise DataError(
            "counterfactual data number the examples of a loader; this DataLoader shuffles them anew each time; make "
            "it with shuffle=False"
        )
    how = definition(intervention)
    layer = _layer(graph, layer)
    find_layer(model, layer)
    where, labels = graph.nodes.slice(layer), graph.nodes.labels
    thresholds = graph.thresholds[where.start - labels : where.stop - labels]
    if labels < 2 or np.isnan(thresholds).any():
        raise GraphError(
            f"counterfactual data need two classes, and the thresholds that the graph was mined with; it has {labels} "
            f"classes and {int(np.isnan(thresholds).sum())} units of {layer!r} without a threshold; mine it from "
            "extracted bits"
        )
    seed = options.seed
    network = weights_digest(model)
    if not any_network:
        check_network(model, graph, network)
    wanted = choices(how, graph, layer)
    parts: list[tuple[np.ndarray, ...]] = []
    with fixed(model, options.threads), Trace(model, [layer]) as trace:
        for one in compute_batches(loader, options.batch):
            trace.clear()
            with taking(model, one.inputs):
                logits = forward(model, one.inputs)
            classes, output = logits.shape[1], per_unit(trace[layer], layer)
            latents = output[: one.count]
            if (classes, latents.shape[1]) != (labels, len(thresholds)):
                raise ShapeError(
                    f"the graph is of another network: it has {labels} labels and {len(thresholds)} units of "
                    f"{layer!r}, the network {classes} and {latents.shape[1]}; use the graph that was mined from this "
                    "network"
                )
            if one.labels is None:
                raise DataError("counterfactual data need the true labels; give a loader of (inputs, labels)")
            check_finite(latents, layer, one)
            if not parts:
                check_reach(layer, logits, output.clone(), partial(_changed, model, layer, one.inputs))
            true = true_labels(one.labels, one.count, labels).numpy().astype(np.int64)
            examples = np.array([one.number(row) for row in range(one.count)], np.int64)
            other = alternatives(seed, examples, true, labels)
            bits = binarize(latents, as_tensor(thresholds, latents.device)).cpu().numpy()
            named, values, _ = wanted.of(true, other)
            parts.append((examples, true, other, latents.float().cpu().numpy(), np.where(named, values, bits), named))
    if not parts:
        raise DataError("counterfactual data hold at least one example; the loader gave none; check the split")
    numbers, truth, drawn, real, written, which = (np.concatenate(column) for column in zip(*parts, strict=True))
    origin = Origin(layer, intervention, graph.digest, network, labels, seed)
    return CounterfactualSet(numbers, truth, drawn, real, written, which, origin)


def _changed(model: nn.Module, layer: str, inputs: Inputs, change: Change) -> Tensor:
    with Overwrite(model, layer, change):
        return forward(model, inputs)


def _layer(graph: NDG, layer: str | None) -> str:
    """The layer that is written, the one asked for or the only one; GraphError where its units are not read as such."""
    known = {one.name: one for one in graph.nodes.layers}
    if layer is None and len(known) != 1:
        raise GraphError(f"one layer is written; the graph has {', '.join(known) or 'none'}; pass layer=")
    name = next(iter(known)) if layer is None else layer
    if name not in known:
        raise GraphError(f"no layer {name!r} in this graph; {nearest(name, known)}")
    if known[name].reading != UNIT:
        raise GraphError(
            f"what is written are the units of a layer; {name!r} is read by {known[name].reading!r}; choose a layer "
            "of (example, unit)"
        )
    return name
