"""Confidence beyond chance: few exceptions by Fisher's exact test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool

from ndg.errors import ConfigError
from ndg.mining.counts import Contingency
from ndg.mining.criteria.confidence import Confidence
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Rule, Sieve


@dataclass(frozen=True)
class Fisher(Rule):
    """Confidence rule, and significance at false discovery rate `q`.

    A test asks how likely so few exceptions are if p and q were independent, given the margins: the one-sided exact
    test (Fisher 1922). The rate is controlled over the tests of all candidate pairs (Benjamini & Hochberg 1995). Each
    pair of nodes counts four times, p and q on or off. The test alone is symmetric in p and q; the confidence rule
    gives the direction. `fit` finds the `threshold` of p-values, with its numbers of `tests` and `rejections`.
    """

    q: float = 0.05
    confidence: float = 0.95
    support: int = 10
    threshold: float | None = field(default=None, metadata={"fitted": True})
    tests: int = field(default=0, metadata={"fitted": True})
    rejections: int = field(default=0, metadata={"fitted": True})

    def __post_init__(self) -> None:
        if not 0 < self.q < 0.5:
            raise ConfigError(
                f"criterion.q, the false discovery rate, must be in (0, 0.5); got {self.q}; 0.05 is usual"
            )
        if self.threshold is not None and not 0 <= self.threshold < 0.5:
            raise ConfigError(
                f"criterion.threshold, a p-value of fisher, must be in [0, 0.5); got {self.threshold}; "
                "leave it out, then fit finds it"
            )
        _ = self.rule

    @property
    def rule(self) -> Confidence:
        """Confidence rule that significant pairs must pass."""
        return Confidence(self.confidence, self.support)

    @property
    def sieve(self) -> Sieve:
        """Sieve of the confidence rule, with fewer exceptions than expected."""
        return replace(self.rule.sieve, product=1.0)

    def fit(self, pairs: Callable[[], Iterable[tuple[Contingency, Bool[np.ndarray, "row column"]]]]) -> Fisher:
        """Criterion with the threshold for these pairs, in two or three passes of `pairs`."""
        from ndg.mining.hypergeometric import Tails
        from ndg.mining.significance import step_up

        def look(low: int, high: int, shift: int) -> Tails:
            tails = Tails(low, high, shift)
            for counts, candidate in pairs():
                tails.add(counts, candidate)
            return tails

        threshold, tests, rejections = step_up(look, self.q)
        return replace(self, threshold=threshold, tests=tests, rejections=rejections)

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        if self.threshold is None:
            raise ConfigError(
                "the fisher criterion must see all candidate pairs before it judges; got no threshold yet; "
                "call fit(pairs), or find, which calls it"
            )
        from ndg.mining.hypergeometric import lower_tail

        holds = self.rule.holds(exceptions, antecedent, negation, examples)
        p, not_q = (np.broadcast_to(margin, exceptions.shape)[holds] for margin in (antecedent, negation))
        holds[holds] = lower_tail(exceptions[holds], p, not_q, examples, limit=self.threshold) <= self.threshold
        return holds

    def stricter(self) -> Fisher:
        """Next stricter confidence rule, with the same rejections."""
        rule = self.rule.stricter()
        return replace(self, confidence=rule.confidence, support=rule.support)
