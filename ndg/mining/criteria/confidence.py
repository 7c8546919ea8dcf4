"""Confidence and support of association rules (Agrawal, Imielinski & Swami 1993)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ndg.errors import ConfigError
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Rule, Sieve

ROUNDING = 2.0**-53  # a quotient below 1 is rounded by at most half of this


@dataclass(frozen=True)
class Confidence(Rule):
    """P(q | p) and P(~p | ~q) at least `confidence`.

    p and ~q must each hold on at least `support` examples; the smaller margin decides. One rounded division keeps
    decimal bounds exact: 5 exceptions in 100 pass at 0.95. Independent literals pass too if q and ~p nearly always
    hold.
    """

    confidence: float = 0.95
    support: int = 10

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence <= 1 or self.support < 1:
            raise ConfigError(
                "the confidence criterion needs a confidence in (0.5, 1] and a support of at least 1 example; "
                f"got {self.confidence} and {self.support}"
            )

    @property
    def sieve(self) -> Sieve:
        return Sieve(margin=1 - self.confidence + ROUNDING, support=self.support)

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        margin = np.minimum(antecedent, negation)
        precision = (margin - exceptions) / np.maximum(margin, 1)
        return (precision >= self.confidence) & (margin >= self.support)

    def stricter(self) -> Confidence:
        """Next stricter criterion; doubles the support once confidence is 1."""
        if self.confidence < 1 - 1e-6:
            return Confidence(1 - (1 - self.confidence) / 1.25, self.support)
        return Confidence(1.0, 2 * self.support)
