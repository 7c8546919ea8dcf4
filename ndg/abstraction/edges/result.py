"""Results of a trial of edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from ndg.abstraction.edges.forcing import REST
from ndg.graph.edges import contrapositives, texts_of
from ndg.graph.verdicts import ANTECEDENT_FALSE, FORCED, KINDS, LEFT_OUT, VERDICTS, WITHIN, Verdicts, depths, kinds
from ndg.intervals import rate, wilson
from ndg.mining.implications import Implications
from ndg.results import Result, Row

Counted = Int64[np.ndarray, " edge"]


@dataclass(frozen=True, eq=False)
class EdgeTrials(Result):
    """Verdicts on forced edges, beside observations of all edges.

    `holds` counts examples by literal, `support` those on which both ends of an edge hold. `sizes` are the numbers of
    neurons set for each forced edge; `changed` counts those whose boolean changed, over its `n` examples. `reason`
    tells why the executor was chosen.

    >>> forced = ndg.try_edges(net, graph, data, fit=data)
    >>> forced.how
    ('alone', 'closure')
    """

    implications: Implications
    verdicts: Verdicts
    holds: Int64[np.ndarray, " literal"]
    support: Counted
    sizes: dict[str, Int64[np.ndarray, " forced"]]
    changed: dict[str, Int64[np.ndarray, " forced"]]
    executor: str
    reason: str

    @property
    def graph(self) -> str:
        """Digest of the graph whose edges were tried."""
        return str(self.verdicts.facts["graph"])

    @property
    def how(self) -> tuple[str, ...]:
        """The ways in which antecedents were forced."""
        return self.verdicts.how

    def columns(self, how: str, at_least: float | int | None = None) -> dict[str, np.ndarray]:
        """Figures of every edge for one way of forcing.

        `distance` is the number of layers from antecedent to consequent. Of `n` examples without the antecedent, the
        consequent holds on `before`, and on `after` when the antecedent is forced; `n_false` of them lack it before.
        `interventional`, by which edges are judged, is `gained` of `n_false`; `interventional_all` is `after` of `n`,
        and `inflation` is what it has more, by base rates. `observed` and `support` are of the examples on which the
        antecedent holds anyway. Edges that were not forced have NaN, or -1 for counts.
        """
        edges, verdicts, nodes = self.implications, self.verdicts, self.implications.nodes
        kind = kinds(edges, verdicts.order)
        forced = kind == FORCED
        depth, texts = depths(nodes, verdicts.order), texts_of(nodes)
        names = np.array([name for name, where in nodes.groups for _ in range(where.stop - where.start)], object)
        tails, heads = edges.antecedents >> 1, edges.consequents >> 1

        def spread(column: np.ndarray) -> np.ndarray:
            whole = np.full(len(edges), -1 if column.dtype.kind == "i" else np.nan, column.dtype)
            whole[forced] = column
            return whole

        after, n, n_false = verdicts.after(how), verdicts.n, verdicts.n_false
        turned, everywhere = _rate(verdicts.gained[how], n_false), _rate(after, n)
        low, high = wilson(verdicts.gained[how], n_false)
        observed = self.holds[edges.antecedents]
        observed_low, observed_high = wilson(self.support, observed)
        there = np.where(kind == LEFT_OUT, np.nan, 1.0)
        return {
            "antecedent": texts[edges.antecedents],
            "consequent": texts[edges.consequents],
            "antecedent_layer": names[tails],
            "consequent_layer": names[heads],
            "distance": np.where(kind == LEFT_OUT, np.nan, depth[heads] - depth[tails]),
            "kind": np.array(KINDS, object)[kind],
            "how": np.full(len(edges), how, object),
            "verdict": np.array(VERDICTS, object)[verdicts.judged(edges, how, at_least)],
            "n": spread(n),
            "n_false": spread(n_false),
            "before": spread(verdicts.before),
            "after": spread(after),
            "gained": spread(verdicts.gained[how]),
            "lost": spread(verdicts.lost[how]),
            "rate_before": spread(_rate(verdicts.before, n)),
            "interventional": spread(turned),
            "interventional_low": spread(np.where(n_false > 0, low, np.nan)),
            "interventional_high": spread(np.where(n_false > 0, high, np.nan)),
            "interventional_all": spread(everywhere),
            "inflation": spread(everywhere - turned),
            "p_value": spread(verdicts.p_values(how)),
            "q_value": spread(verdicts.q_values[how]),
            "observed": observed,
            "support": self.support,
            "observational": there * _rate(self.support, observed),
            "observational_low": there * np.where(observed > 0, observed_low, np.nan),
            "observational_high": there * np.where(observed > 0, observed_high, np.nan),
            "neurons_set": spread(self.sizes[how]),
            "neurons_changed_mean": spread(_rate(self.changed[how], n)),
        }

    def rows(self, how: str | None = None, at_least: float | int | None = None) -> list[Row]:
        """One row per edge and way of forcing.

        Null if not forced itself.
        """
        rows = []
        for way in self.how if how is None else [how]:
            columns = self.columns(way, at_least)
            forced = (columns["kind"] == KINDS[FORCED]).tolist()
            counts = ("n", "n_false", "before", "after", "gained", "lost", "neurons_set")
            values = {
                name: [own if was else None for own, was in zip(column.tolist(), forced, strict=True)]
                if name in counts
                else [None if own != own else own for own in column.tolist()]
                for name, column in columns.items()
            }
            values["distance"] = [None if own is None else int(own) for own in values["distance"]]
            rows += [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
        return rows

    def summary(self, at_least: float | int | None = None) -> list[Row]:
        """One row per pair of layers and way of forcing.

        Edges within a layer have one row. `edges` counts an implication and its contrapositive as one, `tested` those
        with enough examples on which neither end holds, `survived` the survivors among these. The 95 % Wilson interval
        of `share` assumes independent edges, so it may be too narrow. The others are mean rates over the tested edges:
        `observational` with the antecedent, `interventional` when it is forced where neither end holds,
        `interventional_all` when it is forced on all examples without it, `before` on these before that; `inflation`
        is the difference, `survived_all` the number of edges that would survive on all. Null where n is zero.
        """
        edges, verdicts = self.implications, self.verdicts
        kind = kinds(edges, verdicts.order)
        observational = _rate(self.support, self.holds[edges.antecedents])
        rows: list[Row] = []
        layers = verdicts.order
        depth = depths(edges.nodes, layers)
        tails, heads = depth[edges.antecedents >> 1], depth[edges.consequents >> 1]
        forced = np.flatnonzero(kind == FORCED)
        for how in self.how:
            survives, everywhere = verdicts.survives(how, at_least), _rate(verdicts.after(how), verdicts.n)
            turned, by_all = _rate(verdicts.gained[how], verdicts.n_false), self._by_all.survives(how, at_least)
            for first, second in np.unique(np.stack([tails[forced], heads[forced]], axis=1), axis=0).tolist():
                pair = (tails[forced] == first) & (heads[forced] == second)
                tested = pair & verdicts.tested
                survived, count = int(survives[tested].sum()), int(tested.sum())
                rows.append(
                    {
                        "from": layers[first],
                        "to": layers[second],
                        "how": how,
                        "edges": int(pair.sum()),
                        "tested": count,
                        "survived": survived,
                        **rate("share", survived, count),
                        "observational": _mean(observational[forced][tested]),
                        "interventional": _mean(turned[tested]),
                        "interventional_all": _mean(everywhere[tested]),
                        "inflation": _mean((everywhere - turned)[tested]),
                        "survived_all": int(by_all[pair].sum()),
                        "before": _mean(_rate(verdicts.before, verdicts.n)[tested]),
                        "neurons_set_mean": _mean(self.sizes[how][tested].astype(float)),
                        "neurons_changed_mean": _mean(_rate(self.changed[how], verdicts.n)[tested]),
                    }
                )
        once = (kind == WITHIN) & (np.arange(len(edges)) <= contrapositives(edges))
        empty = {"tested": 0, "survived": 0, **rate("share", 0, 0)}
        nothing: Row = dict.fromkeys(("interventional", "interventional_all", "inflation"))
        nothing |= {"survived_all": 0} | dict.fromkeys(("before", "neurons_set_mean", "neurons_changed_mean"))
        for place in np.unique(tails[once]).tolist():
            within = once & (tails == place)
            rows.append(
                {"from": layers[place], "to": layers[place], "how": "constraint", "edges": int(within.sum())}
                | empty
                | {"observational": _mean(observational[within])}
                | nothing
            )
        return rows

    @cached_property
    def _by_all(self) -> Verdicts:
        """Verdicts by the rule of earlier versions, which base rates inflate."""
        return self.verdicts.by(ANTECEDENT_FALSE)

    def survived(self, how: str, at_least: float | int | None = None) -> tuple[int, int]:
        """Number of forced edges that survive, and of those tested."""
        return int(self.verdicts.survives(how, at_least).sum()), int(self.verdicts.tested.sum())

    def by_antecedent(self, at_least: float | int | None = None) -> int | None:
        """Number of edges that survive with the closure, not with its rest.

        None if untried.
        """
        if not {"closure", REST} <= set(self.how):
            return None
        with_it, without = (self.verdicts.survives(how, at_least) for how in ("closure", REST))
        return int((with_it & ~without).sum())

    def words(self, at_least: float | int | None = None) -> str:
        """Number of survivors, in one sentence per way of forcing."""
        facts = self.verdicts.facts
        bar = facts["at_least"] if at_least is None else at_least
        on = f"on held-out examples{' of ' + facts['split'] if facts['split'] else ''}"
        if not len(self.verdicts.n):
            return "No edge leads from a layer to a later one or to a label, so none was on trial."
        untested = len(self.verdicts.n) - int(self.verdicts.tested.sum())
        few = (
            f" {untested:,} edges were not tested: on fewer than {facts['least']} of {facts['examples']:,} examples "
            f"neither end holds ({int(self.verdicts.n_false[~self.verdicts.tested].max())} at most)."
            if untested
            else ""
        )
        if untested == len(self.verdicts.n):
            return f"No edge was tested.{few}"
        forcing = {"alone": "Antecedent forced alone", "closure": "Antecedent forced with what it implies in its layer"}
        sentences = []
        for how in self.how:
            survived, tested = self.survived(how, bar)
            named = forcing.get(how, "As a control, what it implies there forced without it")
            end = "; the others are not shown to be more than correlations" if how in forcing else ""
            own = self.by_antecedent(bar) if how == "closure" else None
            beside = "" if own is None else f", {own:,} of them with the antecedent and not without it"
            sentences.append(f"{named}: {survived:,} of {tested:,} edges survive{beside}{end}.")
        sentences.append(
            f"An edge survives when, {on} on which neither end holds, forcing the antecedent makes the consequent hold "
            f"in at least {bar:g} (lower end of the 95 % interval), and over all examples without the antecedent more "
            f"gain the consequent than lose it (McNemar, false discovery rate {facts['q']:g})."
        )
        inflated = ", ".join(self._inflated(how, bar) for how in self.how)
        sentences.append(
            f"Inflation by base rates: over all examples without the antecedent, the mean rate is {inflated}."
        )
        return " ".join(sentences) + few

    def _inflated(self, how: str, at_least: float | int) -> str:
        """Mean rates of one way over tested edges, and the survivors."""
        verdicts, tested = self.verdicts, self.verdicts.tested
        everywhere = _rate(verdicts.after(how), verdicts.n)[tested].mean()
        turned = _rate(verdicts.gained[how], verdicts.n_false)[tested].mean()
        survivors = int(self._by_all.survives(how, at_least).sum())
        return f"{everywhere:.3f} instead of {turned:.3f} ({how}; {survivors:,} edges would survive)"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the run log."""
        kind = kinds(self.implications, self.verdicts.order)
        return {
            **self.verdicts.facts,
            "how": list(self.how),
            "order": list(self.verdicts.order),
            "edges": {name: int((kind == code).sum()) for code, name in enumerate(KINDS)},
            "tested": int(self.verdicts.tested.sum()),
            "survived": {how: self.survived(how)[0] for how in self.how},
            "survived_all": {how: int(self._by_all.survives(how).sum()) for how in self.how},
            "survived_by_antecedent": self.by_antecedent(),
            "summary": self.summary(),
            "words": self.words(),
            "executor": self.executor,
            "executor_reason": self.reason,
        }


def _rate(part: np.ndarray, whole: np.ndarray) -> Float64[np.ndarray, " edge"]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(rates: np.ndarray) -> float | None:
    rates = rates[~np.isnan(rates)]
    return float(rates.mean()) if len(rates) else None
