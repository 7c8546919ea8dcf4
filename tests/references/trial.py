"""The definitions of the interventions, of their controls, tallies and curves, example by example. Slow by intent."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from ndg import seeds
from ndg.mining.implications import Implications
from tests.references.graph import Edges, closure

Literals = set[int]
Sets = tuple[dict[int, bool], int]
"""Value of each unit of the layer that is set, and the number of units with contradictory literals."""

COUNTS = ["examples", "correct", "aligned", "changed", "unchanged", "contradictory", "no_ancestors", "neurons_set"]
COUNTS += ["neurons_changed", "kept", "kept_aligned", "graph_only", "control_only"]


def edges_of(found: Implications, beta: float = 1.0) -> Edges:
    """The implications and, of those whose recall P(antecedent | consequent) is above beta, the reverse as well, each
    with its contrapositive."""
    edges = set(zip(found.antecedents.tolist(), found.consequents.tolist(), strict=True))
    holds = [count for on in found.on.tolist() for count in (found.examples - on, on)]
    reverse = set()
    for p, q, exceptions in zip(
        found.antecedents.tolist(), found.consequents.tolist(), found.exceptions.tolist(), strict=True
    ):
        if holds[q] and (holds[p] - exceptions) / holds[q] > beta:
            reverse |= {(q, p), (p ^ 1, q ^ 1)}
    return edges | reverse


def ancestors(literals: int, edges: Edges, literal: int) -> Literals:
    return {p for p in range(literals) if p != literal and literal in closure(literals, edges, {p})}


def asked(name: str, found: Implications, true: int, alternative: int, beta: float = 1.0) -> Literals:
    """D(t, t') with its contradictory pairs still in it. A label is the node of its class, on: the code 2 c + 1."""
    edges, literals = edges_of(found, beta), 2 * len(found.nodes)
    wanted, own = 2 * alternative + 1, 2 * true + 1
    if name == "Q":
        return closure(literals, edges, {wanted} | ancestors(literals, edges, wanted))
    if name == "G.1":
        return closure(literals, edges, {wanted}) | {code ^ 1 for code in closure(literals, edges, {own})}
    return closure(literals, edges, {wanted})


def choice(name: str, found: Implications, layer: str, true: int, alternative: int, beta: float = 1.0) -> Sets:
    literals = asked(name, found, true, alternative, beta)
    units, contradictory = {}, 0
    where = found.nodes.slice(layer)
    for unit, node in enumerate(range(where.start, where.stop)):
        on, off = 2 * node + 1 in literals, 2 * node in literals
        if on and off:
            contradictory += 1
        elif on or off:
            units[unit] = on
    return units, contradictory


def draw(seed: int, purpose: str, example: int, draws: int) -> list[int]:
    return [int(word) for word in seeds.words(seed, purpose, examples=np.array([example]), draws=draws)[0]]


def smallest(keys: list[int], size: int) -> set[int]:
    return set(sorted(range(len(keys)), key=lambda unit: (keys[unit], unit))[:size])


def prototype(found: Implications, layer: str, label: int) -> tuple[list[bool], list[int]]:
    """Majority boolean of each unit among the examples predicted as a class, and the units from the surest on."""
    values, sureness = [], []
    for node in range(found.nodes.slice(layer).start, found.nodes.slice(layer).stop):
        on, size = int(found.with_label[label, node]), int(found.with_label[label, label])
        values.append(on > size - on)
        sureness.append(max(on, size - on))
    return values, sorted(range(len(values)), key=lambda unit: (-sureness[unit], unit))


def odds(share: Fraction) -> Fraction:
    return share / (1 - share)


SHARES: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "contrast": lambda given, other: abs(given - other),
    "log_odds": lambda given, other: max(odds(given) / odds(other), odds(other) / odds(given)),
}
"""How differently often a unit is on given a class and on the other examples."""


def by_shares(
    found: Implications, layer: str, label: int, differ: Callable[[Fraction, Fraction], Fraction]
) -> tuple[list[bool], list[int]]:
    """Boolean of each unit that is more probable given a class than elsewhere, and the units that differ most first."""
    size = int(found.with_label[label, label])
    values, differences = [], []
    for node in range(found.nodes.slice(layer).start, found.nodes.slice(layer).stop):
        on, everywhere = int(found.with_label[label, node]), int(found.on[node])
        given, other = Fraction(on + 1, size + 2), Fraction(everywhere - on + 1, found.examples - size + 2)
        values.append(given > other)
        differences.append(differ(given, other))
    return values, sorted(range(len(values)), key=lambda unit: (-differences[unit], unit))


Written = Callable[[list[bool], np.ndarray], list[float]]
"""What stands in the layer when its units have these booleans, and had these activations."""


def means(activations: np.ndarray, bits: np.ndarray) -> Written:
    """Writes each unit's mean activation over the fitting examples in which it has that boolean; where there is none,
    the activation stays."""
    known = [
        {bool(value): activations[bits[:, unit] == value, unit].mean(dtype=np.float64) for value in set(bits[:, unit])}
        for unit in range(bits.shape[1])
    ]
    return lambda values, before: [known[unit].get(value, before[unit]) for unit, value in enumerate(values)]


class Example:
    """One example under one draw: everything that a trial counts is asked of it."""

    def __init__(self, trial: Trial, number: int, x: np.ndarray, true: int, seed: int) -> None:
        self.trial, self.number, self.true, self.seed = trial, number, true, seed
        self.activations = activations = trial.front(x)
        thresholds = trial.thresholds
        self.bits = [float(a) > float(level) for a, level in zip(activations, thresholds, strict=True)]
        self.correct = int(np.argmax(trial.back(activations))) == true
        others = [label for label in range(trial.found.nodes.labels) if label != true]
        self.other = others[draw(seed, "alternatives", number, 1)[0] % len(others)]
        self.majority, self.surest = prototype(trial.found, trial.layer, self.other)

    def predict(self, values: dict[int, bool]) -> int:
        booleans = [values.get(unit, bit) for unit, bit in enumerate(self.bits)]
        return int(np.argmax(self.trial.back(np.array(self.trial.written(booleans, self.activations), np.float32))))

    def changed(self, values: dict[int, bool]) -> int:
        return sum(self.bits[unit] != value for unit, value in values.items())

    def settings(self, graphs: dict[str, Implications]) -> dict[str, Sets]:
        """Units set, and units that came out both on and off, by control; that of the graph first."""
        seed, number, units = self.seed, self.number, len(self.bits)
        chosen, contradictory = self.trial.choice(self.trial.found, self.true, self.other)
        size = len(chosen)
        random = smallest(draw(seed, "random neurons", number, units), size)
        coins = draw(seed, "random booleans", number, units)
        subset = smallest(draw(seed, "prototype neurons", number, units), size)
        sized, changed = {}, {}
        for name, (values, order) in self.ordered().items():
            sized[name] = ({unit: values[unit] for unit in order[:size]}, 0)
            first: dict[int, bool] = {}
            while len(first) < units and self.changed(first) < self.changed(chosen):
                first[order[len(first)]] = values[order[len(first)]]
            changed[f"{name}_changed"] = (first, 0)
        return {
            "graph": (chosen, contradictory),
            "binarise": ({}, 0),
            "random": ({unit: coins[unit] >= 2**63 for unit in random}, 0),
            "prototype_random": ({unit: self.majority[unit] for unit in subset}, 0),
            **sized,
            **changed,
            **{name: self.trial.choice(graph, self.true, self.other) for name, graph in graphs.items()},
        }

    def ordered(self) -> dict[str, tuple[list[bool], list[int]]]:
        """Booleans and order of the units of each prototype."""
        found, layer = self.trial.found, self.trial.layer
        by_share = {
            f"prototype_{name}": by_shares(found, layer, self.other, strength) for name, strength in SHARES.items()
        }
        return {"prototype_surest": (self.majority, self.surest)} | by_share

    def orders(self, given: dict[str, list[int]]) -> dict[str, list[tuple[int, bool]]]:
        """Units and their booleans, from the first that is set on, by order."""
        trial, units = self.trial, len(self.bits)
        chosen, _ = trial.choice(trial.found, self.true, self.other)
        figures = {unit: trial.specific(self.true, self.other, unit) for unit in chosen}
        keys = draw(self.seed, "prototype neurons", self.number, units)
        by_prototype = {
            name: (self.majority, order)
            for name, order in {
                "prototype_random": sorted(range(units), key=lambda unit: (keys[unit], unit)),
                **given,
            }.items()
        } | self.ordered()
        return {
            "graph": [(unit, chosen[unit]) for unit in sorted(chosen, key=lambda unit: (-figures[unit], unit))],
            **{name: [(unit, values[unit]) for unit in order] for name, (values, order) in by_prototype.items()},
        }


class Trial:
    """One intervention of a graph on a layer; `back(front(x))` are an example's logits."""

    def __init__(
        self,
        found: Implications,
        layer: str,
        front: Callable[[np.ndarray], np.ndarray],
        back: Callable[[np.ndarray], np.ndarray],
        name: str,
        beta: float = 1.0,
        written: Written = lambda values, before: [float(value) for value in values],
    ) -> None:
        self.found, self.layer, self.front, self.back = found, layer, front, back
        self.name, self.beta, self.written = name, beta, written
        where = found.nodes.slice(layer)
        self.thresholds = found.thresholds[where.start - found.nodes.labels : where.stop - found.nodes.labels]
        self.chosen: dict[tuple[int, int, int], Sets] = {}
        self.alone: dict[tuple[int, int], bool] = {}

    def choice(self, found: Implications, true: int, other: int) -> Sets:
        key = (id(found), true, other)
        if key not in self.chosen:
            self.chosen[key] = choice(self.name, found, self.layer, true, other, self.beta)
        return self.chosen[key]

    def no_ancestors(self, found: Implications, label: int) -> bool:
        key = (id(found), label)
        if key not in self.alone:
            above = ancestors(2 * len(found.nodes), edges_of(found, self.beta), 2 * label + 1)
            self.alone[key] = self.name == "Q" and not above
        return self.alone[key]

    def specific(self, true: int, other: int, unit: int) -> float:
        """The largest P(class | literal) of the literals of a unit that the classes ask for in it."""
        found, edges = self.found, edges_of(self.found, self.beta)
        node, literals = found.nodes.slice(self.layer).start + unit, 2 * len(found.nodes)
        wanted = 2 * other + 1
        toward = closure(
            literals, edges, {wanted} | (ancestors(literals, edges, wanted) if self.name == "Q" else set())
        )
        against = closure(literals, edges, {2 * true + 1}) if self.name == "G.1" else set()
        figures = []
        for label, asked_for in ((other, toward), (true, against)):
            for value in (0, 1):
                if 2 * node + value in asked_for:
                    both, on = int(found.with_label[label, node]), int(found.on[node])
                    size = int(found.on[label])
                    joint, seen = (both, on) if value else (size - both, found.examples - on)
                    figures.append(joint / seen if seen else 0.0)
        return max(figures)

    def tallies(
        self, inputs: np.ndarray, true_labels: list[int], seed: int, graphs: dict[str, Implications] | None = None
    ) -> dict[tuple, dict[str, int]]:
        """Counts by control and, of the graph's choice, by role and class."""
        counts: dict[tuple, dict[str, int]] = {}
        for number, (x, t) in enumerate(zip(inputs, true_labels, strict=True)):
            one = Example(self, number, x, t, seed)
            kept = one.correct and one.predict({}) == t
            by_graph = False
            for control, (values, contradictory) in one.settings(graphs or {}).items():
                own, after = control == "graph", one.predict(values)
                source = self.found if own else (graphs or {}).get(control)
                by_graph = after == one.other if own else by_graph
                told = {
                    "examples": True,
                    "correct": one.correct,
                    "aligned": one.correct and after == one.other,
                    "changed": one.correct and after not in (t, one.other),
                    "unchanged": one.correct and after == t,
                    "contradictory": one.correct and contradictory > 0,
                    "no_ancestors": one.correct and source is not None and self.no_ancestors(source, one.other),
                    "neurons_set": len(values) if one.correct else 0,
                    "neurons_changed": one.changed(values) if one.correct else 0,
                    "kept": kept,
                    "kept_aligned": kept and after == one.other,
                    "graph_only": one.correct and by_graph and after != one.other,
                    "control_only": one.correct and not by_graph and after == one.other,
                }
                keys = [(control,), *([(control, "true", t), (control, "alternative", one.other)] if own else [])]
                for key in keys:
                    total = counts.setdefault(key, dict.fromkeys(COUNTS, 0))
                    for count in COUNTS:
                        total[count] += int(told[count])
        return counts

    def curve(
        self, inputs: np.ndarray, true_labels: list[int], seed: int, sizes: list[int], given: dict[str, list[int]]
    ) -> dict[str, list[tuple[int, int, int]]]:
        """Neurons set, neurons changed and examples aligned, by order and number of neurons."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for number, (x, t) in enumerate(zip(inputs, true_labels, strict=True)):
            one = Example(self, number, x, t, seed)
            if not one.correct:
                continue
            for order, units in one.orders(given).items():
                sets = [dict(units[:size]) for size in sizes]
                told = [(len(s), one.changed(s), int(one.predict(s) == one.other)) for s in sets]
                before = found.get(order, [(0, 0, 0)] * len(sizes))
                found[order] = [tuple(map(sum, zip(a, b, strict=True))) for a, b in zip(before, told, strict=True)]
        return found
