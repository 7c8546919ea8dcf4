"""Association-rule confidence and support (Agrawal, Imielinski & Swami 1993), asked of both members of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError


@dataclass(frozen=True)
class Confidence:
    """P(q | p) and P(~p | ~q) at least `confidence`, with p and ~q on at least `support` examples each.

    The smaller margin decides. One rounded division keeps decimal bounds exact: 5 exceptions in 100 pass at 0.95.
    """

    confidence: float = 0.95
    support: int = 10

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence <= 1 or self.support < 1:
            raise ConfigError(
                "the confidence criterion takes a confidence inside (0.5, 1] and a support of at least 1 example; "
                f"got {self.confidence} and {self.support}"
            )

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

    def to_dict(self) -> dict[str, Any]:
        return {"name": "confidence", "confidence": float(self.confidence), "support": int(self.support)}
