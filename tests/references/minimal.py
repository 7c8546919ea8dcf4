"""Minimal interventions set by set and example by example, and small networks and graphs to try them on. Slow by
intent."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
from torch import nn

from ndg import seeds
from ndg.graph.ndg import NDG
from ndg.mining.implications import Implications
from ndg.nodes import LayerUnits, NodeSpace
from tests.references import trial

Logits = Callable[[list[bool]], np.ndarray]
Sizes = dict[str, int]


class Net(nn.Module):
    """Four inputs, sigmoid units, a decoder of one hidden layer."""

    def __init__(self, labels: int, units: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Sequential(nn.Linear(4, units), nn.Sigmoid())
        self.decoder = nn.Sequential(nn.Linear(units, 8), nn.Tanh(), nn.Linear(8, labels))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(x))


def graph(bits: np.ndarray, nodes: NodeSpace, edges: list[tuple[str, str]]) -> NDG:
    """A graph of these implications and their contrapositives, counted on `bits`; all thresholds are one half."""
    codes = [tuple(nodes.literal(text).code for text in edge) for edge in edges]
    pairs = sorted({pair for p, q in codes for pair in ((p, q), (q ^ 1, p ^ 1))})
    found = np.array(pairs, np.int32).reshape(-1, 2)
    truth = np.stack([~bits, bits], axis=2).reshape(len(bits), -1)
    return NDG(
        Implications(
            nodes=nodes,
            antecedents=found[:, 0].copy(),
            consequents=found[:, 1].copy(),
            exceptions=(truth[:, found[:, 0]] & ~truth[:, found[:, 1]]).sum(axis=0, dtype=np.int64),
            on=bits.sum(axis=0, dtype=np.int64),
            with_label=bits[:, : nodes.labels].T.astype(np.int64) @ bits.astype(np.int64),
            examples=len(bits),
            constants=(),
            criterion={"name": "given"},
            thresholds=np.full(nodes.neurons, 0.5),
            binarizer="half",
            bits_digest="",
        )
    )


def random_graph(labels: int, units: int, edges: int, seed: int) -> NDG:
    """Any implications among the labels and the units of `encoder`, counted on random booleans."""
    rng = np.random.default_rng(seed)
    nodes = NodeSpace(labels, (LayerUnits("encoder", units),))
    bits = rng.random((40, len(nodes))) < 0.5
    bits[:, :labels] = np.eye(labels, dtype=bool)[rng.integers(0, labels, 40)]
    names = list(nodes.nodes())
    pairs = [rng.choice(len(names), 2, replace=False) for _ in range(edges)]
    spelt = [tuple(("~" if rng.random() < 0.5 else "") + names[at] for at in pair) for pair in pairs]
    return graph(bits, nodes, [(p, q) for p, q in spelt])


def flipped(bits: list[bool], units: tuple[int, ...] | list[int]) -> list[bool]:
    return [not bit if unit in units else bit for unit, bit in enumerate(bits)]


def smallest(logits: Logits, bits: list[bool], target: int, units: list[int]) -> int:
    """Size of the smallest set of these units that makes the prediction the target; 0 where none of all sets does."""
    for size in range(1, len(units) + 1):
        for chosen in combinations(units, size):
            if int(np.argmax(logits(flipped(bits, chosen)))) == target:
                return size
    return 0


def first(logits: Logits, bits: list[bool], target: int, order: list[int]) -> tuple[list[int], int]:
    """The shortest prefix of an order that does it, empty where none does, and the sets tried."""
    for size in range(1, len(order) + 1):
        if int(np.argmax(logits(flipped(bits, order[:size])))) == target:
            return order[:size], size
    return [], len(order)


def greedy(logits: Logits, bits: list[bool], target: int, allowed: list[int], budget: int) -> tuple[list[int], int]:
    chosen: list[int] = []
    tried = 0
    while len(chosen) < len(allowed):
        left = [unit for unit in allowed if unit not in chosen]
        if tried + len(left) > budget:
            break
        tried += len(left)
        margins = {}
        for unit in left:
            values = logits(flipped(bits, [*chosen, unit])).astype(float)
            margins[unit] = values[target] - max(np.delete(values, target))
        chosen.append(max(left, key=lambda unit: margins[unit]))
        if int(np.argmax(logits(flipped(bits, chosen)))) == target:
            return chosen, tried
    return [], tried


def eliminated(logits: Logits, bits: list[bool], target: int, chosen: list[int]) -> tuple[list[int], int]:
    kept, tried, again = list(chosen), 0, bool(chosen)
    while again:
        again = False
        for unit in reversed(chosen):
            if unit in kept:
                without = [one for one in kept if one != unit]
                tried += 1
                if int(np.argmax(logits(flipped(bits, without)))) == target:
                    kept, again = without, True
    return kept, tried


def graph_order(
    found: Implications,
    layer: str,
    bits: list[bool],
    true: int,
    target: int,
    name: str,
    among: list[int] | None = None,
) -> list[int]:
    """The units whose literal in D(t, t') does not hold, or those given; those first whose other boolean raises
    P(t') - P(t) most."""
    named, _ = trial.choice(name, found, layer, true, target)
    start = found.nodes.slice(layer).start

    def likely(label: int, unit: int, value: bool) -> float:
        on, both = int(found.on[start + unit]), int(found.with_label[label, start + unit])
        size = int(found.on[label])
        seen = on if value else found.examples - on
        return (both if value else size - both) / seen if seen else 0.0

    def raised(unit: int) -> float:
        on = (likely(target, unit, True) - likely(true, unit, True)) - (
            likely(target, unit, False) - likely(true, unit, False)
        )
        return -on if bits[unit] else on

    candidates = [unit for unit, value in named.items() if bits[unit] != value] if among is None else among
    return sorted(candidates, key=lambda unit: (-raised(unit), unit))


def sizes(
    logits: Logits,
    found: Implications,
    layer: str,
    bits: list[bool],
    example: int,
    true: int,
    target: int,
    name: str,
    seed: int,
    budget: int,
) -> Sizes:
    """What `minimal` counts of one example, with a budget that admits all sets of the searches."""
    units = list(range(len(bits)))
    order = graph_order(found, layer, bits, true, target, name)
    majority, surest = trial.prototype(found, layer, target)
    differ = [unit for unit in surest if majority[unit] != bits[unit]]
    words = trial.draw(seed, "minimal random", example, len(units))
    methods = {
        "graph": first(logits, bits, target, order),
        "specific": first(logits, bits, target, graph_order(found, layer, bits, true, target, name, differ)),
        "graph_greedy": greedy(logits, bits, target, sorted(order), budget),
        "greedy": greedy(logits, bits, target, units, budget),
        "prototype": first(logits, bits, target, differ),
        "random": first(logits, bits, target, sorted(units, key=lambda unit: words[unit])),
    }
    told = {}
    for method, (chosen, tried) in methods.items():
        left, trials = eliminated(logits, bits, target, chosen)
        told |= {f"{method} prefix": len(chosen), f"{method} eliminated": len(left)}
        told |= {f"{method} prefix tried": tried, f"{method} eliminated tried": tried + trials}
    told["graph within"] = smallest(logits, bits, target, sorted(order))
    told["any searched"] = smallest(logits, bits, target, units)
    return told


def drawn(seed: int, correct: list[bool], wanted: int) -> list[int]:
    """The numbers of the first correct examples in the order of their draws."""
    keys = [trial.draw(seed, "minimal", example, 1)[0] for example in range(len(correct))]
    order = sorted(range(len(correct)), key=lambda example: keys[example])
    return sorted([example for example in order if correct[example]][:wanted])


def other(seed: int, example: int, true: int, labels: int) -> int:
    """The target of an example."""
    word = int(seeds.words(seed, "alternatives", examples=np.array([example]), draws=1)[0, 0])
    return [label for label in range(labels) if label != true][word % (labels - 1)]
