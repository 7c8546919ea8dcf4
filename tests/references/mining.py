"""The definitions of counting and mining, example by example and pair by pair. Exists only to be obviously right."""

from __future__ import annotations

import numpy as np


def count(values: np.ndarray, p: tuple[int, bool], q: tuple[int, bool]) -> int:
    """Examples on which both literals (node, value) hold."""
    return sum(bool(row[p[0]]) == p[1] and bool(row[q[0]]) == q[1] for row in values)


def paper(exceptions: int, n_p: int, n_not_q: int, n: int, alpha: float) -> bool:
    allowance = (n_p * n_not_q) / (n * alpha)
    return exceptions <= allowance and allowance > 1


def confidence(exceptions: int, n_p: int, n_not_q: int, n: int, level: float, support: int) -> bool:
    both = all((margin - exceptions) / margin >= level for margin in (n_p, n_not_q) if margin)
    return both and min(n_p, n_not_q) >= support


def implications(values: np.ndarray, labels: int, rule) -> dict[tuple[str, str], int]:
    """Every implication with its exceptions, by the text of its literals; nodes are named by their column."""
    n, nodes = values.shape
    rate = [count(values, (a, True), (a, True)) / n for a in range(nodes)]
    varying = [a for a in range(nodes) if 1e-4 <= rate[a] <= 1 - 1e-4]
    literals = [(a, value) for a in varying for value in (True, False)]

    def holds(p, q):
        q_not = (q[0], not q[1])
        exceptions = count(values, p, q_not)
        return rule(exceptions, count(values, p, p), count(values, q_not, q_not), n), exceptions

    found = {}
    for p in literals:
        for q in literals:
            if p[0] == q[0]:
                continue
            one_way, exceptions = holds(p, q)
            if p[0] < labels and q[0] < labels and not holds(q, p)[0]:
                continue
            if one_way:
                found[p, q] = exceptions
    return found
