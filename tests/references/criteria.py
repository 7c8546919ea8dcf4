"""Criteria, exact tests and false discovery rates by their definitions, in exact arithmetic. Exists only to be
obviously right."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import mpmath

Z = Fraction("1.959963984540054")


def decimal(value: float) -> Fraction:
    """The number as it is written."""
    return Fraction(repr(float(value)))


def paper(e: int, p: int, not_q: int, n: int, alpha: float = 20.0) -> bool:
    allowed = Fraction(p * not_q, n) / decimal(alpha)
    return e <= allowed and allowed > 1


def ratio(e: int, p: int, not_q: int, n: int, alpha: float = 20.0) -> bool:
    expected = Fraction(p * not_q, n)
    return expected > 0 and (e == 0 or expected / e >= decimal(alpha))


def confidence(e: int, p: int, not_q: int, n: int, confidence: float = 0.95, support: int = 10) -> bool:
    if min(p, not_q) < support:
        return False
    return all(Fraction(margin - e, margin) >= decimal(confidence) for margin in (p, not_q))


def wilson(e: int, p: int, not_q: int, n: int, bound: float = 0.95) -> bool:
    """The interval holds the rates r that a score test accepts: (rate - r)^2 <= z^2 r (1 - r) / trials."""
    bound = decimal(bound)
    for margin in (p, not_q):
        if margin == 0:
            return False
        rate = Fraction(margin - e, margin)
        if rate < bound or (rate - bound) ** 2 < Z**2 * bound * (1 - bound) / margin:
            return False
    return True


def fisher(
    e: int, p: int, not_q: int, n: int, q: float, threshold: float, confidence: float = 0.95, support: int = 10, **_
) -> bool:
    if e * n >= p * not_q or not REFERENCES["confidence"](e, p, not_q, n, confidence, support):
        return False  # as many as expected or more have a p-value of a half or more
    return tail(e, p, not_q, n, threshold) <= threshold


def tail(e: int, p: int, not_q: int, n: int, enough: float = 1.0) -> Fraction | mpmath.mpf:
    """P(X <= e) where X of p drawn examples are among the not_q marked of n: exact, or to 40 digits where that is long.

    Where counts are large, every term is a product of factorials, from e downward until nothing is added
    or there is more than `enough`.
    """
    p, not_q = sorted((p, not_q))
    if n <= 4000:
        least = max(0, p + not_q - n)
        return Fraction(sum(comb(p, j) * comb(n - p, not_q - j) for j in range(least, e + 1)), comb(n, not_q))
    if p <= 300:
        ways = 0
        for j in range(max(0, p + not_q - n), e + 1):
            term = comb(p, j)
            for i in range(j):
                term *= not_q - i
            for i in range(p - j):
                term *= n - not_q - i
            ways += term
        whole = 1
        for i in range(p):
            whole *= n - i
        return Fraction(ways, whole)
    with mpmath.workdps(60):

        def log_factorial(x: int) -> mpmath.mpf:
            return mpmath.loggamma(x + 1)

        margins = sum(log_factorial(x) for x in (p, n - p, not_q, n - not_q)) - log_factorial(n)
        cells = sum(log_factorial(x) for x in (e, p - e, not_q - e, n - p - not_q + e))
        term = total = mpmath.exp(margins - cells)
        for j in range(e, max(0, p + not_q - n), -1):
            term = term * j * (n - p - not_q + j) / ((p - j + 1) * (not_q - j + 1))
            total += term
            if total > enough:
                break
            if e * n < p * not_q and term < total * mpmath.mpf(10) ** -25:
                break
        return total


def step_up(p_values: list[float], q: float) -> list[bool]:
    """Which tests Benjamini & Hochberg 1995 reject: with the p-values in order, those up to the last below its line."""
    ordered = sorted(p_values)
    last = 0
    for rank, p in enumerate(ordered, 1):
        if p <= rank * q / len(ordered):
            last = rank
    return [last > 0 and p <= ordered[last - 1] for p in p_values]


def q_values(p_values: list[float]) -> list[float]:
    """For each test, the least m p / R(p) over the p-values at or above its own."""
    m = len(p_values)
    lines = [(p, p * m / sum(other <= p for other in p_values)) for p in p_values]
    return [min(1.0, min(line for at, line in lines if at >= p)) for p in p_values]


REFERENCES = {"paper": paper, "ratio": ratio, "confidence": confidence, "wilson": wilson, "fisher": fisher}
