"""Criteria of Hu & Tian 2022: far fewer exceptions than under independence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

import numpy as np

from ndg.errors import ConfigError
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Rule, Sieve


@dataclass(frozen=True)
class AlphaRule(Rule):
    """Base of criteria that allow `n(p) n(~q) / (n alpha)` exceptions."""

    alpha: float = 20.0
    least: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not 1 < self.alpha < inf:
            raise ConfigError(
                "criterion.alpha must be above 1 and finite, or independent nodes would imply each other; "
                f"got {self.alpha}; 20 is usual"
            )

    @property
    def sieve(self) -> Sieve:
        return Sieve(product=1 / self.alpha, floor=float(self.least), support=1 - self.least)

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        allowed = antecedent.astype(np.float64) * negation / (examples * self.alpha)
        return (exceptions <= allowed) & (allowed > self.least)

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

    least: ClassVar[int] = 1


@dataclass(frozen=True)
class Ratio(AlphaRule):
    """Expected over observed exceptions of at least `alpha`.

    Without exceptions, some expected.

    It is the first condition of the paper alone. Unlike under `paper`, rare literals that never meet an exception imply
    each other; on few examples that is chance.
    """
