"""Candidates: the pairs of nodes to judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError, nearest
from ndg.literal import Literal
from ndg.nodes import CONCEPT, LABEL, NodeSpace

CONSTANT = 1e-4
"""A node is constant if its rate is below this, or above one minus this (Hu & Tian 2022)."""

PAIRS = ("all", "between", "within")

Pairs = str | Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of varying nodes to judge.

    Within `observed` groups only equivalences, which are no tests.
    """

    varies: Bool[np.ndarray, " node"]
    group: Int64[np.ndarray, " node"]
    allowed: Bool[np.ndarray, "group group"]
    observed: Bool[np.ndarray, " group"]

    @property
    def tests(self) -> int:
        """Number of tests {p -> q, ~q -> ~p}, four per pair."""
        size = np.bincount(self.group[self.varies], minlength=len(self.observed)).astype(object)
        within = sum(int(s * (s - 1) // 2) for s in size[self.allowed.diagonal() & ~self.observed])
        between = sum(int(size[a] * size[b]) for a, b in zip(*np.nonzero(np.triu(self.allowed, 1)), strict=True))
        return 4 * (within + between)

    def mask(self, rows: slice, columns: slice) -> Bool[np.ndarray, "row column"]:
        """Tests of one tile: candidates with row before column, without label pairs."""
        g, h = self.group[rows], self.group[columns]
        mask = self.varies[rows, None] & self.varies[None, columns] & self.allowed[g[:, None], h[None, :]]
        mask &= ~(self.observed[g][:, None] & (g[:, None] == h[None, :]))
        first, second = np.arange(rows.start, rows.start + len(g)), np.arange(columns.start, columns.start + len(h))
        return mask & (first[:, None] < second[None, :])

    def tiles(self, edge: int) -> Iterator[tuple[slice, slice]]:
        """Tiles (rows, columns) with a candidate, `edge` nodes a side."""
        size = len(self.group)
        parts = [slice(start, min(start + edge, size)) for start in range(0, size, edge)]
        present = [np.unique(self.group[part][self.varies[part]]) for part in parts]
        for i, rows in enumerate(parts):
            for j in range(i, len(parts)):
                if self.allowed[np.ix_(present[i], present[j])].any():
                    yield rows, parts[j]


def candidates(nodes: NodeSpace, on: Int64[np.ndarray, " node"], examples: int, pairs: Pairs = "all") -> Candidates:
    """Candidates among nodes with `on[i]` of `examples` examples on.

    `pairs` is `all`, `between` (different layers), `within` (one layer), or pairs of layer names, such as `[("encoder",
    "decoder"), ("label", "decoder")]`.
    """
    names = [name for name, _ in nodes.groups]
    group = np.zeros(len(nodes), np.int64)
    for number, (_, where) in enumerate(nodes.groups):
        group[where] = number
    same = np.eye(len(names), dtype=np.bool_)
    check_pairs(pairs, names)
    if isinstance(pairs, str):
        allowed = {"all": np.ones_like(same), "between": ~same, "within": same}[pairs]
    else:
        allowed = np.zeros_like(same)
        for pair in pairs:
            first, second = map(names.index, pair)
            allowed[first, second] = allowed[second, first] = True
    return Candidates(
        varies=(on >= CONSTANT * examples) & (on <= (1 - CONSTANT) * examples),
        group=group,
        allowed=allowed,
        observed=np.array([name in (LABEL, CONCEPT) for name in names], dtype=np.bool_),
    )


def pairs_of(nodes: NodeSpace, pairs: Pairs = "all") -> int:
    """Number of node pairs to judge if every node varies."""
    candidate_pairs = candidates(nodes, np.ones(len(nodes), np.int64), 2, pairs)
    return replace(candidate_pairs, observed=np.zeros_like(candidate_pairs.observed)).tests // 4


def check_pairs(pairs: Any, names: Sequence[str]) -> None:
    """Raise ConfigError unless `pairs` is in PAIRS or pairs of `names`."""
    if isinstance(pairs, str) and pairs in PAIRS:
        return
    rule = f"mining.pairs must be {', '.join(PAIRS)} or"
    if isinstance(pairs, str):
        raise ConfigError(f"{rule} pairs of layers; got {pairs!r}; {nearest(pairs, PAIRS)}")
    if not isinstance(pairs, list | tuple) or not pairs:
        raise ConfigError(f"{rule} a list of at least one pair of layers; got {pairs!r}")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ConfigError(f"a pair of layers must be two names, as in ('encoder', 'label'); got {pair!r}")
        for name in pair:
            if name not in names:
                raise ConfigError(
                    f"mining.pairs must name layers of the network; got {name!r}; {nearest(str(name), names)}"
                )


def constants(varies: Bool[np.ndarray, " node"], on: Int64[np.ndarray, " node"], examples: int) -> tuple[Literal, ...]:
    """Literals that (nearly) always hold."""
    return tuple(Literal(int(node), bool(2 * on[node] > examples)) for node in np.flatnonzero(~varies))
