"""Removals of the units of a network's layers, from its weights and some examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from torch import nn

from ndg.activations.batches import Inputs, compute_batches, no_examples
from ndg.activations.sampling import count
from ndg.compression.examples import enough
from ndg.compression.groups import Coupling, Group, couple
from ndg.compression.obs import FEW, FEW_RIDGE, RIDGE, Reader, Removals, removals_of_readers
from ndg.compression.plain import with_plain_layers
from ndg.compression.statistics import ROWS, readers
from ndg.options import RunOptions
from ndg.run_study import check_model


def layer_removals(
    model: nn.Module,
    loader: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    rows: int = ROWS,
    options: RunOptions = RunOptions(),
) -> dict[str, Removals]:
    """Order and errors of removing the units of each layer, by its name.

    All removable layers for None.

    A layer is named by the module that makes its units, such as `encoder.fc1`; attention by the module that holds its
    queries, keys and values. `rows` bounds the rows of activations behind a convolution or tokens. The share that can
    go is `result[layer].removable()`.

    Raises LayerError for a layer whose units cannot be removed, with the reason, and for a network that cannot be
    traced; DataError without examples, or for fewer rows of activations than a layer has units.
    """
    check_model(model)
    network = with_plain_layers(model)
    loader = loader if isinstance(loader, (list, tuple)) else list(loader)
    groups = couple(network, first_inputs(loader)).select(layers)
    found, counted = readers(network, loader, groups, options, rows)
    enough(groups, counted)
    return curves(groups, found, count(loader))


def coupling(model: nn.Module, loader: Iterable[Any], *, plain: bool = True) -> Coupling:
    """Groups of layers whose units can be removed, and reasons for the others.

    With `plain`, those of the network in which plain layers stand for torch's modules of attention and recurrence;
    without, units are removed from the network's own modules alone.
    """
    check_model(model)
    return couple(with_plain_layers(model) if plain else model, first_inputs(loader))


def curves(groups: Mapping[str, Group], found: Mapping[str, list[Reader]], examples: int) -> dict[str, Removals]:
    """Removals of each group, from the covariances of its readers."""
    return {name: removals_of_readers(found[name], ridge_of(found[name], examples)) for name in groups}


def ridge_of(found: Iterable[Reader], examples: int) -> float:
    """The ridge for so many examples: larger where they are few for the width."""
    return RIDGE if all(examples >= FEW * reader.units for reader in found) else FEW_RIDGE


def first_inputs(loader: Iterable[Any]) -> Inputs:
    """Inputs of a few examples. Raises DataError without any."""
    for batch in islice(compute_batches(loader, 3, short=True), 1):
        return batch.inputs
    raise no_examples()
