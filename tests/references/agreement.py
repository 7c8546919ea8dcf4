"""Correlations by their definitions, pair by pair and rank by rank."""

from __future__ import annotations

import math


def pearson(first, second):
    n = len(first)
    a, b = sum(first) / n, sum(second) / n
    top = sum((x - a) * (y - b) for x, y in zip(first, second, strict=True))
    return top / math.sqrt(sum((x - a) ** 2 for x in first) * sum((y - b) ** 2 for y in second))


def ranks(values):
    """Mean place of each value among all, from 1; equal values share theirs."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def spearman(first, second):
    return pearson(ranks(first), ranks(second))


def kendall(first, second):
    """Tau-b (Kendall 1945)."""
    agree = tied_first = tied_second = 0
    n = len(first)
    for i in range(n):
        for j in range(i):
            x, y = first[i] - first[j], second[i] - second[j]
            agree += (x * y > 0) - (x * y < 0)
            tied_first += x == 0
            tied_second += y == 0
    pairs = n * (n - 1) / 2
    return agree / math.sqrt((pairs - tied_first) * (pairs - tied_second))
