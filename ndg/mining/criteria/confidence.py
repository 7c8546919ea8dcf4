"""Association-rule confidence and support (Agrawal, Imielinski & Swami 1993), asked of both members of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError
from ndg.mining.criteria.sieve import Sieve

ROUNDING = 2.0**-53  # a quotient below 1 is rounded by at most half of this


@dataclass(frozen=True)
class Confidence:
    """P(q | p) and P(~p | ~q) at least `confidence`, with p and ~q on at least `support` examples each.

    The smaller margin decides. One rounded division keeps decimal bounds exact: 5 exceptions in 100 pass at 0.95.
    Independent literals pass too where q and ~p nearly always hold; `paper`, `ratio` and `fisher` refuse those.
    """

    confidence: float = 0.95
    support: int = 10

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence <= 1 or self.support < 1:
            raise ConfigError(
                "the confidence criterion takes a confidence inside (0.5, 1] and a support of at least 1 example; "
                f"got {self.confidence} and {self.support}"
            )

    @property
    def sieve(self) -> Sieve:
        return Sieve(margin=1 - self.confidence + ROUNDING, support=self.support)

    def holds(
        self,
        exceptions: Int64[np.ndarray, "*pair"],
        antecedent: Int64[np.ndarray, "*#pair"],
        negation: Int64[np.ndarray, "*#pair"],
        examples: int,
    ) -> Bool[np.ndarray, "*pair"]:
        margin = np.minimum(antecedent, negation)
        precision = (margin - exceptions) / np.maximum(margin, 1)
        return (precision >= self.confidence) & (margin >= self.support)

    def stricter(self) -> Confidence:
        """The next one to try where too much holds; more support where precision is 1 already."""
        if self.confidence < 1 - 1e-6:
            return Confidence(1 - (1 - self.confidence) / 1.25, self.support)
        return Confidence(1.0, 2 * self.support)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "confidence", "confidence": float(self.confidence), "support": int(self.support)}
