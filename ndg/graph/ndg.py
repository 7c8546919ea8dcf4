"""Neuron dependency graph: approximate implications and what follows from them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from ndg.bits.matrix import BitMatrix
from ndg.errors import GraphError, ShapeError, check_kind, check_list
from ndg.escape import html as escape
from ndg.escape import printable
from ndg.graph import causal_rows, edges, files, hyperedges
from ndg.graph import conjunctions as conjunctive
from ndg.graph import from_networkx as networkx_reader
from ndg.graph.chaining import Chaining
from ndg.graph.closure import Closure, Reachability, literals_of, negated, reach
from ndg.graph.condensation import Classes, Condensation, condense
from ndg.graph.conjunctions import Conjunction, Conjunctive
from ndg.graph.evidence import EdgeEvidence, Scored
from ndg.graph.export import Condensed, flat_networkx, keys, to_networkx
from ndg.graph.exports import Exports
from ndg.graph.measured import Measured, packed
from ndg.graph.rules import header, rules
from ndg.graph.scm import SCM
from ndg.graph.statistics import GraphStats, statistics
from ndg.graph.verdicts import CONSTRAINT, SURVIVES, Verdicts
from ndg.graph.votes import Votes
from ndg.literal import Literal
from ndg.mining.implications import Implications
from ndg.nodes import LABEL
from ndg.options import names_of, plain_number

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd


Literals = Iterable[Literal | str] | Literal | str
CLASS_NAMES = "class_names"
"""Key of the class names in the provenance."""


@dataclass(frozen=True, eq=False)
class NDG(Measured, Exports):
    """Neuron dependency graph: the 2-SAT implication graph of a network's nodes.

    See Aspvall, Plass & Tarjan 1979 and Hu & Tian 2022. It is skew-symmetric: a -> b iff ~b -> ~a. Literals that imply
    each other, directly or through others, are one class; the classes form an acyclic graph. Nothing enters or passes
    through a contradictory class. The paper keeps pairwise equivalences only; `stats` gives both.

    A causal graph also has `conjunctions`, sets of literals that force another one, and `votes` of layers for labels.
    Conjunctions take part in every closure; votes, which are weighed against each other, do not.

    Equal graphs have equal implications, conjunctions and votes over the same nodes. `provenance` is plain JSON.

    >>> sorted(map(graph.nodes.text, graph.closure(["1:0"])))
    ['1:0', '~1:6', '~label:2']
    """

    implications: Implications
    provenance: dict[str, Any] = field(default_factory=dict)
    scored: dict[str, Any] = field(default_factory=dict)
    verdicts: Verdicts | None = None
    conjunctions: tuple[Conjunction, ...] = ()
    votes: tuple[Votes, ...] = ()

    def __post_init__(self) -> None:
        advice = "mine a graph by ndg.mine(bits), or load one by ndg.NDG.load(path)"
        check_kind(self.implications, Implications, "a graph is made of Implications", advice, GraphError)
        check_kind(self.provenance, Mapping, "provenance is a dictionary of plain values", "pass one", GraphError)
        object.__setattr__(self, "provenance", dict(self.provenance))
        if self.verdicts is not None:
            self.verdicts.check(self.implications)
        object.__setattr__(self, "conjunctions", conjunctive.checked(self.conjunctions, self.nodes))
        object.__setattr__(self, "votes", hyperedges.voting(self.votes, self.nodes))
        constant = np.zeros(len(self.nodes), np.bool_)
        constant[[literal.node for literal in self.constants]] = True
        nodes = self.implications.antecedents >> 1  # a consequent is the antecedent of the contrapositive
        if touched := nodes[constant[nodes]].tolist():
            raise GraphError(f"a constant must take part in no implication; {self.nodes.name(touched[0])} does")

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of nodes, edges of all kinds, counts, thresholds and criterion."""
        return self._stored().digest()

    def _stored(self) -> files.Stored:
        return files.Stored(*self.__reduce__()[1])

    @cached_property
    def condensation(self) -> Condensation:
        """Components and the arcs between them, as arrays."""
        return condense(2 * len(self.nodes), self.implications.antecedents, self.implications.consequents)

    @cached_property
    def _reach(self) -> Reachability:
        return reach(self.condensation)

    @cached_property
    def _chaining(self) -> Chaining:
        return Chaining(self._reach, self.conjunctions)

    @cached_property
    def classes(self) -> Classes:
        """Equivalence classes of two or more literals, without contradictory ones."""
        return self.condensation.classes(contradictory=False)

    @cached_property
    def contradictory(self) -> Classes:
        """Classes that contain a literal and its negation."""
        return self.condensation.classes(contradictory=True)

    def closure(self, literals: Literals) -> Closure:
        """Literals that follow, themselves included; nothing else follows from contradictory ones.

        A conjunction fires once all its members are in the closure.
        """
        several = isinstance(literals, Iterable) and not isinstance(literals, str | Literal)  # a literal is a tuple
        several = several and getattr(literals, "ndim", 1) > 0  # a numpy number has no elements
        texts: Iterable[Any] = literals if several else [literals]
        codes = np.array([self.literal(literal).code for literal in texts], np.int64)
        return Closure(self._chaining.below(codes), self.nodes)

    def closures(self, marked: Bool[np.ndarray, "row literal"]) -> Bool[np.ndarray, "row literal"]:
        """Closure of every row of marked literals, in one walk."""
        rule = f"sets of literals must be booleans [row, {2 * len(self.nodes)}], over the literals of the graph"
        check_kind(marked, np.ndarray, rule, "mark codes in an array of booleans", ShapeError)
        if marked.ndim != 2 or marked.shape[1] != 2 * len(self.nodes) or marked.dtype != np.bool_:
            raise ShapeError(f"{rule}; got {marked.dtype} of shape {marked.shape}; mark codes, one row per set")
        return self._chaining.below_each(marked)

    def descendants(self, literal: Literal | str) -> frozenset[Literal]:
        """Literals that follow from a literal, without itself."""
        return literals_of(self._follow(self.literal(literal)))

    def ancestors(self, literal: Literal | str) -> frozenset[Literal]:
        """Literals from each of which alone a literal follows, without itself."""
        literal = self.literal(literal)
        if not self.conjunctions:
            return literals_of(negated(self._follow(~literal)))
        return literals_of(self._chaining.above(literal.code)) - {literal}

    def _follow(self, literal: Literal) -> Bool[np.ndarray, " literal"]:
        followers = self._chaining.below(np.array([literal.code]))
        followers[literal.code] = False
        return followers

    def literal(self, literal: Literal | str) -> Literal:
        """Literal of a text, or itself; GraphError for an unknown node."""
        if isinstance(literal, str):
            return self.nodes.literal(literal)
        rule = f"a literal is a text such as {self.nodes.name(0)!r}, or an ndg.Literal"
        check_kind(literal, Literal, rule, "write layer:unit, with ~ in front for a node that is off", GraphError)
        self.nodes.layer(literal.node)
        return literal

    def key(self, literal: Literal | str) -> str:
        """Key of a literal's class in `to_networkx`."""
        number = self.condensation.component[self.literal(literal).code]
        return self.nodes.text(Literal.of(self.condensation.members[number][0]))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, from the data of the run; empty if unknown."""
        names = self.provenance.get(CLASS_NAMES)
        return tuple(map(str, names)) if isinstance(names, list) and len(names) == self.nodes.labels else ()

    def with_class_names(self, names: Iterable[str]) -> NDG:
        """Graph with names of its classes, which pictures and `rules` show."""
        check_list(names, "class_names")
        check_kind(names, Iterable, "names of classes are a list of texts, one per class", "pass a list", ShapeError)
        names = [str(name).encode("utf-8", "backslashreplace").decode() for name in names]
        if len(names) != self.nodes.labels:
            raise ShapeError(
                f"one name per class: expected {self.nodes.labels}, got {len(names)}; give the names in class order"
            )
        return replace(self, provenance=self.provenance | {CLASS_NAMES: names})

    def with_scores(self, scores: Scored | Iterable[Scored]) -> NDG:
        """Graph with scores on its nodes, by method; GraphError for units it lacks."""
        scored = dict(self.scored)
        several = scores if isinstance(scores, Iterable) and not isinstance(scores, Scored) else [scores]
        for method_scores in several:
            check_kind(method_scores, Scored, "scores come from ndg.score", "pass its result, or several", GraphError)
            values = {self.nodes.name(node): value for node, value in sorted(method_scores.by_node(self.nodes).items())}
            scored[method_scores.method] = {"measure": method_scores.measure, "values": values}
        return replace(self, scored=scored)

    @property
    def scores(self) -> dict[str, dict[int, float]]:
        """Scores on the nodes, by method and node."""
        index = {name: node for node, name in enumerate(self.nodes.nodes())}
        return {
            method: {index[name]: value for name, value in scored["values"].items() if name in index}
            for method, scored in self.scored.items()
        }

    def with_verdicts(self, trials: object) -> NDG:
        """Graph with the verdicts of an `EdgeTrials`; GraphError for that of another graph."""
        if not isinstance(trials, EdgeEvidence):
            raise GraphError(
                f"verdicts must come from a trial of edges; got {type(trials).__name__}; pass the result of "
                "ndg.abstraction.edges.try_edges(model, graph, held_out, fit=train)"
            )
        if trials.graph != self.digest:
            raise GraphError(
                f"verdicts must belong to this graph: expected digest {self.digest}, got {trials.graph}; "
                "try the edges of this graph"
            )
        return replace(self, verdicts=trials.verdicts)

    def with_conjunctions(self, conjunctions: Conjunctive | Iterable[Conjunction]) -> NDG:
        """Graph with these further conjunctions; of `SufficientSets` those that survive."""
        more: Any = conjunctions
        if isinstance(conjunctions, Conjunctive) and not isinstance(conjunctions, NDG):
            more = conjunctions.conjunctions(self.nodes)
        return replace(self, conjunctions=(*self.conjunctions, *conjunctive.checked(more, self.nodes)))

    def with_votes(self, votes: Votes | Iterable[Votes]) -> NDG:
        """Graph with these votes, in place of earlier ones of the same layers."""
        more = hyperedges.voting(votes, self.nodes)
        layers = {each.layer for each in more}
        return replace(self, votes=(*(each for each in self.votes if each.layer not in layers), *more))

    def causal(self, at_least: float | int = 0.9, how: str = "closure", constraints: bool = False) -> NDG:
        """Graph of the implications that survived the forcing of their antecedent.

        `ndg.graph.verdicts` defines survival; `at_least` may differ from the bar of the trial. `how` is `alone` or
        `closure`. `constraints` keeps the implications within a layer, which cannot be tested. The choice is added to
        `provenance["filters"]`. Conjunctions stay if the lower end of their interval is at least `at_least`, and votes
        stay. Raises GraphError if the edges were never tried, or not in that way.
        """
        surviving = [each.interval[0] >= at_least for each in self.conjunctions]
        survived = replace(self, conjunctions=tuple(compress(self.conjunctions, surviving)))
        choice = {"at_least": at_least, "how": how, "constraints": constraints}
        if self.verdicts is None and not len(self) and (self.conjunctions or self.votes):
            return survived.derived(self.implications, {"causal": choice})
        if self.verdicts is None:
            raise GraphError(
                "a causal graph needs a trial of its edges; those of this graph were never tried; "
                "call graph.with_verdicts(ndg.abstraction.edges.try_edges(model, graph, held_out, fit=train)) first"
            )
        judged = self.verdicts.judged(self.implications, how, at_least)
        mask = (judged == SURVIVES) | (constraints & (judged == CONSTRAINT))
        choice = {"rule": self.verdicts.rule, "at_least": at_least, "how": how, "constraints": constraints}
        return survived.derived(edges.select(self.implications, mask), {"causal": self.verdicts.facts | choice})

    def condensed(self, only: Collection[str] | None = None) -> Condensed:
        """Condensed graph as rows for writers, optionally of the classes `only`."""
        facts = {
            "nodes": self.nodes.to_dict(),
            "constants": [self.nodes.text(literal) for literal in self.constants],
            "criterion": self.criterion,
            "examples": self.examples,
            "binarizer": self.binarizer,
            "digest": self.digest,
        }
        facts |= {"votes": causal_rows.facts(self.votes)} if self.votes else {}
        return Condensed(self.implications, self.condensation, facts, self.scores, only, self.conjunctions, self.votes)

    def to_networkx(self, flat: bool = True) -> nx.DiGraph:
        """Condensed graph as a new, frozen networkx.DiGraph, acyclic without conjunctions and votes.

        There is one node per class; its key is the text of the literal with the smallest node index, such as `label:3`
        or `~latent:7`. Attributes are those of `ndg.graph.export.Condensed` and of `Verdicts.attributes`: text, numbers
        and booleans, which every writer of networkx takes. With `flat=False` they are lists and dictionaries, and None
        where undefined. A conjunction is a node of kind "conjunction", with an edge from each member and one to the
        consequent; a vote is an edge of kind "vote" (`ndg.graph.causal_rows`).
        """
        digraph = to_networkx(self.condensed())
        if self.verdicts is not None:
            digraph = self.verdicts.attributes(digraph, self.implications)
        return flat_networkx(digraph) if flat else digraph

    @classmethod
    def from_networkx(cls, graph: nx.DiGraph, bits: BitMatrix | None = None) -> NDG:
        """Graph from a DiGraph of literals or of `to_networkx`, with counts from `bits` alone."""
        return cls(*networkx_reader.read(graph, None if bits is None else packed(bits)))

    def scm(self) -> SCM:
        """Graph as a structural causal model."""
        return SCM(self.nodes, self._chaining)

    def reduction(self) -> tuple[tuple[str, str], ...]:
        """Transitive reduction of the implications of `to_networkx`."""
        named = keys(self.implications, self.condensation)
        tails = self.condensation.tails[self._reach.essential].tolist()
        heads = self.condensation.heads[self._reach.essential].tolist()
        return tuple((named[tail], named[head]) for tail, head in zip(tails, heads, strict=True))

    def stats(self, bits: BitMatrix | None = None) -> GraphStats:
        """Figures of the paper's Table 2; agreement is counted on `bits`, or else bounded."""
        figures = statistics(self.implications, self._reach, None if bits is None else packed(bits))
        votes = sum(each.edges for each in self.votes)
        return replace(figures, conjunctions=len(self.conjunctions), votes=votes)

    def conjunctions_frame(self) -> pd.DataFrame:
        """One row per conjunction: members, consequent, counts, survival with its Wilson interval, effects."""
        return conjunctive.frame(self.conjunctions, self.nodes)

    def votes_frame(self) -> pd.DataFrame:
        """One row per vote: literal, label, weight above 0, layer."""
        return hyperedges.votes_frame(self.votes, self.nodes)

    def filter(
        self,
        min_precision: float | int | None = None,
        min_support: int | None = None,
        min_recall: float | int | None = None,
        layers: Iterable[str] | None = None,
    ) -> NDG:
        """Graph of the implications that meet all bounds, over the same nodes.

        An implication stays iff it and its contrapositive both meet the bounds, so the graph remains skew-symmetric.
        `layers` keeps those among these layers and the labels, and conjunctions and votes likewise; the other bounds
        concern implications alone. The bounds are added to `provenance["filters"]`.
        """
        bounds: dict[str, Any] = {"min_precision": min_precision, "min_support": min_support, "min_recall": min_recall}
        bounds = {name: plain_number(bound) for name, bound in bounds.items()}
        for name, bound in bounds.items():
            if bound is not None:
                check_kind(bound, (int, float), f"{name} is a number, or None", "leave it out for no bound", GraphError)
        bounds["layers"] = None if layers is None else _names(layers)
        implications = edges.keep(self.implications, **bounds)
        inside = None if layers is None else edges.marked(self.nodes, (LABEL, *bounds["layers"]))
        return self.derived(implications, {name: bound for name, bound in bounds.items() if bound is not None}, inside)

    def subgraph(self, layers: Iterable[str], labels: bool = True) -> NDG:
        """Graph over the units of these layers, with the labels if wanted."""
        layers = _names(layers)
        return self.derived(edges.restrict(self.implications, layers, labels), {"subgraph": layers, "labels": labels})

    def derived(
        self, implications: Implications, step: dict[str, Any], inside: Bool[np.ndarray, " node"] | None = None
    ) -> NDG:
        """Graph of some of these implications; `step` is added to `provenance["filters"]`.

        Conjunctions and votes stay if their nodes do, and are marked `inside`; the step counts the others.
        """
        spaces = self.nodes, implications.nodes
        conjunctions, votes, left = hyperedges.part(self.conjunctions, self.votes, spaces, inside)
        steps = [*self.provenance.get("filters", []), step | left]
        verdicts = None if self.verdicts is None else self.verdicts.among(self.implications, implications)
        return NDG(implications, self.provenance | {"filters": steps}, self.scored, verdicts, conjunctions, votes)

    def rules(self, limit: int | None = None, reduced: bool = True) -> str:
        """Graph in words; `reduced` leaves out rules that follow from others."""
        limit = plain_number(limit)
        if limit is not None and (type(limit) is not int or limit < 0):
            raise GraphError(f"limit is a number of lines, 0 or more, or None for all; got {limit!r}; pass limit=10")
        text = rules(self.implications, self._reach, limit, reduced, self.class_names)
        more = hyperedges.sentences(self.conjunctions, self.votes, self.nodes, limit, self.class_names)
        return "\n".join([text, *map(printable, more)])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Path of the JSON file written atomically (schema in `ndg.graph.files`)."""
        return files.save(path, self._stored())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NDG:
        """Graph of a file of `save`; GraphError if damaged."""
        return cls(**vars(files.load(path)))

    def __len__(self) -> int:
        """Number of implications."""
        return len(self.implications)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NDG) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type[NDG], tuple[Any, ...]]:
        return NDG, tuple(getattr(self, each.name) for each in fields(self))

    def __repr__(self) -> str:
        concepts = f"{len(self.nodes.concepts)} concepts, " if self.nodes.concepts else ""
        return (
            f"NDG({self.nodes.labels} labels, {self.nodes.neurons} neurons, {concepts}{len(self)} implications"
            f"{hyperedges.size(self.conjunctions, self.votes)}, {self.examples} examples"
            + (f", edges judged by the rule {self.verdicts.rule!r})" if self.verdicts is not None else ")")
        )

    def _repr_html_(self) -> str:
        lines = self.rules(limit=10).split("\n")[1:]
        return f"<p>{escape(header(self.implications))}</p><pre>{escape(chr(10).join(lines))}</pre>"


def _names(layers: Iterable[str]) -> list[str]:
    return names_of(layers, "layers= has names of layers", GraphError)
