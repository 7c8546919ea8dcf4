"""Which implications hold when their antecedent is forced, and the graph of those that do.

An implication p -> q is forced where p lies in an earlier layer than q, labels last. On the held-out examples on which
p does not hold, p is made to hold and q is read again: `gained` counts those on which q holds only then, `lost` those
on which it held only before. It survives iff the lower end of the 95 % Wilson interval of "q holds after forcing" is at
least a bar, and an exact McNemar test of "gained more than lost" rejects at a Benjamini-Hochberg level over all
implications that were forced on enough examples. Its contrapositive has the same verdict and is not forced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from ndg.errors import GraphError
from ndg.graph.edges import contrapositives
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

Edges = Int64[np.ndarray, " forced"]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Counts for each forced implication of a graph, in its order.

    `order` names the layers on trial in the order in which they run, the labels last. Of `n` examples on which the
    antecedent does not hold, the consequent holds on `before`; `gained` and `lost` are by how the antecedent was forced
    (`alone`, with its `closure` within its layer, or as a control the `rest` of that closure). `q_values` are over all
    implications of the trial, also when some of them have been taken away since; NaN where fewer than `least` examples
    were there. `facts` is plain JSON: the bar `at_least`, the level `q`, `least`, and what was written on which
    examples.
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
        """The verdicts of a whole trial, whose tests are one family for each way of forcing."""
        tested = n >= facts["least"]
        found = {}
        for how in gained:
            found[how] = np.full(len(n), np.nan)
            found[how][tested] = q_values(mcnemar(gained[how][tested], lost[how][tested]), int(tested.sum()))
        return cls(tuple(order), n, before, dict(gained), dict(lost), found, dict(facts))

    @property
    def how(self) -> tuple[str, ...]:
        """The ways in which antecedents were forced."""
        return tuple(self.gained)

    @property
    def tested(self) -> Bool[np.ndarray, " forced"]:
        """Whether there were enough examples."""
        return self.n >= self.facts["least"]

    def after(self, how: str) -> Edges:
        """Of the `n` examples those on which the consequent holds after forcing."""
        return self.before + self.gained[how] - self.lost[how]

    def p_values(self, how: str) -> Float64[np.ndarray, " forced"]:
        """Of the exact one-sided McNemar test."""
        return mcnemar(self.gained[how], self.lost[how])

    def survives(self, how: str, at_least: float | int | None = None) -> Bool[np.ndarray, " forced"]:
        """Whether each forced implication survives, under another bar than the trial's if given.

        Raises GraphError for a bar that is no probability and for a way of forcing that was not tried.
        """
        bar = self.facts["at_least"] if at_least is None else at_least
        if not 0 <= bar <= 1:
            raise GraphError(f"at_least is a probability between 0 and 1; got {bar}")
        if how not in self.gained:
            raise GraphError(
                f"edges were tried with their antecedent forced {' and '.join(self.how)}; got how={how!r}; choose one "
                "of these, or try the edges again with that"
            )
        low, _ = wilson(self.after(how), self.n)
        with np.errstate(invalid="ignore"):
            return self.tested & (low >= bar) & (self.q_values[how] <= self.facts["q"])

    def judged(
        self, implications: Implications, how: str, at_least: float | int | None = None
    ) -> Int8[np.ndarray, " edge"]:
        """The verdict on every implication, as its place in `VERDICTS`; contrapositives have that of the forced one."""
        place, kind = places(implications, self.order), kinds(implications, self.order)
        own = np.where(self.survives(how, at_least), SURVIVES, np.where(self.tested, FAILS, UNTESTED)).astype(np.int8)
        found = np.full(len(implications), NOT_TRIED, np.int8)
        found[kind == WITHIN] = CONSTRAINT
        found[place >= 0] = own[place[place >= 0]]
        return found

    def among(self, before: Implications, after: Implications) -> Verdicts:
        """The verdicts on those implications that are still there."""
        forced = _forced(before, self.order)
        order = tuple(name for name in self.order if name == LABEL or name in {one.name for one in after.nodes.layers})
        left = _forced(after, order)
        width = 2 * len(before.nodes)
        keys = before.antecedents[forced].astype(np.int64) * width + before.consequents[forced]
        numbers = _numbers(after.nodes, before.nodes)
        tails, heads = (numbers[codes[left]] for codes in (after.antecedents, after.consequents))
        return self._at(np.searchsorted(keys, tails * width + heads), order)

    def _at(self, places: Int64[np.ndarray, " left"], order: tuple[str, ...]) -> Verdicts:
        def part(by: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {how: column[places] for how, column in by.items()}

        return replace(
            self,
            order=order,
            n=self.n[places],
            before=self.before[places],
            gained=part(self.gained),
            lost=part(self.lost),
            q_values=part(self.q_values),
        )

    def check(self, implications: Implications) -> None:
        """Raise GraphError unless there is one count for each implication that can be forced."""
        forced = len(_forced(implications, self.order))
        columns = [self.n, self.before, *self.gained.values(), *self.lost.values(), *self.q_values.values()]
        if any(len(column) != forced for column in columns) or not (
            self.gained.keys() == self.lost.keys() == self.q_values.keys()
        ):
            raise GraphError(
                f"verdicts have one count for each forced implication; the graph has {forced}, the verdicts "
                f"{sorted({len(column) for column in columns})}; try the edges of this graph"
            )

    def attributes(self, graph: nx.DiGraph, implications: Implications) -> nx.DiGraph:
        """A condensed graph whose edges say what was found of their strongest implication: `verdict_alone`,
        `verdict_closure`, and `interventional_alone`, `interventional_closure` where it was forced."""
        from ndg.graph.edges import texts_of

        texts = texts_of(implications.nodes)
        ends = zip(texts[implications.antecedents], texts[implications.consequents], strict=True)
        position = {pair: edge for edge, pair in enumerate(ends)}
        own = np.full(len(implications), -1)
        own[_forced(implications, self.order)] = np.arange(len(self.n))
        for how in self.how:
            judged, after = self.judged(implications, how), self.after(how)
            for _, _, row in graph.edges(data=True):
                edge = position[row["antecedent"], row["consequent"]]
                row[f"verdict_{how}"] = VERDICTS[judged[edge]]
                if own[edge] >= 0 and self.n[own[edge]]:
                    row[f"interventional_{how}"] = float(after[own[edge]] / self.n[own[edge]])
        return graph

    @cached_property
    def arrays(self) -> dict[str, Edges]:
        """The integers by the names that they have in a file."""
        by_how = {f"{name} {how}": of[how] for name, of in (("gained", self.gained), ("lost", self.lost)) for how in of}
        return {"n": self.n, "before": self.before, **by_how}

    def head(self) -> dict[str, Any]:
        """All but the integers, as plain JSON."""
        ranks = {
            how: [None if np.isnan(value) else value for value in column.tolist()]
            for how, column in self.q_values.items()
        }
        return {"order": list(self.order), "how": list(self.how), "facts": self.facts, "q_values": ranks}

    @classmethod
    def read(cls, head: Mapping[str, Any], arrays: Mapping[str, Any]) -> Verdicts:
        """Inverse of `head` and `arrays`."""
        columns = {name: np.array(numbers, np.int64) for name, numbers in arrays.items()}
        ranks = head["q_values"]
        return cls(
            tuple(head["order"]),
            columns["n"],
            columns["before"],
            {how: columns[f"gained {how}"] for how in head["how"]},
            {how: columns[f"lost {how}"] for how in head["how"]},
            {how: np.array([np.nan if value is None else value for value in ranks[how]], float) for how in head["how"]},
            dict(head["facts"]),
        )


def mcnemar(gained: Int64[np.ndarray, " edge"], lost: Int64[np.ndarray, " edge"]) -> Float64[np.ndarray, " edge"]:
    """P-value of the exact McNemar test, one-sided: so many or more of gained + lost were gained, were both as likely.

    One-sided, since an implication that forcing makes hold less often does not survive. 1 where neither occurred.
    """
    from scipy.stats import binom

    return np.asarray(binom.sf(gained - 1, gained + lost, 0.5), np.float64)


def kinds(implications: Implications, order: Sequence[str]) -> Int8[np.ndarray, " edge"]:
    """How each implication stands to a trial of the layers in `order`, as its place in `KINDS`.

    An implication from an earlier to a later layer is forced; one from a later to an earlier is its contrapositive; one
    within a layer is a constraint. Those that touch a concept or another layer are left out.
    """
    depth = depths(implications.nodes, order)
    tail, head = depth[implications.antecedents >> 1], depth[implications.consequents >> 1]
    found = np.where(tail < head, FORCED, np.where(tail > head, CONTRAPOSITIVE, WITHIN))
    return np.where((tail < 0) | (head < 0), LEFT_OUT, found).astype(np.int8)


def depths(nodes: NodeSpace, order: Iterable[str]) -> Int64[np.ndarray, " node"]:
    """Place of the layer of each node in `order`; -1 where it is not there."""
    found = np.full(len(nodes), -1, np.int64)
    for place, name in enumerate(order):
        found[nodes.slice(name)] = place
    return found


def places(implications: Implications, order: Sequence[str]) -> Int64[np.ndarray, " edge"]:
    """Where the counts of each implication, or of its contrapositive, stand among the forced ones; -1 for none."""
    forced = _forced(implications, order)
    found = np.full(len(implications), -1, np.int64)
    found[forced] = np.arange(len(forced))
    found[contrapositives(implications)[forced]] = np.arange(len(forced))
    return found


def _forced(implications: Implications, order: Sequence[str]) -> Int64[np.ndarray, " forced"]:
    return np.flatnonzero(kinds(implications, order) == FORCED)


def _numbers(nodes: NodeSpace, others: NodeSpace) -> Int64[np.ndarray, " literal"]:
    """The code that each literal has among other nodes, which hold all of its layers and the same concepts."""
    found = np.empty(len(nodes), np.int64)
    for name, where in nodes.groups:
        found[where] = np.arange(where.stop - where.start) + others.slice(name).start
    return (2 * found[:, None] + np.arange(2)).reshape(-1)
