"""Criterion of Hu & Tian 2022: far fewer exceptions than under independence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from jaxtyping import Float64

from ndg.errors import ConfigError
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Rule, Sieve


@dataclass(frozen=True)
class AlphaRule(Rule):
    """Base class of criteria that allow one exception per `alpha` expected ones."""

    alpha: float = 20.0

    def __post_init__(self) -> None:
        if not 1 < self.alpha < inf:
            raise ConfigError(
                "criterion.alpha must be above 1 and finite, or independent nodes would imply each other; "
                f"got {self.alpha}; 20 is usual"
            )

    def allowance(self, antecedent: Margin, negation: Margin, examples: int) -> Float64[np.ndarray, "*#pair"]:
        """Allowed exceptions, `n(p) n(~q) / (n alpha)`."""
        return antecedent.astype(np.float64) * negation / (examples * self.alpha)

    def stricter(self) -> AlphaRule:
        """Next stricter criterion."""
        return replace(self, alpha=self.alpha * 1.25)


@dataclass(frozen=True)
class Paper(AlphaRule):
    """At most one exception per `alpha` expected ones.

    The allowance `n(p) n(~q) / (n alpha)` must exceed one example. It bounds the precision of p -> q on the mined
    examples from below by `1 - P(~q) / alpha`, so only held-out precision carries information. The rule is symmetric in
    the margins n(p) and n(~q).
    """

    @property
    def sieve(self) -> Sieve:
        return Sieve(product=1 / self.alpha, floor=1.0)

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        allowed = self.allowance(antecedent, negation, examples)
        return (exceptions <= allowed) & (allowed > 1)
