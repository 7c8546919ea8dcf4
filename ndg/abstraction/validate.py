"""What studies ask of what they are given, before any forward pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ndg.activations.sampling import shuffled
from ndg.errors import ConfigError, DataError, GraphError
from ndg.graph.ndg import NDG


def check_labels(graph: NDG) -> None:
    """Raise GraphError for a graph of neurons alone."""
    if not graph.nodes.labels:
        raise GraphError(
            "what the network predicts is compared with the labels of the graph; the graph has no labels; extract with "
            "labels=True"
        )


def check_loader(loader: Iterable[Any] | None) -> None:
    """Raise DataError for a loader that is known to shuffle."""
    if loader is not None and shuffled(loader):
        raise DataError(
            "draws belong to an example by its number in the loader, and this DataLoader shuffles them anew each time; "
            "make it with shuffle=False"
        )


def check_timeout(timeout: float | int) -> None:
    """Raise ConfigError for a time that is over before it begins."""
    if not timeout > 0:
        raise ConfigError(f"a timeout is a number of seconds above 0; got {timeout}; leave it out for the default")
