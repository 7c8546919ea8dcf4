"""Mining of implications: count a tile of pairs, sift, judge, keep."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from ndg.bits.matrix import BitMatrix
from ndg.errors import BitsError, BudgetError, ConfigError, ShapeError
from ndg.mining.counters import Counter, Packed, Survivors, count, one_thread
from ndg.mining.counts import Contingency
from ndg.mining.criteria import Criterion, Sieve, criterion, sieve_of
from ndg.mining.implication_buffer import Chunk, ImplicationBuffer, OverBudgetError, advice
from ndg.mining.implications import Implications
from ndg.mining.pairs import Candidates, Pairs, candidates, constants
from ndg.options import plain_number
from ndg.progress import bar

MAX_EDGES = 50_000_000
"""Default limit of kept implications, contrapositives included: about a gigabyte."""

RULES = 60
"""Criteria of one counting pass, one bit of an integer each."""

TASKS = 64
"""Number of tasks for workers."""

Rule = str | Criterion | Callable[..., Any]
Total = Callable[..., Any]
"""Method `total` of an executor: the sum of `work(shared, task)` over tasks."""


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
    """Implications among the nodes of `bits` that hold under a criterion.

    See Hu & Tian 2022, section 3. Counts of several matrices over the same nodes add. A node with a rate below 1e-4 or
    above 1 - 1e-4 is constant and takes part in no implication. Between two labels, or two concepts, only equivalences
    are kept. `pairs` selects the layers to pair (`ndg.mining.pairs.candidates`). Memory is one tile of counts and the
    implications, at most `max_edges`. `device` counts by matrix products on an accelerator; `total` of an executor
    distributes the tiles. Neither changes the result.

    Raises BitsError without examples, ConfigError for an unknown criterion or a parameter out of range, and BudgetError
    if more than `max_edges` implications hold.
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
    """Implications under each of several criteria, from one count of all pairs; see `find`.

    `max_edges` limits those that hold under any of them. `fisher` takes counting passes of its own.
    """
    if len(rules) > RULES:
        options: dict[str, Any] = {"pairs": pairs, "max_edges": max_edges, "device": device, "total": total}
        return [*sweep(bits, rules[:RULES], **options), *sweep(bits, rules[RULES:], **options)]
    shards: list[Any] = list(bits) if isinstance(bits, list | tuple) else [bits]
    max_edges = plain_number(max_edges)
    if max_edges is not None and (type(max_edges) is not int or max_edges < 0):
        raise ConfigError(
            f"max_edges, the limit of kept implications, must be at least 0; got {max_edges!r:.80}; leave it out"
        )
    nodes = _nodes(shards)
    counter = counter_of(shards, device)
    candidate_pairs = candidates(nodes, counter.on, counter.examples, pairs)
    fitted = [_fitted(rule, counter, candidate_pairs) for rule in rules]
    mining = Mining(counter, candidate_pairs, tuple(fitted), MAX_EDGES if max_edges is None else max_edges)
    buffer = _mine(mining, total)
    facts: dict[str, Any] = {
        "nodes": nodes,
        "on": counter.on,
        "with_label": np.sum([count(shard, rows=slice(0, nodes.labels)).both for shard in shards], axis=0),
        "examples": counter.examples,
        "constants": constants(candidate_pairs.varies, counter.on, counter.examples),
        "thresholds": np.array(shards[0].thresholds),
        "binarizer": shards[0].binarizer,
        "bits_digest": _digest(shards),
        "tests": candidate_pairs.tests,
    }
    return [
        Implications(**facts, **buffer.columns(number, 2 * len(nodes)), criterion=rule.to_dict())
        for number, rule in enumerate(fitted)
    ]


def counter_of(shards: Sequence[BitMatrix], device: str = "cpu") -> Counter:
    """Counter of pairs: bits on the CPU, matrix products elsewhere."""
    if device == "cpu":
        return Packed.of(shards)
    from ndg.mining.dense import Dense

    return Dense.of(shards, device)


@dataclass(frozen=True, eq=False)
class Mining:
    """Everything needed to judge a tile, here or in a worker."""

    counter: Counter
    candidates: Candidates
    rules: tuple[Criterion, ...]
    budget: int

    def tile(self, rows: slice, columns: slice) -> tuple[Chunk, int]:
        """Implications of a tile, and its number of node pairs."""
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
        """Number of node pairs in a tile."""
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
        holding = rules != 0
        return Chunk(
            (2 * first + p)[holding].astype(np.int32),
            (2 * second + q)[holding].astype(np.int32),
            exceptions[holding],
            rules[holding],
        )


def mine_tiles(mining: Mining, tiles: Iterable[tuple[slice, slice]]) -> ImplicationBuffer:
    """Implications of some tiles."""
    return ImplicationBuffer(mining.budget).extend(mining.tile(*tile) for tile in tiles)


def mine_on_one_core(mining: Mining, tiles: list[tuple[slice, slice]]) -> ImplicationBuffer:
    """Implications of some tiles, in a worker with one core."""
    with one_thread():
        return mine_tiles(mining, tiles)


def _mine(mining: Mining, total: Total | None) -> ImplicationBuffer:
    """Implications of all tiles, shuffled so that the first ones represent the others."""
    tiles = list(mining.candidates.tiles(mining.counter.edge))
    tiles = [tiles[number] for number in np.random.default_rng(0).permutation(len(tiles))]
    start = ImplicationBuffer(mining.budget)
    try:
        if total is None or not tiles:
            return start + mine_tiles(mining, bar(tiles, "count pairs", unit="tile"))
        size = -(-len(tiles) // TASKS)
        parts = [tiles[first : first + size] for first in range(0, len(tiles), size)]
        return total(mine_on_one_core, mining, parts, "count pairs", count=len(parts), start=start)
    except OverBudgetError as error:
        on, examples = mining.counter.on, mining.counter.examples
        holds = np.stack([examples - on, on], axis=1).reshape(-1)
        pairs = sum(mining.pairs(*tile) for tile in tiles)
        raise BudgetError(advice(error.buffer, mining.rules, holds, examples, pairs)) from None


def _one_way(
    first: Int32[np.ndarray, " pair"],
    second: Int32[np.ndarray, " pair"],
    unlike: Int32[np.ndarray, " pair"],
    holds: Bool[np.ndarray, " pair"],
    alike: Bool[np.ndarray, " pair"],
) -> Bool[np.ndarray, " pair"]:
    """Mask of implications between two labels, or concepts, without a converse."""
    # the converse of p -> q is the contrapositive of ~p -> ~q: in both, values are alike, or both unlike
    single = np.zeros(len(first), np.bool_)
    where = np.flatnonzero(alike & holds)
    keys = (first[where].astype(np.int64) << 33) + (second[where].astype(np.int64) << 1) + unlike[where]
    _, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    single[where] = times[inverse] < 2
    return single


def _fitted(rule: Criterion, counter: Counter, candidate_pairs: Candidates) -> Criterion:
    """The criterion, fitted to all pairs if it has `fit`."""
    fit = getattr(rule, "fit", None)
    return rule if fit is None else fit(partial(_pairs, counter, candidate_pairs))


def _pairs(
    counter: Counter, candidate_pairs: Candidates
) -> Iterator[tuple[Contingency, Bool[np.ndarray, "row column"]]]:
    for rows, columns in bar(list(candidate_pairs.tiles(counter.edge)), "count all pairs", unit="tile"):
        yield counter.count(rows, columns), candidate_pairs.mask(rows, columns)


def _nodes(shards: list[BitMatrix]) -> Any:
    for shard in shards:
        if not isinstance(shard, BitMatrix):
            raise BitsError(
                f"bits to mine must be a BitMatrix or a list of them; got {type(shard).__name__}; make one with "
                "ndg.extract, BitMatrix.from_bool or BitMatrix.open"
            )
    if not shards or not sum(shard.examples for shard in shards):
        raise BitsError("bits to mine must have at least one example; got none; check the loader and the split")
    first = shards[0]
    for shard in shards[1:]:
        if shard.nodes != first.nodes or not np.array_equal(shard.thresholds, first.thresholds, equal_nan=True):
            raise ShapeError(
                f"examples mined together must have the same nodes and thresholds: expected {first.nodes}, got "
                f"{shard.nodes}; extract the others with like=the first"
            )
    return first.nodes


def _digest(shards: list[BitMatrix]) -> str:
    """Digest of the bits; of several matrices, one of their digests."""
    if len(shards) == 1:
        return shards[0].digest
    return hashlib.sha256(" ".join(shard.digest for shard in shards).encode()).hexdigest()[:16]
