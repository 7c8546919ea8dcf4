"""Compiled traversals over arcs, and counts of pairs of packed rows.

Arcs are sorted by tail and head; those of tail `t` are `heads[starts[t]:starts[t + 1]]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ndg.compiled import njit

NUMBERS = types.Array(types.int64, 1, "C", readonly=True)
CODES = types.Array(types.int32, 1, "C", readonly=True)
RATES = types.Array(types.float64, 1, "C", readonly=True)
RESULT = types.Array(types.int64, 1, "C")
MARKS = types.Array(types.boolean, 1, "C")
WORDS = types.Array(types.uint64, 2, "C")
PACKED = types.Array(types.uint64, 2, "C", readonly=True)
TILE = types.Array(types.int64, 2, "C")
OPTIONS: Any = {"nogil": True, "boundscheck": False}


@njit(types.int64(NUMBERS, NUMBERS, RESULT), **OPTIONS)
def longest(starts, heads, level):
    """Write longest path lengths and count cyclic nodes, at -1 (Kahn 1962)."""
    nodes = len(level)
    waiting = np.zeros(nodes, np.int64)
    for head in heads:
        waiting[head] += 1
    queue = np.empty(nodes, np.int64)
    end = 0
    for node in range(nodes):
        level[node] = 0
        if waiting[node] == 0:
            queue[end] = node
            end += 1
    at = 0
    while at < end:
        node = queue[at]
        at += 1
        for arc in range(starts[node], starts[node + 1]):
            head = heads[arc]
            level[head] = max(level[head], level[node] + 1)
            waiting[head] -= 1
            if waiting[head] == 0:
                queue[end] = head
                end += 1
    for node in range(nodes):
        if waiting[node] > 0:
            level[node] = -1
    return nodes - end


@njit(types.void(NUMBERS, NUMBERS, NUMBERS, types.int64, types.int64, WORDS, MARKS, MARKS), **OPTIONS)
def reach_block(starts, heads, mirror, low, high, below, essential, mirrored):
    """Write the components from `low` to `high` that each one reaches.

    They are bits of `below`. Marks the arcs to them that no other path replaces, and the components that reach their
    `mirror` among them. Blocks come in ascending order: an arc to an earlier block is marked already, one to a later
    block leads nowhere here. Heads are visited in topological order, so a head reached through another one is covered
    before its turn.
    """
    one, last = np.uint64(1), np.uint64(63)
    words = below.shape[1]
    for tail in range(high - 1, -1, -1):
        for word in range(words):
            below[tail, word] = 0
        for arc in range(starts[tail], starts[tail + 1]):
            head = heads[arc]
            if head >= high:
                break
            if head >= low:
                bit = np.uint64(head - low)
                essential[arc] = (below[tail, np.int64(bit >> np.uint64(6))] >> (bit & last)) & one == 0
            if essential[arc]:
                for word in range(words):
                    below[tail, word] |= below[head, word]
        if tail >= low:
            bit = np.uint64(tail - low)
            below[tail, np.int64(bit >> np.uint64(6))] |= one << (bit & last)
        if low <= mirror[tail] < high:
            bit = np.uint64(mirror[tail] - low)
            mirrored[tail] = (below[tail, np.int64(bit >> np.uint64(6))] >> (bit & last)) & one == 1


@njit(types.void(NUMBERS, NUMBERS, MARKS), **OPTIONS)
def follow(starts, heads, seen):
    """Mark all nodes that marked nodes reach.

    Arcs go to higher numbers.
    """
    for tail in range(len(seen)):
        if seen[tail]:
            for arc in range(starts[tail], starts[tail + 1]):
                seen[heads[arc]] = True


@njit(types.void(NUMBERS, NUMBERS, WORDS), **OPTIONS)
def follow_each(starts, heads, seen):
    """The same for 64 sets of nodes per word."""
    for tail in range(len(seen)):
        for arc in range(starts[tail], starts[tail + 1]):
            for word in range(seen.shape[1]):
                seen[heads[arc], word] |= seen[tail, word]


@njit(types.void(NUMBERS, CODES, CODES, CODES, RESULT), **OPTIONS)
def lookup(starts, heads, tails, wanted, positions):
    """Write the position of each arc, tail to `wanted`; else -1."""
    for query in range(len(tails)):
        low, high = starts[tails[query]], starts[tails[query] + 1]
        end = high
        while low < high:
            middle = (low + high) >> 1
            if heads[middle] < wanted[query]:
                low = middle + 1
            else:
                high = middle
        positions[query] = low if low < end and heads[low] == wanted[query] else -1


@njit(types.void(NUMBERS, NUMBERS, NUMBERS, CODES, CODES, RATES, NUMBERS, RESULT), **OPTIONS)
def strongest_edges(starts, heads, component, antecedents, consequents, precision, support, best):
    """Write the first edge of highest precision, then support, of each arc."""
    for arc in range(len(best)):
        best[arc] = -1
    for edge in range(len(antecedents)):
        tail, wanted = component[antecedents[edge]], component[consequents[edge]]
        low, end = starts[tail], starts[tail + 1]
        low += np.searchsorted(heads[low:end], wanted)
        if low == end or heads[low] != wanted:
            continue
        rival = best[low]
        if (
            rival < 0
            or precision[edge] > precision[rival]
            or (precision[edge] == precision[rival] and support[edge] > support[rival])
        ):
            best[low] = edge


@njit(types.int64(NUMBERS, NUMBERS, types.int64, types.int64), **OPTIONS)
def circuits(starts, heads, roots, limit):
    """Number of cycles with lowest node below `roots`, up to `limit` (Johnson 1975)."""
    nodes, arcs = len(starts) - 1, len(heads)
    into = np.zeros(nodes + 1, np.int64)
    for head in heads:
        into[head + 1] += 1
    for node in range(nodes):
        into[node + 1] += into[node]
    filled = into.copy()
    source, number = np.empty(arcs, np.int64), np.empty(arcs, np.int64)
    for tail in range(nodes):
        for arc in range(starts[tail], starts[tail + 1]):
            place = filled[heads[arc]]
            source[place], number[place] = tail, arc
            filled[heads[arc]] += 1

    path, turn, freed = np.empty(nodes, np.int64), np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    count = 0
    for root in range(roots):
        blocked, closed, waits = np.zeros(nodes, np.bool_), np.zeros(nodes, np.bool_), np.zeros(arcs, np.bool_)
        path[0], turn[0], blocked[root], depth = root, starts[root], True, 1
        while depth:
            node = path[depth - 1]
            if turn[depth - 1] < starts[node + 1]:
                head = heads[turn[depth - 1]]
                turn[depth - 1] += 1
                if head == root:
                    count += 1
                    if count >= limit:
                        return limit
                    closed[node] = True
                elif head > root and not blocked[head]:
                    path[depth], turn[depth], blocked[head], closed[head] = head, starts[head], True, False
                    depth += 1
                continue
            depth -= 1
            if not closed[node]:
                for arc in range(starts[node], starts[node + 1]):
                    waits[arc] = True
                continue
            if depth:
                closed[path[depth - 1]] = True
            freed[0], waiting, blocked[node] = node, 1, False
            while waiting:
                waiting -= 1
                head = freed[waiting]
                for place in range(into[head], into[head + 1]):
                    if waits[number[place]]:
                        waits[number[place]] = False
                        if blocked[source[place]]:
                            blocked[source[place]] = False
                            freed[waiting] = source[place]
                            waiting += 1
    return count


@intrinsic
def _popcount(typingctx, word):
    """Number of set bits of a 64-bit word."""

    def generate(context, builder, signature, arguments):
        kind = ir.IntType(64)
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [kind]), arguments)

    return types.int64(types.uint64), generate


popcount: Any = _popcount  # numba passes the typing context itself


@njit(types.void(PACKED, NUMBERS, NUMBERS, RESULT), **OPTIONS)
def add_common(words, first, second, counts):
    """Add the common set bits of each pair of rows to `counts`."""
    for pair in range(len(first)):
        i, j = first[pair], second[pair]
        common = np.int64(0)
        for word in range(words.shape[1]):
            common += popcount(words[i, word] & words[j, word])
        counts[pair] += common


@njit(types.void(PACKED, PACKED, TILE), **OPTIONS)
def add_unlike(rows, columns, counts):
    """Add the number of bits that differ, rows by columns, to `counts`."""
    for i in range(rows.shape[0]):
        for j in range(columns.shape[0]):
            unlike = np.int64(0)
            for word in range(rows.shape[1]):
                unlike += popcount(rows[i, word] ^ columns[j, word])
            counts[i, j] += unlike
