"""Confidence that chance does not explain: too few exceptions by the exact test, at a false discovery rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError
from ndg.mining.counts import Contingency
from ndg.mining.criteria.confidence import Confidence
from ndg.mining.criteria.sieve import Sieve


@dataclass(frozen=True)
class Fisher:
    """The confidence rule, and q at most `q` by Benjamini & Hochberg 1995 over the tests of all candidate pairs.

    A test asks how likely so few exceptions are if p and q were independent, margins given: the one-sided exact test
    (Fisher 1922). Each candidate pair of nodes counts four times, p and q on or off; constants and pairs of labels do
    not count. Alone the test would be symmetric in p and q, so every edge an equivalence; the confidence rule gives the
    direction.

    `fit` finds the `threshold` of p-values for the pairs at hand; `tests` and `rejections` are numbers of that fit. The
    rejections still have to pass the confidence rule.
    """

    q: float = 0.05
    confidence: float = 0.95
    support: int = 10
    threshold: float | None = None
    tests: int = 0
    rejections: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.q < 0.5:
            raise ConfigError(
                f"criterion.q, the false discovery rate, must be inside (0, 0.5); got {self.q}; 0.05 is usual"
            )
        if self.threshold is not None and not 0 <= self.threshold < 0.5:
            raise ConfigError(
                f"the threshold of p-values that fisher finds must be inside [0, 0.5); got {self.threshold}; "
                "leave it out, and fit finds it"
            )
        _ = self.rule

    @property
    def rule(self) -> Confidence:
        """The confidence rule that a significant pair has to pass."""
        return Confidence(self.confidence, self.support)

    @property
    def sieve(self) -> Sieve:
        """That of confidence; and what is significant has fewer exceptions than expected."""
        return replace(self.rule.sieve, product=1.0)

    def fit(self, pairs: Callable[[], Iterable[tuple[Contingency, Bool[np.ndarray, "row column"]]]]) -> Fisher:
        """The criterion with the threshold for these pairs; a call of `pairs` gives the tiles of counts afresh, each
        with the pairs of it that are candidates, every pair of nodes once.

        The tiles are gone through two or three times, rarely more. Memory is one tile and one histogram per thread.
        """
        from ndg.mining.hypergeometric import Tails
        from ndg.mining.significance import step_up

        def look(low: int, high: int, shift: int) -> Tails:
            tails = Tails(low, high, shift)
            for counts, candidate in pairs():
                tails.add(counts, candidate)
            return tails

        threshold, tests, rejections = step_up(look, self.q)
        return replace(self, threshold=threshold, tests=tests, rejections=rejections)

    def holds(
        self,
        exceptions: Int64[np.ndarray, "*pair"],
        antecedent: Int64[np.ndarray, "*#pair"],
        negation: Int64[np.ndarray, "*#pair"],
        examples: int,
    ) -> Bool[np.ndarray, "*pair"]:
        if self.threshold is None:
            raise ConfigError(
                "the fisher criterion judges after it has seen all candidate pairs; got no threshold yet; "
                "call fit(pairs), or find, which does"
            )
        from ndg.mining.hypergeometric import lower_tail

        holds = self.rule.holds(exceptions, antecedent, negation, examples)
        p, not_q = (np.broadcast_to(margin, exceptions.shape)[holds] for margin in (antecedent, negation))
        holds[holds] = lower_tail(exceptions[holds], p, not_q, examples, limit=self.threshold) <= self.threshold
        return holds

    def stricter(self) -> Fisher:
        """The next one to try where too much holds: a stricter confidence rule among the same rejections."""
        rule = self.rule.stricter()
        return replace(self, confidence=rule.confidence, support=rule.support)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": "fisher",
            "q": float(self.q),
            "confidence": float(self.confidence),
            "support": int(self.support),
            "threshold": self.threshold,
            "tests": self.tests,
            "rejections": self.rejections,
        }
