"""What a graph says of the units of one layer: constants, equivalences, firings on other examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from ndg.activations.digest import weights_digest
from ndg.compression.groups import Group
from ndg.compression.unit_fitness import after
from ndg.errors import GraphError, check_kind
from ndg.extraction import extract
from ndg.graph.ndg import NDG
from ndg.options import RunOptions


@dataclass(frozen=True)
class GraphLabels:
    """Units whose boolean never changes, with its value, and the classes of the others.

    `classes` has the sign and the other units of a class: 1 for equivalent ones, -1 for equivalent negations. `firings`
    counts validation examples on which the boolean of a constant unit is the other one.
    """

    constant: dict[int, bool] = field(default_factory=dict)
    classes: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    firings: dict[int, int] = field(default_factory=dict)


def labels_of(graph: NDG, layer: str, on: np.ndarray | None = None, examples: int = 0) -> GraphLabels:
    """Labels of a layer's units.

    `on` counts, by node, how many of other `examples` it is on.
    """
    component = graph.condensation.component
    nodes = range(len(graph.nodes))[graph.nodes.slice(layer)]
    homes: dict[int, list[int]] = {}
    for code in range(2 * nodes.start, 2 * nodes.stop):
        homes.setdefault(int(component[code]), []).append(code)
    labels = GraphLabels()
    for unit, node in enumerate(nodes):
        count = int(graph.implications.on[node])
        if count in (0, graph.examples):
            labels.constant[unit] = count > 0
            if on is not None:
                labels.firings[unit] = int(examples - on[node] if count else on[node])
            continue
        codes = [code for code in homes[int(component[2 * node + 1])] if code >> 1 != node]
        if codes and component[2 * node] != component[2 * node + 1]:  # else it contradicts itself
            equal = tuple((code >> 1) - nodes.start for code in codes if code & 1)
            negated = tuple((code >> 1) - nodes.start for code in codes if not code & 1)
            labels.classes[unit] = (1, equal) if equal else (-1, negated)
    return labels


def layers_of(
    graph: NDG, model: nn.Module, groups: Mapping[str, Group], loader: Iterable[Any], options: RunOptions
) -> dict[str, str]:
    """Layers of a graph that hold the units of groups, by group.

    A layer is the module that makes the units, or the activation function after it. Raises GraphError for a graph of
    other weights, and for one of other layers.
    """
    check_kind(graph, NDG, "units are explained by an NDG", "mine one, or leave it out", GraphError)
    weights, own = graph.provenance.get("weights"), weights_digest(model)
    if weights not in (None, own):
        raise GraphError(
            f"a graph explains the network that it was mined from: it has weights of digest {weights}, the network "
            f"{own}; mine a graph of this network, or leave it out"
        )
    units = {layer.name: layer.units for layer in graph.nodes.layers}
    follows = after(model, loader, groups, options.batch)
    homes: dict[str, str] = {}
    for name, group in groups.items():
        paths = (group.makers[0].path, follows.get(name, ""))
        path = next((path for path in paths if units.get(path) == group.units), None)
        if path is not None and group.kind != "head":
            homes[name] = path
    if not homes:
        raise GraphError(
            f"a graph explains units of layers that are compressed ({', '.join(groups)}); got one of "
            f"{', '.join(f'{layer} ({count} units)' for layer, count in units.items()) or 'no layers'}; mine one of "
            "these layers, or leave it out"
        )
    return homes


def graph_labels(
    graph: NDG, model: nn.Module, homes: Mapping[str, str], validation: list[Any], options: RunOptions
) -> dict[str, GraphLabels]:
    """Labels of the units of groups by the graph's layers, with firings on validation examples."""
    bits = extract(model, validation, like=graph, options=options) if validation else None
    on, examples = (None, 0) if bits is None else (bits.on(), bits.examples)
    return {name: labels_of(graph, layer, on, examples) for name, layer in homes.items()}
