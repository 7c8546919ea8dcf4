"""From packed booleans to implications: count a tile of pairs, sift it, judge what is left, keep what holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32, Int64

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError, BudgetError, ConfigError, ShapeError
from ndg.mining.counters import Counter, Packed, Survivors, count
from ndg.mining.counts import Contingency
from ndg.mining.criteria import Criterion, Sieve, criterion, sieve_of
from ndg.mining.implication_buffer import Chunk, Found, OverBudgetError, advice
from ndg.mining.implications import Implications
from ndg.mining.pairs import Candidates, Pairs, candidates, constants
from ndg.progress import bar

MAX_EDGES = 50_000_000
"""Implications (both of a pair) that are kept at most, unless asked otherwise: about a gigabyte."""

RULES = 60
"""Criteria of one counting pass; what holds under each is one bit of an integer."""

TASKS = 64
"""Tasks that tiles are shared out in, where workers count them."""

Rule = str | Criterion | Callable[..., Any]
Total = Callable[..., Any]
"""`total` of an executor: the sum of `work(shared, task)` over tasks."""


def find(
    bits: BitMatrix | Sequence[BitMatrix],
    rule: Rule = "paper",
    *,
    pairs: Pairs = "all",
    max_edges: int | None = None,
    device: str = "cpu",
    total: Total | None = None,
    **parameters: Any,
) -> Implications:
    """The implications among the nodes of `bits` that hold under a criterion (Hu & Tian 2022, section 3).

    Of several matrices over the same nodes, each with examples of its own, the counts add. A node whose rate of being
    on is below 1e-4 or above 1 - 1e-4 is constant and takes part in none. Two labels imply each other's negation
    trivially, so of label pairs only equivalences are kept (in a binary task, label 0 is not label 1); of pairs of
    concepts likewise. `pairs` narrows the layers that are paired (`ndg.mining.pairs.candidates`). Memory is one tile of
    counts and the implications found, at most `max_edges`. `device` counts by matrix products on an accelerator;
    `total` is that of an executor, which shares the tiles out. The result depends on neither.

    Raises BitsError without examples, ConfigError for an unknown criterion or a parameter out of range, BudgetError
    when more implications hold than `max_edges`.
    """
    rules = [criterion(rule, **parameters)]
    return sweep(bits, rules, pairs=pairs, max_edges=max_edges, device=device, total=total)[0]


def sweep(
    bits: BitMatrix | Sequence[BitMatrix],
    rules: Sequence[Criterion],
    *,
    pairs: Pairs = "all",
    max_edges: int | None = None,
    device: str = "cpu",
    total: Total | None = None,
) -> list[Implications]:
    """The implications under each of several criteria, from one count of all pairs; `find` says the rest.

    `max_edges` bounds those that hold under any of them. A criterion that must see all pairs before it judges any
    (`fisher`) takes counting passes of its own.
    """
    if len(rules) > RULES:
        how: dict[str, Any] = {"pairs": pairs, "max_edges": max_edges, "device": device, "total": total}
        return [*sweep(bits, rules[:RULES], **how), *sweep(bits, rules[RULES:], **how)]
    shards: list[Any] = list(bits) if isinstance(bits, list | tuple) else [bits]
    if max_edges is not None and max_edges < 0:
        raise ConfigError(f"max_edges, the number of implications to keep at most, is at least 0; got {max_edges}")
    nodes = _nodes(shards)
    counter = counter_of(shards, device)
    among = candidates(nodes, counter.on, counter.examples, pairs)
    fitted = [_fitted(rule, counter, among) for rule in rules]
    mining = Mining(counter, among, tuple(fitted), MAX_EDGES if max_edges is None else max_edges)
    found = _search(mining, total)
    facts: dict[str, Any] = {
        "nodes": nodes,
        "on": counter.on,
        "with_label": _with_label(shards),
        "examples": counter.examples,
        "constants": constants(among.varies, counter.on, counter.examples),
        "thresholds": np.array(shards[0].thresholds),
        "binarizer": shards[0].binarizer,
        "bits_digest": _digest(shards),
        "tests": among.tests,
    }
    return [
        Implications(**facts, **found.arranged(number, 2 * len(nodes)), criterion=rule.to_dict())
        for number, rule in enumerate(fitted)
    ]


def counter_of(shards: Sequence[BitMatrix], device: str = "cpu") -> Counter:
    """What counts the pairs: bits on the CPU, matrix products on any other device."""
    if device == "cpu":
        return Packed.of(shards)
    from ndg.mining.dense import Dense

    return Dense.of(shards, device)


@dataclass(frozen=True, eq=False)
class Mining:
    """Everything that the judgement of a tile needs, in this process or in a worker."""

    counter: Counter
    candidates: Candidates
    rules: tuple[Criterion, ...]
    budget: int

    def tile(self, rows: slice, columns: slice) -> tuple[Chunk, int]:
        """What holds in a tile, and the number of its pairs of nodes."""
        sieves = [sieve_of(rule) for rule in self.rules]
        loosest = Sieve(
            max(sieve.product for sieve in sieves),
            min(sieve.floor for sieve in sieves),
            max(sieve.margin for sieve in sieves),
            min(sieve.support for sieve in sieves),
        )
        passed = self.counter.survivors(rows, columns, self.candidates.varies, loosest)
        return self._judged(passed), self.pairs(rows, columns)

    def pairs(self, rows: slice, columns: slice) -> int:
        """Pairs of nodes in a tile."""
        height, width = len(self.counter.on[rows]), len(self.counter.on[columns])
        return height * (height - 1) // 2 if rows == columns else height * width

    def _judged(self, passed: Survivors) -> Chunk:
        group = self.candidates.group
        allowed = self.candidates.allowed[group[passed.first], group[passed.second]]
        first, second, kind, both = (
            column[allowed] for column in (passed.first, passed.second, passed.kind, passed.both)
        )
        on, n = self.counter.on, self.counter.examples
        p, q = kind >> 1, kind & 1
        antecedent = np.where(p, on[first], n - on[first])
        negation = np.where(q, n - on[second], on[second])
        exceptions = np.where(q, on[first] - both, both)
        exceptions = np.where(p, exceptions, negation - exceptions)
        rules = np.zeros(len(first), np.int64)
        alike = (group[first] == group[second]) & self.candidates.observed[group[first]]
        for number, rule in enumerate(self.rules):
            holds = rule.holds(exceptions, antecedent, negation, n)
            rules |= (holds & ~_one_way(first, second, p ^ q, holds, alike)).astype(np.int64) << number
        kept = rules != 0
        return Chunk(
            (2 * first + p)[kept].astype(np.int32),
            (2 * second + q)[kept].astype(np.int32),
            exceptions[kept],
            rules[kept],
        )


def work(mining: Mining, tiles: Iterable[tuple[slice, slice]]) -> Found:
    """What holds in some tiles."""
    return Found(mining.budget).filled(mining.tile(*tile) for tile in tiles)


def alone(mining: Mining, tiles: list[tuple[slice, slice]]) -> Found:
    """What holds in some tiles, in a worker, which has one core."""
    import numba

    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        return work(mining, tiles)
    finally:
        numba.set_num_threads(threads)


def _search(mining: Mining, total: Total | None) -> Found:
    """What holds in all tiles, counted here or shared out.

    The tiles come in a shuffled order, so that those counted when a budget is exceeded speak for the others.
    """
    tiles = list(mining.candidates.tiles(mining.counter.edge))
    tiles = [tiles[number] for number in np.random.default_rng(0).permutation(len(tiles))]
    start = Found(mining.budget)
    try:
        if total is None or not tiles:
            return start + work(mining, bar(tiles, "count pairs", unit="tile"))
        size = -(-len(tiles) // TASKS)
        parts = [tiles[first : first + size] for first in range(0, len(tiles), size)]
        return total(alone, mining, parts, "count pairs", count=len(parts), start=start)
    except OverBudgetError as error:
        on, examples = mining.counter.on, mining.counter.examples
        holds = np.stack([examples - on, on], axis=1).reshape(-1)
        pairs = sum(mining.pairs(*tile) for tile in tiles)
        raise BudgetError(advice(error.found, mining.rules, holds, examples, pairs)) from None


def _one_way(
    first: Int32[np.ndarray, " pair"],
    second: Int32[np.ndarray, " pair"],
    unlike: Int32[np.ndarray, " pair"],
    holds: Bool[np.ndarray, " pair"],
    alike: Bool[np.ndarray, " pair"],
) -> Bool[np.ndarray, " pair"]:
    """Which implications between two labels, or two concepts, have no converse that holds.

    The converse of p -> q between the same nodes is the contrapositive of ~p -> ~q: both have the same values of nodes,
    alike or unlike.
    """
    single = np.zeros(len(first), np.bool_)
    where = np.flatnonzero(alike & holds)
    keys = (first[where].astype(np.int64) << 33) + (second[where].astype(np.int64) << 1) + unlike[where]
    _, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    single[where] = times[inverse] < 2
    return single


def _fitted(rule: Criterion, counter: Counter, among: Candidates) -> Criterion:
    """The criterion itself, or what `fit` makes of it from all pairs."""
    fit = getattr(rule, "fit", None)
    return rule if fit is None else fit(partial(_pairs, counter, among))


def _pairs(counter: Counter, among: Candidates) -> Iterator[tuple[Contingency, Bool[np.ndarray, "row column"]]]:
    tiles = list(among.tiles(counter.edge))
    for rows, columns in bar(tiles, "count all pairs", unit="tile"):
        yield counter.count(rows, columns), among.mask(rows, columns)


def _nodes(shards: list[BitMatrix]) -> Any:
    for shard in shards:
        if not isinstance(shard, BitMatrix):
            raise BitsError(
                f"implications are mined from a BitMatrix or a list of them; got {type(shard).__name__}; make one with "
                "ndg.extract, BitMatrix.from_bool or BitMatrix.open"
            )
    if not shards or not sum(shard.examples for shard in shards):
        raise BitsError("implications are mined from at least one example; got none; check the loader and the split")
    first = shards[0]
    for shard in shards[1:]:
        if shard.nodes != first.nodes or not np.array_equal(shard.thresholds, first.thresholds, equal_nan=True):
            raise ShapeError(
                f"examples mined together have the same nodes and thresholds: expected {first.nodes}, got "
                f"{shard.nodes}; extract the others with like=the first"
            )
    return first.nodes


def _with_label(shards: list[BitMatrix]) -> Int64[np.ndarray, "label node"]:
    labels = slice(0, shards[0].nodes.labels)
    return np.sum([count(shard, rows=labels).both for shard in shards], axis=0)


def _digest(shards: list[BitMatrix]) -> str:
    """The digest of the bits; of several matrices, one of their digests."""
    if len(shards) == 1:
        return shards[0].digest
    return hashlib.sha256(" ".join(shard.digest for shard in shards).encode()).hexdigest()[:16]
