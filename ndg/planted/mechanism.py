"""Random booleans with planted implications: examples of a random 2-SAT formula.

The truth is a theorem, not an estimate. If no literal reaches its own negation, every clause that a 2-SAT formula
entails is a path of its implication graph (Aspvall, Plass & Tarjan 1979). `Mechanism.values` gives every satisfying
assignment a positive probability and no other. So p -> q holds for all examples iff q can be reached from p.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import seeds
from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError, DataError
from ndg.literal import Literal
from ndg.nodes import LayerUnits, NodeSpace
from ndg.planted.truth import Relation, Truth

POPULATION = 1 << 16
ATTEMPTS = 100
TRIES = 50
LAYER = "planted"
Graph = tuple[tuple[tuple[Literal, Literal], ...], Bool[np.ndarray, "copied copied"]]


@dataclass(frozen=True, eq=False)
class Mechanism:
    """Planted implications, their closure `follows` by literal code, and node rates.

    Nodes are decided in `order`. A node that is not yet settled comes on with its probability in `rates`; then
    everything that follows from it is settled too. By contraposition, settled values cannot conflict.
    """

    nodes: NodeSpace
    planted: tuple[tuple[Literal, Literal], ...]
    follows: Relation
    rates: Float64[np.ndarray, " node"]
    order: Int64[np.ndarray, " node"]
    seed: int

    def __post_init__(self) -> None:
        for array in (self.follows, self.rates, self.order):
            array.flags.writeable = False

    def values(self, examples: int, noise: float | int = 0.0, seed: int = 0) -> Bool[np.ndarray, "example node"]:
        """Examples by seed and index alone, each bit flipped with probability `noise`."""
        if examples < 1 or not 0 <= noise < 0.5:
            raise ConfigError(
                "planted examples need at least 1 example and a noise in [0, 0.5), the chance that a bit is flipped; "
                f"got {examples} and {noise}"
            )
        chance = seeds.uniform(seed, "planted", "values", examples=examples, draws=len(self.nodes))
        settled = np.zeros((2 * len(self.nodes), examples), np.bool_)
        for node in self.order.tolist():
            free = ~(settled[2 * node] | settled[2 * node + 1])
            on = chance[:, node] < self.rates[node]
            for literal, chosen in ((2 * node, free & ~on), (2 * node + 1, free & on)):
                settled[literal] |= chosen
                settled[self.follows[literal]] |= chosen
        values = np.ascontiguousarray(settled[1::2].T)
        if not noise:
            return values
        return values ^ (seeds.uniform(seed, "planted", "noise", examples=examples, draws=len(self.nodes)) < noise)

    def bits(self, examples: int, noise: float | int = 0.0, seed: int = 0) -> BitMatrix:
        """Packed form of `values`, ready to mine."""
        return BitMatrix.from_bool(self.values(examples, noise, seed), self.nodes)

    def population(self) -> Bool[np.ndarray, "example node"]:
        """65,536 noise-free examples with a seed of the mechanism."""
        return self.values(POPULATION, seed=seeds.integer(self.seed, "population"))

    def truth(self) -> Truth:
        """Truth by construction, and what is near it in the population."""
        values = self.population()
        literals = np.stack([~values, values], axis=2).reshape(POPULATION, -1).astype(np.float32)
        both = (literals.T @ literals).astype(np.float64)  # float32 counts exactly up to 2 ** 24
        return Truth.of(self.nodes, self.follows.copy(), both / POPULATION)


def plant(
    nodes: int = 40,
    implications: int = 30,
    *,
    depth: int = 4,
    equivalent: int = 3,
    rates: tuple[float | int, float | int] = (0.3, 0.7),
    rare: float | int = 0.02,
    seed: int = 0,
) -> Mechanism:
    """Mechanism with planted implications between random literals.

    The longest chain of planted implications has `depth` steps. `equivalent` of the nodes are copies of another, some
    of them negated. Free nodes come on with a probability drawn from `rates`. Each node is on, and off, for at least a
    share `rare` of a noise-free population. Raises ConfigError for a parameter out of range, DataError if no such graph
    was found.
    """
    if not (0 <= equivalent <= nodes // 2 and nodes - equivalent >= 2):
        raise ConfigError(
            "a mechanism needs at least 2 nodes, of which at most half are copies of another; "
            f"got {nodes} nodes and {equivalent} equivalent"
        )
    if not 1 <= depth <= min(implications, nodes - equivalent - 1):
        raise ConfigError(
            "the longest chain must have at least 1 step and at most one per planted implication, through nodes that "
            f"are no copies; got depth {depth}, {implications} implications, {nodes - equivalent} nodes"
        )
    if not (0 < rates[0] <= rates[1] < 1 and 0 <= rare < 0.5):
        raise ConfigError(
            "rates must be a lower and an upper probability in (0, 1), and rare a share in [0, 0.5); "
            f"got {rates} and {rare}"
        )
    space = NodeSpace(0, (LayerUnits(LAYER, nodes),))
    for attempt in range(ATTEMPTS):
        rng = seeds.generator(seed, "mechanism", attempt)
        graph = _draw(rng, nodes, implications, depth, equivalent)
        node_rates, order = rng.uniform(*rates, nodes), rng.permutation(nodes)
        if graph is not None:
            mechanism_seed = seeds.integer(seed, "mechanism", attempt)
            mechanism = Mechanism(space, *graph, node_rates, order, mechanism_seed)
            on = mechanism.population().mean(axis=0)
            if min(on.min(), 1 - on.max()) >= rare:
                return mechanism
    raise DataError(
        f"every node must be on, and off, for at least {rare:g} of the examples; none of {ATTEMPTS} graphs with "
        f"{nodes} nodes, {implications} planted implications, chains of {depth} steps and free rates in {rates} is; "
        "plant fewer implications, allow rarer nodes, or choose rates nearer to 0.5"
    )


def _draw(rng: np.random.Generator, nodes: int, implications: int, depth: int, equivalent: int) -> Graph | None:
    """Planted implications and their closure; None after a dead end."""
    base = nodes - equivalent
    follows = np.zeros((2 * base, 2 * base), np.bool_)
    planted: list[tuple[int, int]] = []
    chain = 2 * rng.permutation(base)[: depth + 1] + rng.integers(2, size=depth + 1)
    pairs = [*pairwise(chain.tolist()), *rng.integers(2 * base, size=(TRIES * implications, 2)).tolist()]
    for p, q in pairs:
        if len(planted) == implications:
            break
        if p >> 1 == q >> 1 or follows[p, q]:
            continue
        grown = _with(_with(follows, p, q), q ^ 1, p ^ 1)
        codes = np.arange(2 * base)
        if grown.diagonal().any() or grown[codes, codes ^ 1].any() or _longest(grown) > depth:
            continue
        follows = grown
        planted.append((p, q))
    if len(planted) < implications:
        return None
    return _copied(rng, planted, follows, nodes)


def _with(follows: Relation, p: int, q: int) -> Relation:
    """Transitive closure of `follows` together with p -> q."""
    before, after = follows[:, p].copy(), follows[q].copy()
    before[p] = after[q] = True
    return follows | np.outer(before, after)


def _longest(follows: Relation) -> int:
    """Steps of the longest chain of a transitive relation without cycles."""
    steps = np.zeros(len(follows), np.int64)
    for literal in np.argsort(follows.sum(axis=1), kind="stable").tolist():
        below = steps[follows[literal]]
        steps[literal] = below.max() + 1 if len(below) else 0
    return int(steps.max())


def _copied(rng: np.random.Generator, planted: list[tuple[int, int]], follows: Relation, nodes: int) -> Graph:
    """Graph with copies of some nodes, up to `nodes`, under new numbers."""
    base, number = len(follows) // 2, rng.permutation(nodes)
    origin = np.concatenate([np.arange(base), rng.permutation(base)[: nodes - base]])
    flipped = np.concatenate([np.zeros(base, np.int64), rng.integers(2, size=nodes - base)])
    code = np.empty(2 * nodes, np.int64)  # literal that each new literal copies
    code[2 * number], code[2 * number + 1] = 2 * origin + flipped, 2 * origin + 1 - flipped
    itself = np.eye(2 * base, dtype=np.bool_)
    wide = (follows | itself)[np.ix_(code, code)]
    np.fill_diagonal(wide, False)
    literals = (2 * number[:, None] + np.arange(2)).tolist()
    new = {int(code[literal]): literal for pair in literals[:base] for literal in pair}
    pairs = [(new[p], new[q]) for p, q in planted]
    for _, copy in literals[base:]:
        pairs += [(new[int(code[copy])], copy), (copy, new[int(code[copy])])]
    return tuple((Literal.of(p), Literal.of(q)) for p, q in pairs), wide
