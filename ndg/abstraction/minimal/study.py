"""Study of minimal interventions on one compute batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ndg import seeds
from ndg.abstraction.controls import Prototypes
from ndg.abstraction.counts import Counts
from ndg.abstraction.minimal.search import Ask, Found, Rows, Sets, Smallest, eliminate, exhaust, greedy, prefix, smaller
from ndg.abstraction.orders import specificity
from ndg.activations.batches import Batch
from ndg.graph.ndg import NDG
from ndg.interventions.intervention_sets import Choices, alternatives, choices, definition
from ndg.interventions.passes import BaselinePass, Passes, PassesStudy, argmax, true_classes
from ndg.interventions.shared_passes import run_parts
from ndg.interventions.substitution import Substitution, Writing

METHODS = ("graph", "graph_greedy", "specific", "greedy", "prototype", "random")
STAGES = ("prefix", "eliminated")
WITHIN, SEARCHED = ("graph", "within"), ("any", "searched")

Bits = Bool[np.ndarray, "row unit"]


def ranked(
    specific: Float64[np.ndarray, "2 label unit"], candidates: Sets, bits: Bits, true: Rows, target: Rows
) -> tuple[Int64[np.ndarray, "row unit"], Rows]:
    """Candidates in order of specificity, then other units; and their number.

    First come candidates whose flipped boolean most raises P(t' predicted | boolean) - P(t predicted | boolean) over
    the mined examples; ties by index.
    """
    gain = specific[:, target] - specific[:, true]
    on = gain[1] - gain[0]
    raised = np.where(bits, -on, on)
    return np.argsort(np.where(candidates, -raised, np.inf), axis=1, kind="stable"), candidates.sum(axis=1)


@dataclass(frozen=True, eq=False)
class Method:
    """Sets of an order and after elimination, with tried sets."""

    ordered: Found
    left: Sets
    tried: Rows

    @classmethod
    def of(cls, ask: Ask, ordered: Found) -> Method:
        left, trials = eliminate(ask, ordered)
        return cls(ordered, left, ordered.tried + trials)

    def counts(self, name: str) -> dict[str, Rows]:
        return {
            f"{name} {STAGES[0]}": self.ordered.size,
            f"{name} {STAGES[1]}": self.left.sum(axis=1),
            f"{name} {STAGES[0]} tried": self.ordered.tried,
            f"{name} {STAGES[1]} tried": self.tried,
        }


@dataclass(frozen=True, eq=False)
class ByGraph:
    """Sets found with the graph, and its order of units."""

    ordered: Method
    greedy: Method
    within: Smallest
    order: Int64[np.ndarray, "row unit"]


@dataclass(frozen=True, eq=False)
class Study(PassesStudy):
    """Study of minimal interventions on the examples `numbers`, sorted."""

    layer: str
    writing: Writing
    choices: Choices
    specific: Float64[np.ndarray, "2 label unit"]
    prototypes: Prototypes
    numbers: Rows
    budget: int
    seed: int

    decode = staticmethod(Counts.from_dict)

    @classmethod
    def of(
        cls,
        passes: Passes,
        graph: NDG,
        writing: Writing,
        intervention: str,
        numbers: Rows,
        budget: int,
        seed: int,
        layer: str,
    ) -> Study:
        """The study of one layer of the passes."""
        sets = choices(definition(intervention), graph, layer)
        specific, prototypes = specificity(graph, layer), Prototypes.of(graph, layer)
        return cls(passes, layer, writing, sets, specific, prototypes, numbers, budget, seed)

    def run(self, batch: Batch) -> Counts:
        """Search results for the examples of a batch.

        Each example has its own position: true class, target, whether it is kept, the size of the set of every method
        and stage (0 for none), and the smallest set, packed.
        """
        known = self.passes.baseline(batch)
        numbers, true = known.numbers, true_classes(batch, self.passes.nodes.labels)
        target = alternatives(self.seed, numbers, true, self.passes.nodes.labels)
        everyone = np.arange(batch.count)
        bits = known.bits[self.layer]
        kept = argmax(self.logits(known, everyone, bits)) == true
        rows = everyone[kept]
        where = np.searchsorted(self.numbers, numbers)
        filled = {"true": (where, true), "target": (where, target), "kept": (where, kept)}
        if len(rows):
            ask = self.ask(known, rows, target[rows])
            own = self.by_graph(ask, bits[rows], true[rows], target[rows])
            methods = {"graph": own.ordered, "graph_greedy": own.greedy}
            methods |= self.by_others(ask, bits[rows], true[rows], target[rows], numbers[rows])
            least = reduce(smaller, [method.left for method in methods.values()], own.within.sets)
            searched = self.search(ask, least, own.order)
            sizes = {" ".join(WITHIN): own.within.size, " ".join(SEARCHED): searched.size}
            for name, method in methods.items():
                sizes |= method.counts(name)
            filled |= {name: (where[rows], size) for name, size in sizes.items()}
            filled |= {
                "within exact": (where[rows], own.within.exact),
                "searched exact": (where[rows], searched.exact),
                "set": (where[rows], np.packbits(searched.sets, axis=1, bitorder="little")),
                "values": (where[rows], np.packbits(bits[rows] ^ searched.sets, axis=1, bitorder="little")),
            }
        return Counts({name: _placed(at, values, len(self.numbers)) for name, (at, values) in filled.items()})

    def ask(self, known: BaselinePass, rows: Rows, target: Rows) -> Ask:
        """Predictions for rows whose layer is written as booleans."""
        base = known.bits[self.layer][rows]

        def predicted(which: Rows, sets: Sets) -> tuple[Bool[np.ndarray, " row"], Float64[np.ndarray, " row"]]:
            if not len(which):
                return np.zeros(0, np.bool_), np.zeros(0)
            logits = self.logits(known, rows[which], base[which] ^ sets)
            return argmax(logits) == target[which], _margin(logits, target[which])

        return predicted

    def logits(self, known: BaselinePass, rows: Rows, booleans: Bits) -> Tensor:
        """Logits of rows, at least one, when the whole layer has these booleans."""
        size = known.batch.rows
        slices = [slice(start, start + size) for start in range(0, len(rows), size)]
        parts = (
            (Substitution(self.writing, known, self.layer, booleans[p], rows=rows[p]).write, rows[p]) for p in slices
        )
        return torch.cat([logits for logits, _ in run_parts(self.passes, known, self.layer, parts)])

    def by_graph(self, ask: Ask, bits: Bits, true: Rows, target: Rows) -> ByGraph:
        """The sets that are found with the graph."""
        named, values, _ = self.choices.of(true, target)
        candidates = named & (values != bits)
        order, length = ranked(self.specific, candidates, bits, true, target)
        ordered = Method.of(ask, prefix(ask, order, length))
        picked = Method.of(ask, greedy(ask, candidates, self.budget))
        within = exhaust(ask, smaller(ordered.left, picked.left), order, length, self.budget)
        return ByGraph(ordered, picked, within, order)

    def search(self, ask: Ask, sets: Sets, order: Int64[np.ndarray, "row unit"]) -> Smallest:
        """The smallest sets of all units, in this order."""
        return exhaust(ask, sets, order, np.full(len(sets), sets.shape[1], np.int64), self.budget)

    def by_others(self, ask: Ask, bits: Bits, true: Rows, target: Rows, numbers: Rows) -> dict[str, Method]:
        """Sets found without the graph's edges, among units unlike the prototype."""
        rows, units = bits.shape
        differ = self.prototypes.values[target] != bits
        surest = np.argsort(np.where(differ, self.prototypes.place[target], units), axis=1, kind="stable")
        words = seeds.words(self.seed, "minimal random", examples=numbers, draws=units)
        drawn = np.argsort(words, axis=1, kind="stable")
        results = {
            "specific": prefix(ask, *ranked(self.specific, differ, bits, true, target)),
            "greedy": greedy(ask, np.ones_like(bits), self.budget),
            "prototype": prefix(ask, surest, differ.sum(axis=1)),
            "random": prefix(ask, drawn, np.full(rows, units, np.int64)),
        }
        return {name: Method.of(ask, result) for name, result in results.items()}


def _placed(at: Rows, values: np.ndarray, size: int) -> np.ndarray:
    whole = np.zeros((size, *values.shape[1:]), np.int64)
    whole[at] = values
    return whole


def _margin(logits: Tensor, target: Rows) -> Float64[np.ndarray, " row"]:
    """The target's logit above the largest other one."""
    values = logits.detach().cpu().double().numpy()
    row = np.arange(len(values))
    own = values[row, target]
    values[row, target] = -np.inf
    return own - values.max(axis=1)
