"""The definitions of the interventions, of their controls and of their tallies, example by example. Slow by intent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ndg import seeds
from ndg.mining.implications import Implications
from tests.references.graph import Edges, closure

Literals = set[int]
Sets = tuple[dict[int, bool], int]
"""Value of each unit of the layer that is set, and the number of units with contradictory literals."""

COUNTS = ["examples", "correct", "aligned", "changed", "unchanged", "contradictory", "no_ancestors", "neurons_set"]
COUNTS += ["neurons_changed", "kept", "kept_aligned", "graph_only", "control_only"]


def edges_of(found: Implications) -> Edges:
    return set(zip(found.antecedents.tolist(), found.consequents.tolist(), strict=True))


def ancestors(literals: int, edges: Edges, literal: int) -> Literals:
    return {p for p in range(literals) if p != literal and literal in closure(literals, edges, {p})}


def asked(name: str, found: Implications, true: int, alternative: int) -> Literals:
    """D(t, t') with its contradictory pairs still in it. A label is the node of its class, on: the code 2 c + 1."""
    edges, literals = edges_of(found), 2 * len(found.nodes)
    wanted, own = 2 * alternative + 1, 2 * true + 1
    if name == "Q":
        return closure(literals, edges, {wanted} | ancestors(literals, edges, wanted))
    if name == "G.1":
        return closure(literals, edges, {wanted}) | {code ^ 1 for code in closure(literals, edges, {own})}
    return closure(literals, edges, {wanted})


def choice(name: str, found: Implications, layer: str, true: int, alternative: int) -> Sets:
    literals = asked(name, found, true, alternative)
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


def trial(
    found: Implications,
    layer: str,
    front: Callable[[np.ndarray], np.ndarray],
    back: Callable[[np.ndarray], np.ndarray],
    inputs: np.ndarray,
    true_labels: list[int],
    name: str,
    seed: int,
) -> dict[tuple, dict[str, int]]:
    """Counts by control and, of the graph's choice, by role and class; `back(front(x))` are an example's logits."""
    nodes, labels = found.nodes, found.nodes.labels
    where = nodes.slice(layer)
    thresholds = found.thresholds[where.start - labels : where.stop - labels]
    units = where.stop - where.start
    counts: dict[tuple, dict[str, int]] = {}
    for example, (x, t) in enumerate(zip(inputs, true_labels, strict=True)):
        activations = front(x)
        bits = [float(a) > float(threshold) for a, threshold in zip(activations, thresholds, strict=True)]

        def predict(values: list[bool]) -> int:
            return int(np.argmax(back(np.array(values, np.float32))))

        others = [label for label in range(labels) if label != t]
        other = others[draw(seed, "alternatives", example, 1)[0] % len(others)]
        chosen, contradictory = choice(name, found, layer, t, other)
        size = len(chosen)
        majority, surest = prototype(found, layer, other)
        random = smallest(draw(seed, "random neurons", example, units), size)
        coins = draw(seed, "random booleans", example, units)
        subset = smallest(draw(seed, "prototype neurons", example, units), size)
        settings = {
            "graph": chosen,
            "binarise": {},
            "random": {unit: coins[unit] >= 2**63 for unit in random},
            "prototype_random": {unit: majority[unit] for unit in subset},
            "prototype_surest": {unit: majority[unit] for unit in surest[:size]},
        }
        correct = int(np.argmax(back(activations))) == t
        kept = correct and predict(bits) == t
        by_graph = False
        for control, values in settings.items():
            after = predict([values.get(unit, bits[unit]) for unit in range(units)])
            own = control == "graph"
            by_graph = after == other if own else by_graph
            told = {
                "examples": True,
                "correct": correct,
                "aligned": correct and after == other,
                "changed": correct and after not in (t, other),
                "unchanged": correct and after == t,
                "contradictory": correct and own and contradictory > 0,
                "no_ancestors": correct
                and own
                and name == "Q"
                and not ancestors(2 * len(nodes), edges_of(found), 2 * other + 1),
                "neurons_set": len(values) if correct else 0,
                "neurons_changed": sum(bits[unit] != value for unit, value in values.items()) if correct else 0,
                "kept": kept,
                "kept_aligned": kept and after == other,
                "graph_only": correct and by_graph and after != other,
                "control_only": correct and not by_graph and after == other,
            }
            keys = [(control,), *([(control, "true", t), (control, "alternative", other)] if own else [])]
            for key in keys:
                total = counts.setdefault(key, dict.fromkeys(COUNTS, 0))
                for count in COUNTS:
                    total[count] += int(told[count])
    return counts
