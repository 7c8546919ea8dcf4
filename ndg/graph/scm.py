"""Graph as a structural causal model: variables, rules, interventions.

Every implication has one antecedent, so a literal holds iff one of its parents does (or it is given): a disjunction.
Parents are those of the transitive reduction; the members of an equivalence class are parents of each other, and all of
them are parents of what the class implies. Nothing is concluded from or to a contradictory class. Of a graph with
conjunctions, each conjunction is one more term of the disjunction, "p and q", and its members are parents too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int8, Int64

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError, GraphError, ShapeError
from ndg.graph.chaining import Chaining
from ndg.graph.closure import Reachability, negated
from ndg.graph.condensation import Condensation
from ndg.graph.edges import marked as marked_nodes
from ndg.literal import Literal
from ndg.nodes import LABEL, NodeSpace

Marked = Bool[np.ndarray, "row literal"]
Values = Bool[np.ndarray, "row node"]
Which = Bool[np.ndarray, "#row node"]

GIVEN = "given"
"""Rule of a literal that nothing implies: it holds only where the bits say so."""


def marked(values: Values, among: Which) -> Marked:
    """Literals of the nodes that `among` selects, by code."""
    both = np.stack([~values & among, values & among], axis=2)
    return both.reshape(len(values), 2 * values.shape[1])


def unfolded(closures: Callable[[Marked], Marked], forced: Marked, others: Marked) -> Marked:
    """Closure of the forced literals and the others that fit it."""
    first = closures(forced)
    return closures(first | (others & ~negated(first)))


def decided(literals: Marked) -> Int8[np.ndarray, "row node"]:
    """1 for nodes that are on, 0 for off, else -1."""
    pairs = literals.reshape(len(literals), literals.shape[1] // 2, 2)
    off, on = pairs[:, :, 0], pairs[:, :, 1]
    return np.where(on ^ off, on.astype(np.int8), np.int8(-1))


def label_of(literals: Marked, labels: int) -> Int64[np.ndarray, " row"]:
    """Label that is on; -1 unless exactly one clearly is."""
    pairs = literals[:, : 2 * labels].reshape(len(literals), labels, 2)
    off, on = pairs[:, :, 0], pairs[:, :, 1]
    clear = (on.sum(axis=1) == 1) & ~(on & off).any(axis=1)
    return np.where(clear, on.argmax(axis=1) if labels else -1, -1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class SCM:
    """Rules of a graph, with some variables fixed; from `NDG.scm`.

    >>> model = graph.scm()
    >>> model.do({"1:0": 1}).interventions
    {'1:0': True}
    """

    nodes: NodeSpace
    chaining: Chaining
    fixed: Mapping[int, bool] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"SCM({len(self.nodes)} variables, {len(self.fixed)} of them set)"

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of all nodes, each on or off."""
        return tuple(self.nodes.nodes())

    @property
    def interventions(self) -> dict[str, bool]:
        """Variables set by `do`, by name."""
        return {self.nodes.name(node): value for node, value in sorted(self.fixed.items())}

    @cached_property
    def order(self) -> tuple[tuple[str, ...], ...]:
        """Literals by equivalence class, each after the classes that imply it.

        Conjunctions do not count.
        """
        return tuple(tuple(self.nodes.text(Literal.of(code)) for code in part) for part in self._graph.members)

    def parents(self, literal: Literal | str) -> tuple[str, ...]:
        """Literals that imply this one, alone or together, except for fixed or contradictory ones."""
        terms = self._terms(self._code(literal))
        return tuple(dict.fromkeys(self.nodes.text(Literal.of(parent)) for term in terms for parent in term))

    def rule(self, literal: Literal | str) -> str:
        """Rule in words, such as `latent:3 or (a:1 and ~a:7)` or `given`."""
        code = self._code(literal)
        if code >> 1 in self.fixed:
            return str(self.fixed[code >> 1] == bool(code & 1)).lower()
        terms = [[self.nodes.text(Literal.of(parent)) for parent in term] for term in self._terms(code)]
        return " or ".join(term[0] if len(term) == 1 else f"({' and '.join(term)})" for term in terms) or GIVEN

    def _terms(self, code: int) -> list[list[int]]:
        """Sets of literals that make this one hold: parents, then conjunctions."""
        own_class = int(self._graph.component[code])
        if code >> 1 in self.fixed or self._graph.contradictory[own_class]:
            return []
        into = (self._graph.heads == own_class) & self._reach.essential
        classes = [own_class, *self._graph.tails[into].tolist()]
        alone = [[member] for number in classes for member in self._graph.members[number] if member != code]
        active = [each for each in self.chaining.active if each.consequent.code == code]
        together = [[literal.code for literal in each.members] for each in active]
        return alone + [members for members in together if members not in alone]

    def rules(self) -> dict[str, str]:
        """Rules of all literals that have one, by literal."""
        texts = (self.nodes.text(Literal.of(code)) for code in range(2 * len(self.nodes)))
        return {text: rule for text in texts if (rule := self.rule(text)) != GIVEN}

    def do(self, values: Mapping[str, bool | int]) -> SCM:
        """Model with these variables fixed to 0 or 1.

        GraphError for others.
        """
        fixed = dict(self.fixed)
        for name, value in values.items():
            if value not in (0, 1):
                raise GraphError(f"a variable must be set to 1 (on) or 0 (off); got {value!r} for {name!r}")
            fixed[self.nodes.index(name)] = bool(value)
        return replace(self, fixed=fixed)

    def unfold(
        self, bits: BitMatrix | np.ndarray, given: Iterable[str] | None = None
    ) -> Int8[np.ndarray, "example node"]:
        """Value of each node per example: 1 on, 0 off, -1 undecided or contradictory.

        The model starts from the values of the layers `given`, by default of all nodes but the labels, except those
        that its interventions contradict. Contradictory interventions stay as they were set. Raises GraphError for an
        unknown layer, ShapeError for bits of other nodes, BitsError for values that are not boolean.
        """
        values = bits.to_bool() if isinstance(bits, BitMatrix) else bits
        if values.dtype != np.bool_:
            raise BitsError(
                f"bits to unfold must be booleans; got {values.dtype}; binarise first, or use .astype(bool)"
            )
        if values.ndim != 2 or values.shape[1] != len(self.nodes):
            nodes = f"bits of {values.shape[1]} nodes" if values.ndim == 2 else f"an array of shape {values.shape}"
            raise ShapeError(
                f"the model has {len(self.nodes)} variables; got {nodes}; pass booleans of shape (example, node)"
            )
        names = [name for name, _ in self.nodes.groups if name != LABEL] if given is None else given
        known = marked_nodes(self.nodes, [names] if isinstance(names, str) else names)
        fixed, settings = np.zeros((2, len(self.nodes)), np.bool_)
        fixed[list(self.fixed)] = True
        settings[list(self.fixed)] = list(self.fixed.values())
        forced = marked(np.broadcast_to(settings, values.shape), fixed[None])
        result = decided(unfolded(self._closures, forced, marked(values, (known & ~fixed)[None])))
        result[:, fixed] = settings[fixed]
        return result

    @property
    def _reach(self) -> Reachability:
        return self.chaining.reach

    @property
    def _graph(self) -> Condensation:
        return self._reach.condensation

    @cached_property
    def _cut(self) -> Chaining:
        """Rules without those that conclude classes of fixed members only."""
        free = np.zeros(len(self._graph), np.bool_)
        codes = np.arange(2 * len(self.nodes))
        free[self._graph.component[~np.isin(codes >> 1, list(self.fixed))]] = True
        reach = replace(self._reach, essential=self._reach.essential & free[self._graph.heads])
        return Chaining(reach, [each for each in self.chaining.active if each.consequent.node not in self.fixed])

    def _closures(self, literals: Marked) -> Marked:
        blocked = np.zeros(literals.shape[1], np.bool_)
        blocked[[2 * node + (not value) for node, value in self.fixed.items()]] = True
        closures = self._cut.below_each(literals, blocked)
        closures[:, blocked] = False
        return closures

    def _code(self, literal: Literal | str) -> int:
        return (self.nodes.literal(literal) if isinstance(literal, str) else literal).code
