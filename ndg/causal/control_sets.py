"""Class prototypes as controls of sufficient sets of labels; `ndg.interventions.prototypes` defines their orders.

Each set is tried on the examples of other labels, and beside it the first literals of each order: as many as the set
has (equal size), or on each example until as many booleans change as the set changes there (equal changes).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from torch import nn

from ndg.activations.batches import Batch
from ndg.causal.sufficient import SufficientSets
from ndg.errors import ConfigError
from ndg.graph.ndg import NDG
from ndg.intervals import wilson
from ndg.interventions import substitution
from ndg.interventions.passes import BaselinePass, Passes, PassesStudy, argmax
from ndg.interventions.prototypes import ORDERS, ClassCounts, Ranked, ranked
from ndg.interventions.substitution import Substitution, Writing
from ndg.options import RunOptions
from ndg.results import Result, Row
from ndg.run_study import placed, run_batches

OWN = "sufficient sets"
SIZE, CHANGES = "equal size", "equal changes"
PREDICTORS = ((OWN, SIZE), *((order, equal) for equal in (SIZE, CHANGES) for order in ORDERS))

Z = 1.96
"""Standard errors of a 95 % interval."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over examples: tries, tries that were aligned, booleans set and changed, and what intervals need.

    `tries` is (tries, its square) summed over examples; `lead` is the sets' lead over each predictor, in aligned tries
    of an example: (lead, its square, lead times tries). Rows are those of `PREDICTORS`.
    """

    examples: int
    tries: Int64[np.ndarray, " power"]
    sums: Int64[np.ndarray, "predictor kind"]
    lead: Int64[np.ndarray, "predictor moment"]

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.examples + other.examples, self.tries + other.tries, self.sums + other.sums, self.lead + other.lead
        )


@dataclass(frozen=True, eq=False)
class PrototypeTrial(PassesStudy):
    """Study that forces the sets of labels, and prototypes beside them."""

    writing: Writing
    labels: tuple[int, ...]
    chosen: Bool[np.ndarray, "set unit"]
    booleans: Bool[np.ndarray, "set unit"]
    orders: dict[str, Ranked]

    def run(self, batch: Batch) -> Tally:
        """Sums over the examples of one compute batch."""
        known = self.passes.baseline(batch)
        predicted, kinds = known.predicted, 3
        aligned = np.zeros((len(PREDICTORS), len(predicted)), np.int64)
        tries, sums = np.zeros(len(predicted), np.int64), np.zeros((len(PREDICTORS), kinds), np.int64)
        for number, label in enumerate(self.labels):
            rows = np.flatnonzero(predicted != label)
            if not len(rows):
                continue
            tries[rows] += 1
            for place, (chosen, booleans, changed) in enumerate(self._forced(known, number, rows)):
                turned = self._turned(known, rows, chosen, booleans, label)
                aligned[place, rows] += turned
                sums[place] += turned.sum(), chosen.sum(), changed.sum()
        lead = aligned[0] - aligned
        moments = np.stack([lead.sum(axis=1), (lead**2).sum(axis=1), (lead * tries).sum(axis=1)], axis=1)
        return Tally(len(predicted), np.array([tries.sum(), (tries**2).sum()]), sums, moments)

    def _forced(self, known: BaselinePass, number: int, rows: np.ndarray) -> Iterable[tuple[Any, Any, Any]]:
        """Units, booleans and the units that change, of each predictor in its order."""
        bits = known.bits[self.passes.changed[0]][rows]
        chosen, booleans = (np.repeat(part[number][None], len(rows), axis=0) for part in (self.chosen, self.booleans))
        changed = chosen & (booleans != bits)
        yield chosen, booleans, changed
        label, size = np.full(len(rows), self.labels[number]), int(self.chosen[number].sum())
        for name, equal in PREDICTORS[1:]:
            order = self.orders[name]
            values = order.values[label]
            units = order.place[label] < size if equal == SIZE else order.until(changed.sum(axis=1), bits, label)
            yield units, values, units & (values != bits)

    def _turned(self, known: BaselinePass, rows: np.ndarray, chosen: Any, booleans: Any, label: int) -> np.ndarray:
        """Whether each row has the label afterwards."""
        (layer,) = self.passes.changed
        change = Substitution(self.writing, known, layer, booleans, chosen, rows).write
        logits, _ = self.passes.run(known, {layer: change}, [], rows)
        return argmax(logits)[: len(rows)] == label


@dataclass(frozen=True)
class SetControlRow:
    """What one predictor reaches: (aligned, of so many tries), and what it sets and changes on average.

    `lead` is that of the sets over it, with an interval over examples; None for the sets themselves.
    """

    name: str
    equal: str
    aligned: tuple[int, int]
    members: float
    changed: float
    lead: float | None
    lead_interval: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class SetControls(Result):
    """Sufficient sets of labels beside class prototypes, on examples of other labels."""

    layer: str
    labels: tuple[int, ...]
    examples: int
    table: tuple[SetControlRow, ...]

    def rows(self) -> list[Row]:
        rows = []
        for row in self.table:
            turned, n = row.aligned
            low, high = (float(end) for end in wilson(turned, n)) if n else (None, None)
            own: Row = {"order": row.name.replace("_", " "), "equal": row.equal, "aligned": turned / n if n else None}
            own |= {"low": low, "high": high, "n": n, "set": row.members, "changed": row.changed, "lead": row.lead}
            own |= {f"lead_{end}": row.lead_interval and row.lead_interval[place] for place, end in ENDS}
            rows.append(own)
        return rows

    def context(self) -> Row:
        return {"layer": self.layer, "examples": self.examples}

    def best(self, equal: str = SIZE) -> SetControlRow:
        """The strongest order, at equal size or at equal changes."""
        return max((row for row in self.table[1:] if row.equal == equal), key=lambda row: row.aligned[0])

    def words(self) -> str:
        turned, n = self.table[0].aligned
        if not n:
            return f"No set of {self.layer} was tried: no example has another label than those of the sets."
        parts = []
        for equal in (SIZE, CHANGES):
            best = self.best(equal)
            assert best.lead is not None
            assert best.lead_interval is not None
            low, high = best.lead_interval
            name = best.name.replace("_", " ")
            parts.append(
                f"at {equal} the strongest prototype, {name}, gives it to {best.aligned[0] / n:.3f} (lead "
                f"{best.lead:.3f}, 95 % interval {low:.3f} to {high:.3f})"
            )
        return (
            f"Sets of {self.table[0].members:.1f} literals of {self.layer} give {turned / n:.3f} of {n:,} tries their "
            f"label; {'; '.join(parts)}."
        )


ENDS = ((0, "low"), (1, "high"))


def set_controls(
    model: nn.Module,
    graph: NDG,
    fit: Iterable[Any],
    test: Iterable[Any],
    sets: SufficientSets,
    *,
    options: RunOptions = RunOptions(),
) -> SetControls:
    """The sets of labels among `sets`, tried on `test` beside class prototypes.

    Orders are of the examples that the graph was mined from; written values are those of the sets, from `fit`. Raises
    ConfigError where no set is of a label being on.
    """
    model, layer = placed(model, options), sets.layer
    targets = [(each, graph.nodes.literal(each.target)) for each in sets.sets]
    own = [(each, literal) for each, literal in targets if literal.value and literal.node < graph.nodes.labels]
    if not own:
        names = ", ".join(each.target for each in sets.sets[:3]) or "no target"
        raise ConfigError(
            f"prototypes are controls of sets of labels; got sets of {names}; find sets of label:0 and so on"
        )
    units = graph.nodes.slice(layer)
    chosen = np.zeros((len(own), units.stop - units.start), np.bool_)
    booleans = chosen.copy()
    for place, (each, _) in enumerate(own):
        for member in map(graph.nodes.literal, each.members):
            chosen[place, member.node - units.start], booleans[place, member.node - units.start] = True, member.value
    writing = substitution.fit(sets.settings.values, model, graph, fit, [layer], options=options)
    labels = tuple(int(literal.node) for _, literal in own)
    orders = ranked(ClassCounts.of(graph, layer))
    study = PrototypeTrial(Passes.of(model, graph, [layer], options.threads), writing, labels, chosen, booleans, orders)
    plain = replace(options, journal=None)
    total: Tally = run_batches(study, test, "sets beside prototypes", plain).total
    table = [_row(total, place) for place in range(len(PREDICTORS))]
    return SetControls(layer, labels, total.examples, tuple(table))


def _row(total: Tally, place: int) -> SetControlRow:
    (name, equal), tries = PREDICTORS[place], int(total.tries[0])
    turned, members, changed = total.sums[place].tolist()
    lead, interval = (None, None) if name == OWN or not tries else _lead(total, place)
    return SetControlRow(name, equal, (turned, tries), members / max(tries, 1), changed / max(tries, 1), lead, interval)


def _lead(total: Tally, place: int) -> tuple[float, tuple[float, float]]:
    """Mean lead of a try, with an interval of the ratio over examples."""
    tries, squares = total.tries.tolist()
    lead, lead_squares, both = total.lead[place].tolist()
    mean = lead / tries
    spread = lead_squares - 2 * mean * both + mean**2 * squares
    error = Z * max(spread, 0.0) ** 0.5 / tries
    return mean, (mean - error, mean + error)
