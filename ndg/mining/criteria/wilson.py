"""Lower end of the score interval of precision (Wilson 1927)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from ndg.errors import ConfigError
from ndg.intervals import Z95, wilson
from ndg.mining.criteria.confidence import ROUNDING
from ndg.mining.criteria.sieve import SLACK, Counts, Margin, Mask, Rule, Sieve


@dataclass(frozen=True)
class Wilson(Rule):
    """Lower 95 % ends of both precisions at least `bound`.

    They are those of P(q | p) and P(~p | ~q); the smaller margin decides. Without any exception, a margin m reaches m /
    (m + z^2), so 0.95 needs 73 examples. Independent literals pass if q and ~p nearly always hold.
    """

    bound: float = 0.95

    def __post_init__(self) -> None:
        if not 0.5 < self.bound < 1:
            raise ConfigError(
                "criterion.bound, the lower end of the interval of precision, must be in (0.5, 1); "
                f"got {self.bound}; 0.95 needs at least 73 examples"
            )

    @property
    def sieve(self) -> Sieve:
        fewest = Z95 * Z95 * self.bound / (1 - self.bound)
        return Sieve(margin=1 - self.bound + ROUNDING, support=ceil(fewest * (1 - SLACK)))

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        margin = np.broadcast_to(np.minimum(antecedent, negation), exceptions.shape)
        low, _ = wilson(margin - exceptions, margin)
        return low >= self.bound

    def stricter(self) -> Wilson:
        """Next stricter criterion."""
        return Wilson(1 - (1 - self.bound) / 1.25)
