"""False discovery rate of very many tests (Benjamini & Hochberg 1995).

With m tests, the rule rejects every p-value up to the largest p with p <= R(p) q / m, where R(p) counts the p-values up
to p. It keeps the expected share of false rejections at or below q for independent tests and many dependent ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64

from ndg.errors import ConfigError
from ndg.mining.implications import Implications

BINS = 17
OCTAVES = 40


def step_up(look: Callable[[int, int, int], Any], q: float) -> tuple[float, int, int]:
    """Threshold, tests and rejections of Benjamini & Hochberg at level `q`, exactly.

    `look(low, high, shift)` gives the `Tails` of all p-values: below and in a window from bit pattern `low` to `high`,
    in bins of 2^shift patterns. The first look, 40 octaves below q in some 80,000 bins, decides every bin but those
    that the line R q / m crosses; these are looked into again, the highest first. P-values up to the threshold are
    rejected; it is 0 if none is.
    """
    lowest, highest = _pattern(q * 2.0**-OCTAVES), _pattern(q) + 4  # q * tests / tests may round above q
    tests = 0

    def search(low: int, high: int) -> tuple[float, int] | None:
        nonlocal tests
        shift = max(0, (high - low).bit_length() - BINS)
        window = look(low, high, shift)
        tests = window.tests
        full = np.flatnonzero(window.bins)
        first = low + (full << shift)
        last = np.minimum(first + (1 << shift) - 1, high)
        rank = window.below + np.cumsum(window.bins)[full]
        if low == lowest and window.below:  # later looks: bins of the look before cover the lower values
            first, last, rank = np.r_[0, first], np.r_[low - 1, last], np.r_[window.below, rank]
        bound = rank * q / max(tests, 1)
        least, largest = first.view(np.float64), last.view(np.float64)
        for i in np.flatnonzero(least <= bound)[::-1]:
            if largest[i] <= bound[i]:
                return float(largest[i]), int(rank[i])
            nested = search(int(first[i]), int(last[i]))
            if nested:
                return nested
        return None

    threshold, rejections = search(lowest, highest) or (0.0, 0)
    return threshold, tests, rejections


def _pattern(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def q_values(p_values: Float64[np.ndarray, " found"], tests: int) -> Float64[np.ndarray, " found"]:
    """Upper bounds of the Benjamini-Hochberg q-values of some of `tests` tests, in [0, 1].

    The q-value of a test is the lowest level that rejects it: the minimum of p m / R(p) over all p-values at or above
    its own. Here m counts every test, but R only the p-values passed, so the bound is exact if all are passed.
    """
    if tests < len(p_values):
        raise ConfigError(f"{len(p_values):,} p-values need at least as many tests; got {tests:,}")
    ordered = np.sort(p_values)
    rank = np.searchsorted(ordered, ordered, side="right")
    least = np.minimum.accumulate((ordered * tests / rank)[::-1])[::-1]
    return np.minimum(least[np.searchsorted(ordered, p_values)], 1.0)


def edge_significance(implications: Implications) -> tuple[Float64[np.ndarray, " edge"], Float64[np.ndarray, " edge"]]:
    """P-value and q-value of every implication, contrapositives included.

    The p-value is the chance of so few exceptions under independence. The q-value is the bound of `q_values`, and at
    most the level of a `fisher` criterion. It is NaN for edges between two labels or two concepts, which were not
    tests, and if the number of tests is unknown.
    """
    from ndg.mining.hypergeometric import lower_tail

    nodes, antecedents, consequents = implications.nodes, implications.antecedents, implications.consequents
    holds = implications.holds
    p = lower_tail(implications.exceptions, holds[antecedents], holds[consequents ^ 1], implications.examples)
    group = np.zeros(len(nodes), np.int64)
    group[: nodes.labels] = 1
    group[len(nodes) - len(nodes.concepts) :] = 2
    tail_group, head_group = group[antecedents >> 1], group[consequents >> 1]
    tested = (tail_group == 0) | (tail_group != head_group)
    first_of_pair = tested & (antecedents >> 1 < consequents >> 1)
    q = np.full(len(p), np.nan)
    if not implications.tests:
        return p, q
    pair_q = q_values(p[first_of_pair], implications.tests)
    if implications.criterion.get("name") == "fisher":
        pair_q = np.minimum(pair_q, implications.criterion["q"])
    keys = antecedents.astype(np.int64) * (2 * len(nodes)) + consequents
    mirrored = (consequents ^ 1).astype(np.int64) * (2 * len(nodes)) + (antecedents ^ 1)
    q[first_of_pair] = pair_q
    q[np.searchsorted(keys, mirrored[first_of_pair])] = pair_q
    return p, q
