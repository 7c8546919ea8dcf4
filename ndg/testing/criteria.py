"""The laws of a criterion of implication."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from ndg.mining.counts import Contingency
from ndg.mining.criteria import Criterion, criterion, sieve_of
from ndg.testing.checks import named, rule, run

SIZES = (1, 2, 7, 60, 500, 3000, 10**6, 2**31)
"""Numbers of examples, up to two billion."""

ROUNDS = 24
"""Random tables of each check, of each size in turn."""

Column = Int64[np.ndarray, " table"]


def check_criterion(subject: Criterion) -> None:
    """Raise ConformanceError for a criterion that breaks a law.

    One that has to be fitted is fitted here, to half independent and half equal columns.
    """
    run(CRITERION_CHECKS, subject)


def ready(subject: Criterion) -> Criterion:
    """The criterion, fitted where it has `fit`."""
    if not hasattr(subject, "fit"):
        return subject
    values = np.random.default_rng(0).random((400, 12)) < 0.4
    values[:, 6:] = values[:, :6]
    both = values.T.astype(np.int64) @ values.astype(np.int64)
    tile = Contingency(both, both.diagonal().copy(), both.diagonal().copy(), len(values))
    fitted: Criterion = subject.fit(lambda: iter([(tile, np.triu(np.ones(both.shape, bool), 1))]))
    return fitted


def tables(seed: int, n: int, size: int = 60) -> tuple[Column, Column, Column]:
    """Exceptions and margins of random tables of n examples, often at extremes."""
    rng = np.random.default_rng(seed)
    shares = rng.choice([0.0, 1e-3, 0.05, 0.5, 0.95, 1.0], (2, size)) * rng.random((2, size)) ** rng.integers(0, 2)
    p, not_q = np.rint(shares * n).astype(np.int64)
    not_q = np.where(rng.random(size) < 0.2, p, not_q)
    least, most = np.maximum(0, p + not_q - n), np.minimum(p, not_q)
    e = least + np.floor((most - least) * rng.random(size) ** rng.choice([1, 4, 12, 40], size)).astype(np.int64)
    return e, p, not_q


def rounds(rounds: int = ROUNDS) -> Iterator[tuple[int, int]]:
    """Seed and number of examples of each round."""
    return ((seed, SIZES[seed % len(SIZES)]) for seed in range(rounds))


def symmetric(subject: Criterion) -> None:
    """A pair and its contrapositive are judged alike, as booleans."""
    judge = ready(subject)
    for seed, n in rounds():
        e, p, not_q = tables(seed, n)
        held = judge.holds(e, p, not_q, n)
        rule(held.dtype == bool, f"holds gives booleans; got {held.dtype}")
        rule(held.shape == e.shape, f"holds gives an answer for each pair: {e.shape}; got {held.shape}")
        rule((held == judge.holds(e, not_q, p, n)).all(), f"a pair and its contrapositive are judged alike (n = {n})")


def monotone(subject: Criterion) -> None:
    """A pair that holds still holds with fewer exceptions."""
    judge = ready(subject)
    for seed, n in rounds():
        e, p, not_q = tables(seed, n)
        for fewer in (1, 2, 50, 10**6):
            less = np.maximum(e - fewer, np.maximum(0, p + not_q - n))
            kept = judge.holds(e, p, not_q, n) <= judge.holds(less, p, not_q, n)
            rule(kept.all(), f"a pair that holds still holds with {fewer} exceptions fewer (n = {n})")


def sieved(subject: Criterion) -> None:
    """Everything that holds passes the criterion's sieve."""
    judge = ready(subject)
    for seed, n in rounds(40):
        counts = tables(seed, n, 300)
        kept = judge.holds(*counts, n) <= sieve_of(judge).passes(*counts, n)
        rule(kept.all(), f"what holds passes the sieve: the sieve may only drop pairs that do not hold (n = {n})")


def without_overflow(subject: Criterion) -> None:
    """Margins near two billion are judged exactly."""
    judge, n = ready(subject), 2**31
    for p, not_q in ((n // 2, n // 2), (n - 1000, n // 2), (n // 2 + 7, n // 2 - 9)):
        least, independent = max(0, p + not_q - n), p * not_q // n + 1
        e, a, b = (np.array([x, y], np.int64) for x, y in ((least, independent), (p, p), (not_q, not_q)))
        held = judge.holds(e, a, b, n)
        rule(not held[1], f"independent literals do not imply each other; margins {p} and {not_q} of {n}")
        rule(held[0] == (least == 0), f"no exception at all is an implication; margins {p} and {not_q} of {n}")


def broadcasting(subject: Criterion) -> None:
    """Margins broadcast against the exceptions."""
    judge = ready(subject)
    for seed, n in rounds(16):
        rng = np.random.default_rng(seed)
        p, not_q = rng.integers(0, n + 1, (5, 1)), rng.integers(0, n + 1, (1, 8))
        least, most = np.maximum(0, p + not_q - n), np.minimum(p, not_q)
        e = least + ((most - least) * rng.random((5, 8)) ** 9).astype(np.int64)
        a, b = (np.ascontiguousarray(np.broadcast_to(margin, e.shape)) for margin in (p, not_q))
        held, text = judge.holds(e, p, not_q, n), f"margins broadcast against the exceptions (n = {n})"
        rule((held == judge.holds(e, a, b, n)).all(), text)
        rule((held.ravel() == judge.holds(e.ravel(), a.ravel(), b.ravel(), n)).all(), text)
        rule((held[:, 3] == judge.holds(e[:, 3], p[:, 0], not_q[0, 3:4], n)).all(), text)
        rule(judge.holds(e[:0], p[:0], not_q, n).shape == (0, 8), f"{text}, also where there is no pair")


def dependent(subject: Criterion, everywhere: bool = False) -> None:
    """Independent literals do not imply each other.

    Criteria of precision alone ask this only where a margin is at least a half; the others `everywhere`.
    """
    judge = ready(subject)
    for seed, n in rounds(40):
        _, p, not_q = tables(seed, n, 300)
        expected = np.array([-(-int(a) * int(b) // n) for a, b in zip(p, not_q, strict=True)])
        held = judge.holds(expected, p, not_q, n)
        if not everywhere:
            held &= (2 * p >= n) | (2 * not_q >= n)
        rule(not held.any(), f"independent literals do not imply each other (n = {n})")


def reflexive(subject: Criterion) -> None:
    """Two equal columns imply each other."""
    none, half = np.zeros(1, np.int64), np.array([2048])
    rule(ready(subject).holds(none, half, half, 4096).all(), "equal columns imply each other")


def recorded(subject: Criterion) -> None:
    """The record is plain JSON with the name."""
    for judge in (subject, ready(subject)):
        record = json.loads(json.dumps(judge.to_dict(), allow_nan=False))
        rule(isinstance(record.get("name"), str), f"the record has the criterion's name; got {record}")
        rule(criterion(judge) is judge, "ndg.mining.criteria.criterion takes a criterion as it is")
        rule(isinstance(judge, Criterion), "a criterion has `holds` and `to_dict`")


CRITERION_CHECKS = named(symmetric, monotone, sieved, without_overflow, broadcasting, dependent, reflexive, recorded)
