"""Search for small sets of units that flip many rows.

    prefix     the first units of a given order, as few as do it
    greedy     one unit after the other, each time the one that raises the target's margin most
    eliminate  what is left of such a set when no unit of it can be dropped any more
    exhaust    all sets below a bound, by rising size: a smallest one, and whether it is known to be that

All rows advance together, and every row's answer depends on that row alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from jaxtyping import Bool, Float64, Int64

STEP = 8
"""Lengths of a prefix that are tried at a time."""

CELLS = 1 << 22
"""Booleans of sets under trial that are held at a time."""

Rows = Int64[np.ndarray, " row"]
Sets = Bool[np.ndarray, "row unit"]
Order = Int64[np.ndarray, "row unit"]
Flags = Bool[np.ndarray, " row"]
Ask = Callable[[Rows, Sets], tuple[Flags, Float64[np.ndarray, " row"]]]
"""Whether these rows, each with the units of its set written the other way, are of their target class, and the margin
of the target's logit above the largest other one."""


@dataclass(frozen=True, eq=False)
class Found:
    """Units of each row in order of addition.

    `size` of them suffice (0: none).
    """

    order: Order
    size: Rows
    tried: Rows

    @property
    def sets(self) -> Sets:
        return places(self.order) < self.size[:, None]


@dataclass(frozen=True, eq=False)
class Smallest:
    """The smallest known set of each row, and whether it is proven."""

    sets: Sets
    exact: Flags

    @property
    def size(self) -> Rows:
        return self.sets.sum(axis=1)


def prefix(ask: Ask, order: Order, length: Rows) -> Found:
    """The shortest sufficient prefix of each row's order."""
    rows, units = order.shape
    size = np.zeros(rows, np.int64)
    place = places(order)
    for start in range(0, int(length.max(initial=0)), STEP):
        open_rows = np.flatnonzero((size == 0) & (length > start))
        for part in _parts(open_rows, STEP * units):
            row, taken = (grid.reshape(-1) for grid in np.meshgrid(part, np.arange(start, start + STEP), indexing="ij"))
            allowed = taken < length[row]
            row, taken = row[allowed], taken[allowed] + 1
            reached, _ = ask(row, place[row] < taken[:, None])
            row, taken = row[reached], taken[reached]
            first, at = np.unique(row, return_index=True)
            size[first] = taken[at]
    return Found(order, size, np.where(size > 0, size, length))


def greedy(ask: Ask, allowed: Sets, budget: int) -> Found:
    """Allowed units, added one by one by the largest margin.

    Ties go to the smaller index. A row stops before its next step would exceed `budget` trials.
    """
    rows, units = allowed.shape
    sets, order = np.zeros((rows, units), np.bool_), np.zeros((rows, units), np.int64)
    size, tried = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    for step in range(units):
        left = (allowed & ~sets).sum(axis=1)
        going = (size == 0) & (left > 0) & (tried + left <= budget)
        if not going.any():
            break
        for part in _parts(np.flatnonzero(going), units * units):
            at, unit = np.nonzero((allowed & ~sets)[part])
            grown = sets[part[at]]
            grown[np.arange(len(at)), unit] = True
            reached, margin = ask(part[at], grown)
            margins, done = np.full((len(part), units), -np.inf), np.zeros((len(part), units), np.bool_)
            margins[at, unit], done[at, unit] = margin, reached
            best = margins.argmax(axis=1)
            sets[part, best] = True
            order[part, step] = best
            tried[part] += left[part]
            size[part[done[np.arange(len(part)), best]]] = step + 1
    return Found(_completed(order, sets), size, tried)


def eliminate(ask: Ask, result: Found) -> tuple[Sets, Rows]:
    """Sets without superfluous units, dropped from the last, and trials."""
    sets, trials = result.sets, np.zeros(len(result.size), np.int64)
    open_rows = result.size > 0
    while open_rows.any():
        dropped = np.zeros(len(sets), np.bool_)
        for step in range(int(result.size[open_rows].max()) - 1, -1, -1):
            unit = result.order[:, step]
            row = np.flatnonzero(open_rows & (step < result.size) & sets[np.arange(len(sets)), unit])
            if not len(row):
                continue
            tried = sets[row]
            tried[np.arange(len(row)), unit[row]] = False
            reached, _ = ask(row, tried)
            trials[row] += 1
            sets[row[reached], unit[row[reached]]] = False
            dropped[row[reached]] = True
        open_rows &= dropped
    return sets, trials


def exhaust(ask: Ask, sets: Sets, order: Order, length: Rows, budget: int) -> Smallest:
    """The smallest sets among the first `length` units of each order.

    The known sets stay unless a smaller one exists. All sets of a size are tried or none, as long as a row's trials
    stay within `budget`. Of several sets the first is taken, in the row's order of units.
    """
    sets, exact = sets.copy(), np.zeros(len(sets), np.bool_)
    units = sets.shape[1]
    for universe in np.unique(length).tolist():
        group = np.flatnonzero(length == universe)
        spent = 0
        for size in range(1, universe + 1):
            exact[group] |= sets[group].sum(axis=1) == size  # all smaller ones were tried
            spent += math.comb(universe, size)
            if exact[group].all() or spent > budget:
                break
            for chosen in _combinations(universe, size, max(CELLS // (16 * units), 1)):
                for part in _parts(group[~exact[group]], len(chosen) * units):
                    row = np.repeat(part, len(chosen))
                    tried = np.zeros((len(row), units), np.bool_)
                    np.put_along_axis(tried, order[part][:, chosen].reshape(-1, size), True, axis=1)
                    reached, _ = ask(row, tried)
                    first, at = np.unique(row[reached], return_index=True)
                    sets[first], exact[first] = tried[reached][at], True
        else:
            exact[group] = True
    return Smallest(sets, exact)


def smaller(first: Sets, second: Sets) -> Sets:
    """The smaller non-empty set of each row, ties by the first."""
    size, other = first.sum(axis=1), second.sum(axis=1)
    better = (other > 0) & ((size == 0) | (other < size))
    return np.where(better[:, None], second, first)


def places(order: Order) -> Order:
    """Where each unit stands in its row's order."""
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(order.shape[1])[None, :], axis=1)
    return place


def _completed(order: Order, sets: Sets) -> Order:
    """The added units in order, then all others by index."""
    completed = order.copy()
    for row, (added, chosen) in enumerate(zip(sets.sum(axis=1).tolist(), sets, strict=True)):
        completed[row, added:] = np.flatnonzero(~chosen)
    return completed


def _parts(rows: Rows, cells: int) -> Iterator[Rows]:
    """Blocks of rows that fit in memory."""
    count = max(CELLS // max(cells, 1), 1)
    return (rows[start : start + count] for start in range(0, len(rows), count))


def _combinations(units: int, size: int, count: int) -> Iterator[Int64[np.ndarray, "set place"]]:
    """All sets of a size of `range(units)`, in lexicographic order."""
    drawn = combinations(range(units), size)
    while chunk := list(islice(drawn, count)):
        yield np.array(chunk, np.int64)
