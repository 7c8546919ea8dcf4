"""Verdicts: which implications hold when their antecedent is forced.

An implication p -> q is forced if p lies in an earlier layer than q, labels last. On the held-out examples without p, p
is made to hold and q is read again: `gained` counts examples on which q holds only then, `lost` those on which it held
only before. The implication survives iff the lower end of the 95 % Wilson interval of a rate is at least a bar, and an
exact McNemar test of "gained more than lost" rejects at a Benjamini-Hochberg level over all implications that were
forced on enough examples. The contrapositive has the same verdict.

The rate is that of q after forcing. Its examples are those of a rule:

- `antecedent and consequent false`: those on which q did not hold before either, so only what forcing changed counts;
- `antecedent false`: all without p, the rule of earlier versions, which a frequent q inflates. Their difference is the
  inflation by base rates. Files of earlier versions name no rule; their verdicts keep this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from ndg.errors import GraphError
from ndg.graph.edges import EdgeCount, EdgeRate, contrapositives, end_texts, plain
from ndg.intervals import wilson
from ndg.mining.implications import Implications
from ndg.mining.significance import q_values
from ndg.nodes import LABEL, NodeSpace

if TYPE_CHECKING:
    import networkx as nx

KINDS = ("left out", "forced", "contrapositive", "within")
LEFT_OUT, FORCED, CONTRAPOSITIVE, WITHIN = range(4)
VERDICTS = ("not tried", "untested", "fails", "survives", "constraint")
NOT_TRIED, UNTESTED, FAILS, SURVIVES, CONSTRAINT = range(5)
BOTH_FALSE, ANTECEDENT_FALSE = RULES = ("antecedent and consequent false", "antecedent false")

Edges = Int64[np.ndarray, " forced"]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Counts of each forced implication of a graph, in its order.

    `order` names the layers on trial as they run, labels last. Of `n` examples without the antecedent, the consequent
    holds on `before`. `gained` and `lost` are by the way of forcing: the antecedent `alone`, with its `closure` within
    its layer, or as a control the `rest` of that closure. `q_values` are over all implications of the trial; NaN for
    fewer than `least` examples. `facts` is plain JSON: the `rule`, the bar `at_least`, the level `q`, `least`, and what
    was written on which examples.
    """

    order: tuple[str, ...]
    n: Edges
    before: Edges
    gained: dict[str, Edges]
    lost: dict[str, Edges]
    q_values: dict[str, Float64[np.ndarray, " forced"]]
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        order: Sequence[str],
        n: Edges,
        before: Edges,
        gained: Mapping[str, Edges],
        lost: Mapping[str, Edges],
        facts: Mapping[str, Any],
    ) -> Verdicts:
        """Verdicts of a trial, one family of tests per way of forcing."""
        nothing = {how: np.full(len(n), np.nan) for how in gained}
        return cls(tuple(order), n, before, dict(gained), dict(lost), nothing, dict(facts)).by(facts.get("rule"))

    def by(self, rule: str | None) -> Verdicts:
        """Verdicts on the same counts by one of `RULES`, None that of earlier versions.

        GraphError for another.
        """
        if rule not in (None, *RULES):
            raise GraphError(f"verdicts are by one of the rules {' and '.join(map(repr, RULES))}; got {rule!r}")
        verdicts = replace(self, facts=self.facts if rule is None else self.facts | {"rule": rule})
        tested = verdicts.tested
        ranks = {how: np.full(len(self.n), np.nan) for how in self.how}
        for how, column in ranks.items():
            column[tested] = q_values(self.p_values(how)[tested], int(tested.sum()))
        return replace(verdicts, q_values=ranks)

    @property
    def rule(self) -> str:
        """Rule by which the examples of the rate are chosen, one of `RULES`."""
        return str(self.facts.get("rule", ANTECEDENT_FALSE))

    @property
    def n_false(self) -> Edges:
        """Of the `n` examples, those on which the consequent does not hold either."""
        return self.n - self.before

    @property
    def how(self) -> tuple[str, ...]:
        """Ways of forcing the antecedents."""
        return tuple(self.gained)

    @property
    def tested(self) -> Bool[np.ndarray, " forced"]:
        """Whether each implication had enough examples by the rule."""
        return self._judged_n >= self.facts["least"]

    @property
    def _judged_n(self) -> Edges:
        return self.n_false if self.rule == BOTH_FALSE else self.n

    def after(self, how: str) -> Edges:
        """Of the `n` examples, those on which the consequent holds after forcing."""
        return self.before + self.gained[how] - self.lost[how]

    def judged_counts(self, how: str) -> tuple[Edges, Edges]:
        """Examples of the rule on which the consequent holds after forcing, and all."""
        return self.gained[how] if self.rule == BOTH_FALSE else self.after(how), self._judged_n

    def p_values(self, how: str) -> Float64[np.ndarray, " forced"]:
        """P-values of the exact one-sided McNemar test."""
        return mcnemar(self.gained[how], self.lost[how])

    def survives(self, how: str, at_least: float | int | None = None) -> Bool[np.ndarray, " forced"]:
        """Mask of forced implications that survive.

        GraphError for an impossible bar or way.
        """
        bar = self.facts["at_least"] if at_least is None else at_least
        if not 0 <= bar <= 1:
            raise GraphError(f"at_least must be a probability between 0 and 1; got {bar}")
        if how not in self.gained:
            raise GraphError(
                f"how must be a way in which antecedents were forced ({' and '.join(self.how)}); got how={how!r}; "
                "choose one of these, or try the edges again with that"
            )
        low, _ = wilson(*self.judged_counts(how))
        with np.errstate(invalid="ignore"):
            return self.tested & (low >= bar) & (self.q_values[how] <= self.facts["q"])

    def judged(
        self, implications: Implications, how: str, at_least: float | int | None = None
    ) -> Int8[np.ndarray, " edge"]:
        """Verdict on every implication, or its contrapositive, as its place in `VERDICTS`."""
        position, kind = places(implications, self.order), kinds(implications, self.order)
        forced = np.where(self.survives(how, at_least), SURVIVES, np.where(self.tested, FAILS, UNTESTED))
        verdicts = np.where(kind == WITHIN, CONSTRAINT, NOT_TRIED).astype(np.int8)
        verdicts[position >= 0] = forced[position[position >= 0]]
        return verdicts

    def among(self, before: Implications, after: Implications) -> Verdicts:
        """Verdicts on the implications that remain in `after`."""
        forced = _forced(before, self.order)
        remaining_layers = {LABEL, *(layer.name for layer in after.nodes.layers)}
        order = tuple(name for name in self.order if name in remaining_layers)
        remaining = _forced(after, order)
        width = 2 * len(before.nodes)
        keys = before.antecedents[forced].astype(np.int64) * width + before.consequents[forced]
        numbers = _numbers(after.nodes, before.nodes)
        tails, heads = (numbers[codes[remaining]] for codes in (after.antecedents, after.consequents))
        places = np.searchsorted(keys, tails * width + heads)
        columns = {
            name: {how: column[places] for how, column in getattr(self, name).items()}
            for name in ("gained", "lost", "q_values")
        }
        return replace(self, order=order, n=self.n[places], before=self.before[places], **columns)

    def check(self, implications: Implications) -> None:
        """Raise GraphError unless there is one count per forced implication."""
        forced = len(_forced(implications, self.order))
        columns = [self.n, self.before, *self.gained.values(), *self.lost.values(), *self.q_values.values()]
        lengths = sorted({len(column) for column in columns})
        if lengths != [forced] or not self.gained.keys() == self.lost.keys() == self.q_values.keys():
            raise GraphError(
                f"verdicts must have one count per forced implication: expected {forced}, got {lengths}; "
                "try the edges of this graph"
            )

    def attributes(self, graph: nx.DiGraph, implications: Implications) -> nx.DiGraph:
        """Condensed graph with the verdicts of the strongest implications on its edges.

        They are `verdict_alone`, `verdict_closure` and, for a forced implication, the judged rates
        `interventional_alone` and `interventional_closure`. The graph has the `verdict_rule`.
        """
        graph.graph["verdict_rule"] = self.rule
        position = {pair: edge for edge, pair in enumerate(zip(*end_texts(implications).values(), strict=True))}
        position_of = np.full(len(implications), -1)
        position_of[_forced(implications, self.order)] = np.arange(len(self.n))
        for how in self.how:
            judged, (held, n) = self.judged(implications, how), self.judged_counts(how)
            for _, _, row in graph.edges(data=True):
                if "antecedent" not in row:  # a conjunction's edge, or a vote
                    continue
                edge = position[row["antecedent"], row["consequent"]]
                row[f"verdict_{how}"] = VERDICTS[judged[edge]]
                if position_of[edge] >= 0 and n[position_of[edge]]:
                    row[f"interventional_{how}"] = float(held[position_of[edge]] / n[position_of[edge]])
        return graph

    @cached_property
    def arrays(self) -> dict[str, Edges]:
        """Integer arrays by their names in a file."""
        gained = {f"gained {how}": column for how, column in self.gained.items()}
        lost = {f"lost {how}": column for how, column in self.lost.items()}
        return {"n": self.n, "before": self.before, **gained, **lost}

    def head(self) -> dict[str, Any]:
        """Everything but the integers, as plain JSON."""
        ranks = {how: plain(column) for how, column in self.q_values.items()}
        return {"order": list(self.order), "how": list(self.how), "facts": self.facts, "q_values": ranks}

    @classmethod
    def read(cls, head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Verdicts:
        """Verdicts from `head` and `arrays`."""
        columns = {name: np.array(numbers, np.int64) for name, numbers in arrays.items()}
        gained, lost = ({how: columns[f"{name} {how}"] for how in head["how"]} for name in ("gained", "lost"))
        ranks = {how: np.array(head["q_values"][how], np.float64) for how in head["how"]}  # NaN for None
        facts = dict(head["facts"])
        if not all(isinstance(facts[name], int | float) for name in ("at_least", "q", "least")):
            raise ValueError("the bars of its verdicts must be numbers")
        if facts.get("rule", ANTECEDENT_FALSE) not in RULES:
            raise ValueError(f"the rule of its verdicts must be one of {', '.join(RULES)}, not {facts['rule']!r}")
        if any(column.ndim != 1 for column in [*columns.values(), *ranks.values()]):
            raise ValueError("the counts of its verdicts must be lists of numbers")
        return cls(tuple(map(str, head["order"])), columns["n"], columns["before"], gained, lost, ranks, facts)


def mcnemar(gained: EdgeCount, lost: EdgeCount) -> EdgeRate:
    """P-value of the exact one-sided McNemar test of more gained than lost."""
    from scipy.special import betainc

    # The tail of a binomial as an incomplete beta function: scipy.stats takes half a second to import.
    return np.asarray(betainc(gained, lost + 1, 0.5), np.float64)


def kinds(implications: Implications, order: Sequence[str]) -> Int8[np.ndarray, " edge"]:
    """Role of each implication in a trial, as its place in `KINDS`.

    An implication from an earlier to a later layer of `order` is forced; one from a later to an earlier is its
    contrapositive; one within a layer is a constraint. Those that touch a concept or another layer are left out.
    """
    depth = depths(implications.nodes, order)
    tail, head = depth[implications.antecedents >> 1], depth[implications.consequents >> 1]
    roles = np.where(tail < head, FORCED, np.where(tail > head, CONTRAPOSITIVE, WITHIN))
    return np.where((tail < 0) | (head < 0), LEFT_OUT, roles).astype(np.int8)


def depths(nodes: NodeSpace, order: Iterable[str]) -> Int64[np.ndarray, " node"]:
    """Place of each node's layer in `order`, else -1."""
    places = np.full(len(nodes), -1, np.int64)
    for place, name in enumerate(order):
        places[nodes.slice(name)] = place
    return places


def places(implications: Implications, order: Sequence[str]) -> EdgeCount:
    """Position of each implication or contrapositive among the forced, else -1."""
    forced = _forced(implications, order)
    positions = np.full(len(implications), -1, np.int64)
    positions[forced] = np.arange(len(forced))
    positions[contrapositives(implications)[forced]] = np.arange(len(forced))
    return positions


def _forced(implications: Implications, order: Sequence[str]) -> Int64[np.ndarray, " forced"]:
    return np.flatnonzero(kinds(implications, order) == FORCED)


def _numbers(nodes: NodeSpace, others: NodeSpace) -> Int64[np.ndarray, " literal"]:
    """Code of each literal among other nodes with all its layers."""
    codes = np.empty(len(nodes), np.int64)
    for name, rows in nodes.groups:
        codes[rows] = np.arange(rows.stop - rows.start) + others.slice(name).start
    return (2 * codes[:, None] + np.arange(2)).reshape(-1)
