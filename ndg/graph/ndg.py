"""The neuron dependency graph: approximate implications between literals, and what follows from them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from ndg import atomic
from ndg.bits.matrix import BitMatrix
from ndg.errors import GraphError
from ndg.graph import edges, evaluate, export, files
from ndg.graph.closure import Closure, Reachability, both_values, literals_of, negate, reach
from ndg.graph.condensation import Condensation, condense
from ndg.graph.evaluate import HeldOut
from ndg.graph.rules import header, rules
from ndg.graph.statistics import GraphStats, statistics
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.nodes import NodeSpace

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd


@runtime_checkable
class Scored(Protocol):
    """One number per node by some method, such as `ndg.Scores`."""

    @property
    def method(self) -> str: ...
    @property
    def measure(self) -> str: ...
    def by_node(self, space: NodeSpace, /) -> dict[int, float]: ...


Literals = Iterable[Literal | str] | Literal | str


@dataclass(frozen=True, eq=False)
class NDG:
    """The implication graph of 2-SAT over the nodes of a network (Aspvall, Plass & Tarjan 1979; Hu & Tian 2022).

    It is skew-symmetric: a -> b iff ~b -> ~a. Literals that imply each other, directly or through others, are one
    class; the classes form a directed acyclic graph. A class that holds a literal and its negation is contradictory: it
    is listed, and nothing enters or passes through it. The paper keeps pairwise equivalences only; `stats` tells both.

    Equal graphs have equal implications over the same nodes; `provenance` (plain JSON) and what `with_scores` wrote,
    `scored`, are carried along.
    """

    implications: Implications
    provenance: dict[str, Any] = field(default_factory=dict)
    scored: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", dict(self.provenance))
        constant = np.zeros(len(self.nodes), np.bool_)
        constant[[literal.node for literal in self.constants]] = True
        touched = constant[self.implications.antecedents >> 1] | constant[self.implications.consequents >> 1]
        if touched.any():
            node = self.implications.antecedents[touched][0] >> 1
            node = node if constant[node] else self.implications.consequents[touched][0] >> 1
            raise GraphError(f"a constant takes part in no implication; {self.nodes.name(int(node))} does")

    @property
    def nodes(self) -> NodeSpace:
        return self.implications.nodes

    @property
    def examples(self) -> int:
        """Number of examples that the implications were mined from."""
        return self.implications.examples

    @property
    def criterion(self) -> dict[str, Any]:
        """Name and parameters of the criterion that judged the implications."""
        return dict(self.implications.criterion)

    @property
    def thresholds(self) -> Float64[np.ndarray, " neuron"]:
        """The activation above which each neuron is on."""
        return self.implications.thresholds

    @property
    def binarizer(self) -> str:
        return self.implications.binarizer

    @property
    def constants(self) -> tuple[Literal, ...]:
        """Literals that (nearly) always hold; they take part in no implication."""
        return self.implications.constants

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of nodes, implications, counts, thresholds and criterion."""
        return files.digest(self.implications)

    @cached_property
    def condensation(self) -> Condensation:
        """The components and the arcs between them, as arrays."""
        return condense(2 * len(self.nodes), self.implications.antecedents, self.implications.consequents)

    @cached_property
    def _reach(self) -> Reachability:
        return reach(self.condensation)

    @cached_property
    def classes(self) -> tuple[tuple[Literal, ...], ...]:
        """The equivalence classes of two or more literals, without the contradictory ones."""
        return self._components(contradictory=False)

    @cached_property
    def contradictory(self) -> tuple[tuple[Literal, ...], ...]:
        """The classes that hold a literal and its negation."""
        return self._components(contradictory=True)

    def _components(self, contradictory: bool) -> tuple[tuple[Literal, ...], ...]:
        wanted = (self.condensation.sizes > 1) & (self.condensation.contradictory == contradictory)
        members = (self.condensation.members[number] for number in np.flatnonzero(wanted))
        return tuple(sorted(tuple(map(Literal.of, codes)) for codes in members))

    def closure(self, literals: Literals) -> Closure:
        """What follows from some literals, they included: extensive, monotone and idempotent.

        A given literal of a contradictory class stays, and nothing is concluded from it.
        """
        bits = 0
        for literal in self._literals(literals):
            bits |= self._below(literal)
        nodes = both_values(bits, len(self.nodes))
        return Closure(literals_of(bits), frozenset(literal.node for literal in literals_of(nodes)))

    def descendants(self, literal: Literal | str) -> frozenset[Literal]:
        """What follows from a literal, without itself."""
        literal = self.literal(literal)
        return literals_of(self._below(literal) & ~(1 << literal.code))

    def ancestors(self, literal: Literal | str) -> frozenset[Literal]:
        """The literals from which a literal follows, without itself: what follows from its negation, negated."""
        literal = ~self.literal(literal)
        return literals_of(negate(self._below(literal) & ~(1 << literal.code), len(self.nodes)))

    def _below(self, literal: Literal) -> int:
        number = self.condensation.component[literal.code]
        return 1 << literal.code if self.condensation.contradictory[number] else self._reach.below[number]

    def literal(self, literal: Literal | str) -> Literal:
        """The literal written so, or the literal itself; GraphError when this graph has no such node."""
        if isinstance(literal, str):
            return self.nodes.literal(literal)
        self.nodes.layer(literal.node)
        return literal

    def _literals(self, literals: Literals) -> Iterable[Literal]:
        return map(self.literal, [literals] if isinstance(literals, Literal | str) else literals)

    def key(self, literal: Literal | str) -> str:
        """The key, in `to_networkx`, of the class that a literal is in: the text of its member of smallest index."""
        number = self.condensation.component[self.literal(literal).code]
        return self.nodes.text(Literal.of(self.condensation.members[number][0]))

    def with_scores(self, scores: Scored | Iterable[Scored]) -> NDG:
        """The same graph with the scores of its neurons on the nodes, by method; `to_networkx` and pictures show them.

        GraphError for units that the graph does not have.
        """
        kept = dict(self.scored)
        for one in [scores] if isinstance(scores, Scored) else scores:
            values = {self.nodes.name(node): value for node, value in sorted(one.by_node(self.nodes).items())}
            kept[one.method] = {"measure": one.measure, "values": values}
        return replace(self, scored=kept)

    @property
    def scores(self) -> dict[str, dict[int, float]]:
        """The scores on the nodes, by method and node."""
        index = {name: node for node, name in enumerate(self.nodes.nodes())}
        return {
            method: {index[name]: value for name, value in scored["values"].items() if name in index}
            for method, scored in self.scored.items()
        }

    def to_networkx(self) -> nx.DiGraph:
        """The condensed graph as a new, frozen, acyclic networkx.DiGraph with one node per class.

        A node's key is the text of the class's literal with the smallest node index, such as `label:3` or `~latent:7`.
        Attributes are those of `ndg.graph.export.to_networkx`, and one for each method of `scores`; of the graph:
        constants, criterion, examples, binarizer, digest.
        """
        facts = {
            "constants": [self.nodes.text(literal) for literal in self.constants],
            "criterion": self.criterion,
            "examples": self.examples,
            "binarizer": self.binarizer,
            "digest": self.digest,
        }
        return export.to_networkx(self.implications, self.condensation, facts, self.scores)

    def reduction(self) -> tuple[tuple[str, str], ...]:
        """The edges of `to_networkx` that no longer path replaces: its transitive reduction."""
        named = export.keys(self.implications, self.condensation)
        tails = self.condensation.tails[self._reach.essential].tolist()
        heads = self.condensation.heads[self._reach.essential].tolist()
        return tuple((named[tail], named[head]) for tail, head in zip(tails, heads, strict=True))

    def stats(self, bits: BitMatrix | None = None) -> GraphStats:
        """The figures of the paper's Table 2, on the paper's graph and on the condensed one.

        With `bits` the agreement within classes is counted on them; without, it is read from the implications, which
        give a lower bound when two members are joined through others only.
        """
        return statistics(self.implications, self.condensation, self.classes, bits)

    def edges_frame(self) -> pd.DataFrame:
        """One row per implication: antecedent, consequent, their layers and priors, exceptions, support, precision,
        recall, lift on the mined examples, and whether the converse holds too."""
        return edges.frame(self.implications)

    def evaluate(self, bits: BitMatrix, any_thresholds: bool = False) -> pd.DataFrame:
        """One row per implication: precision and recall on held-out `bits` with 95 % Wilson intervals.

        Null where no example has the antecedent (precision) or the consequent (recall). `any_thresholds` admits the
        bits of another network with as many units.
        """
        return evaluate.frame(self.implications, bits, any_thresholds)

    def held_out(self, bits: BitMatrix, any_thresholds: bool = False) -> HeldOut:
        """Mean precision and recall of all implications on held-out `bits`, with the numbers that they are over."""
        return evaluate.summary(self.implications, bits, any_thresholds)

    def filter(
        self,
        min_precision: float | int | None = None,
        min_support: int | None = None,
        min_recall: float | int | None = None,
        layers: Iterable[str] | None = None,
    ) -> NDG:
        """The graph of the implications that meet all bounds, over the same nodes.

        An implication stays iff it and its contrapositive both meet the bounds, so the graph remains skew-symmetric.
        `layers` keeps those among these layers and the labels. The bounds are added to `provenance["filters"]`.
        """
        layers = [layers] if isinstance(layers, str) else layers if layers is None else list(layers)
        bounds = {
            "min_precision": min_precision,
            "min_support": min_support,
            "min_recall": min_recall,
            "layers": layers,
        }
        kept = edges.keep(self.implications, min_precision, min_support, min_recall, layers)
        return self._derived(kept, {name: bound for name, bound in bounds.items() if bound is not None})

    def subgraph(self, layers: Iterable[str], labels: bool = True) -> NDG:
        """The graph over the units of these layers alone, and over the labels if wanted."""
        layers = [layers] if isinstance(layers, str) else list(layers)
        return self._derived(edges.restrict(self.implications, layers, labels), {"subgraph": layers, "labels": labels})

    def _derived(self, implications: Implications, step: dict[str, Any]) -> NDG:
        steps = [*self.provenance.get("filters", []), step]
        return NDG(implications, self.provenance | {"filters": steps}, self.scored)

    def rules(self, limit: int | None = None, reduced: bool = True) -> str:
        """The graph in words, one line each: constants, equivalences, then rules, the surest first.

        `reduced` leaves out rules that follow from others; `limit` is the number of rules told.
        """
        return rules(
            self.implications,
            self.condensation,
            self._reach.essential,
            self.classes,
            self.contradictory,
            limit,
            reduced,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The path of the JSON file written (schema in `ndg.graph.files`), whole or not at all."""
        return files.save(path, self.implications, self.provenance, self.scored)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NDG:
        """The graph that `save` wrote; GraphError when the file is damaged or of another schema."""
        return cls(*files.load(path))

    def to_graphml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The graph of `to_networkx` as GraphML, written to `path` if given."""
        return self._exported(export.to_graphml(self.to_networkx()), path)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The graph of `to_networkx` as node-link JSON, written to `path` if given; `save` keeps everything."""
        return self._exported(export.to_json(self.to_networkx()), path)

    def _exported(self, text: str, path: str | os.PathLike[str] | None) -> str:
        if path is not None:
            atomic.write(path, text)
        return text

    def __len__(self) -> int:
        """Number of implications."""
        return len(self.implications)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NDG) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type[NDG], tuple[Implications, dict[str, Any], dict[str, Any]]]:
        return NDG, (self.implications, self.provenance, self.scored)

    def __repr__(self) -> str:
        return (
            f"NDG({self.nodes.labels} labels, {self.nodes.neurons} neurons, {len(self)} implications, "
            f"{self.examples} examples)"
        )

    def _repr_html_(self) -> str:
        told = self.rules(limit=10).split("\n")[1:]
        if len(told) > 32:
            told = [*told[:20], "…", *told[-11:]]
        return f"<p>{escape(header(self.implications))}</p><pre>{escape(chr(10).join(told))}</pre>"
