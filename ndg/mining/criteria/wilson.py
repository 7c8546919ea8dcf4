"""Precision that the number of examples vouches for: the lower end of its score interval (Wilson 1927)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError
from ndg.intervals import Z95, wilson
from ndg.mining.criteria.confidence import ROUNDING
from ndg.mining.criteria.sieve import SLACK, Sieve


@dataclass(frozen=True)
class Wilson:
    """Lower ends of the two-sided 95 % intervals of P(q | p) and of P(~p | ~q) at least `bound`.

    With as many exceptions, the smaller margin has the lower end, so it decides. A bound asks for support by itself:
    without any exception, a margin m reaches m / (m + z^2), so 0.95 takes 73 examples. Independent literals pass where
    q and ~p nearly always hold, as under `confidence`.
    """

    bound: float = 0.95

    def __post_init__(self) -> None:
        if not 0.5 < self.bound < 1:
            raise ConfigError(
                "criterion.bound, the lower end of the interval of precision, must be inside (0.5, 1); "
                f"got {self.bound}; 0.95 takes at least 73 examples"
            )

    @property
    def sieve(self) -> Sieve:
        fewest = Z95 * Z95 * self.bound / (1 - self.bound)
        return Sieve(margin=1 - self.bound + ROUNDING, support=ceil(fewest * (1 - SLACK)))

    def holds(
        self,
        exceptions: Int64[np.ndarray, "*pair"],
        antecedent: Int64[np.ndarray, "*#pair"],
        negation: Int64[np.ndarray, "*#pair"],
        examples: int,
    ) -> Bool[np.ndarray, "*pair"]:
        margin = np.broadcast_to(np.minimum(antecedent, negation), exceptions.shape)
        low, _ = wilson(margin - exceptions, margin)
        return low >= self.bound

    def stricter(self) -> Wilson:
        """The next one to try where too much holds."""
        return Wilson(1 - (1 - self.bound) / 1.25)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "wilson", "bound": float(self.bound)}
