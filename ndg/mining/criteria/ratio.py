"""First condition of Hu & Tian 2022 alone: expected over observed exceptions."""

from __future__ import annotations

from dataclasses import dataclass

from ndg.mining.criteria.paper import AlphaRule
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Sieve


@dataclass(frozen=True)
class Ratio(AlphaRule):
    """Expected over observed exceptions of at least `alpha`; without exceptions, some expected.

    Unlike under `paper`, rare literals that never meet an exception imply each other; on few examples that is chance.
    """

    @property
    def sieve(self) -> Sieve:
        return Sieve(product=1 / self.alpha, support=1)

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        allowed = self.allowance(antecedent, negation, examples)
        return (exceptions <= allowed) & (allowed > 0)
