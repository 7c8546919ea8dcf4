"""Verdicts of edges, made by hand."""

import numpy as np

from ndg.graph.ndg import NDG
from ndg.graph.verdicts import BOTH_FALSE, Verdicts, kinds


def every_second_survives(graph: NDG) -> Verdicts:
    """Verdicts of a graph with the layers `first` and `second`: every second forced edge survives."""
    order = ("first", "second", "label")
    forced = int((kinds(graph.implications, order) == 1).sum())
    n, nothing = np.full(forced, 100), np.zeros(forced, np.int64)
    gained = np.where(np.arange(forced) % 2, 99, 30)
    facts = {"at_least": 0.9, "q": 0.05, "least": 20, "rule": BOTH_FALSE}
    return Verdicts.of(order, n, nothing, {"alone": gained}, {"alone": nothing}, facts)
