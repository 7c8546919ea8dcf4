"""Scores of nodes and trials of edges, added to a graph."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ndg.graph.verdicts import Verdicts
from ndg.nodes import NodeSpace


@runtime_checkable
class Scored(Protocol):
    """One score per node by some method, such as `ndg.Scores`."""

    @property
    def method(self) -> str: ...
    @property
    def measure(self) -> str: ...
    def by_node(self, space: NodeSpace, /) -> dict[int, float]: ...


@runtime_checkable
class EdgeEvidence(Protocol):
    """Trial of the edges of a graph, such as `EdgeTrials`."""

    @property
    def graph(self) -> str: ...
    @property
    def verdicts(self) -> Verdicts: ...
