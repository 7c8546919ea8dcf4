"""Intervention sets D(t, t') of Hu & Tian 2022.

D depends on the graph, the true class t and the alternative class t'. It joins what t' asks for with the negation of
what t asks for. A new definition is one line in `INTERVENTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from ndg import seeds
from ndg.errors import ConfigError, nearest
from ndg.graph.ndg import NDG
from ndg.literal import Literal
from ndg.nodes import LABEL

Indices = Int64[np.ndarray, " example"]
ByClass = Bool[np.ndarray, "label unit"]
Units = Bool[np.ndarray, "example unit"]
LiteralSelector = Callable[[NDG, Literal], frozenset[Literal]]


@dataclass(frozen=True)
class Choice:
    """Literals of D(t, t'), and nodes removed as contradictory."""

    literals: frozenset[Literal]
    contradictions: frozenset[int]


@dataclass(frozen=True)
class Definition:
    """Literals of a class as alternative, `toward`, and as true class, `against`.

    Those of the true class are negated. With `upward`, a definition uses ancestors, so classes without any are noted.
    """

    toward: LiteralSelector
    against: LiteralSelector | None = None
    upward: bool = False

    def wanted(self, graph: NDG, label: int) -> frozenset[Literal]:
        """What a class asks for as the alternative."""
        return self.toward(graph, predicted(graph, label))

    def opposed(self, graph: NDG, label: int) -> frozenset[Literal]:
        """Literals of the true class, before negation."""
        return self.against(graph, predicted(graph, label)) if self.against else frozenset()

    def literals(self, graph: NDG, true: int, alternative: int) -> Choice:
        """D(t, t') over all nodes of the graph."""
        literals = self.wanted(graph, alternative) | {~literal for literal in self.opposed(graph, true)}
        both = frozenset(literal.node for literal in literals if ~literal in literals)
        return Choice(frozenset(literal for literal in literals if literal.node not in both), both)


def predicted(graph: NDG, label: int) -> Literal:
    """The literal "this class is predicted"."""
    return Literal(graph.nodes.slice(LABEL).start + label)


def consequences(graph: NDG, label: Literal) -> frozenset[Literal]:
    """The forward closure of a label."""
    return graph.closure([label]).literals


def causes(graph: NDG, label: Literal) -> frozenset[Literal]:
    """Forward closure of a label and its ancestors, which may be none."""
    return graph.closure({label} | graph.ancestors(label)).literals


INTERVENTIONS: dict[str, Definition] = {
    "Q": Definition(toward=causes, upward=True),
    "G.1": Definition(toward=consequences, against=consequences),
    "G.2": Definition(toward=consequences),
}


def definition(name: str) -> Definition:
    """The intervention of that name, else ConfigError."""
    if not isinstance(name, str) or name not in INTERVENTIONS:
        raise ConfigError(
            f"an intervention is one of {', '.join(INTERVENTIONS)}; got {name!r}; {nearest(name, INTERVENTIONS)}"
        )
    return INTERVENTIONS[name]


@dataclass(frozen=True, eq=False)
class Choices:
    """D(t, t') of one layer's units, for all pairs of classes.

    `no_ancestors[c]` tells that the definition uses ancestors but class c has none.
    """

    toward_on: ByClass
    toward_off: ByClass
    against_on: ByClass
    against_off: ByClass
    no_ancestors: Bool[np.ndarray, " label"]

    def of(self, true: Indices, alternative: Indices) -> tuple[Units, Units, Bool[np.ndarray, " example"]]:
        """Units, values (off outside D) and contradictions of D for each example."""
        on = self.toward_on[alternative] | self.against_off[true]
        off = self.toward_off[alternative] | self.against_on[true]
        return on ^ off, on & ~off, (on & off).any(axis=1)


def choices(definition: Definition, graph: NDG, layer: str) -> Choices:
    """Sets of a definition on one layer."""
    labels = range(graph.nodes.labels)
    toward = [definition.wanted(graph, label) for label in labels]
    against = [definition.opposed(graph, label) for label in labels]
    alone = [definition.upward and not graph.ancestors(predicted(graph, label)) for label in labels]
    return Choices(*_units(toward, graph, layer), *_units(against, graph, layer), np.array(alone, np.bool_))


def _units(sets: list[frozenset[Literal]], graph: NDG, layer: str) -> tuple[ByClass, ByClass]:
    """Units that each class asks to be on, and off."""
    where = graph.nodes.slice(layer)
    values = np.zeros((2, len(sets), where.stop - where.start), np.bool_)
    for label, literals in enumerate(sets):
        for literal in literals:
            if where.start <= literal.node < where.stop:
                values[int(literal.value), label, literal.node - where.start] = True
    return values[1], values[0]


def alternatives(seed: int, examples: Indices, true: Indices, labels: int) -> Indices:
    """A class other than the true one, drawn for each example."""
    draw = seeds.words(seed, "alternatives", examples=examples, draws=1)[:, 0]
    other = (draw % np.uint64(labels - 1)).astype(np.int64)
    return other + (other >= true)
