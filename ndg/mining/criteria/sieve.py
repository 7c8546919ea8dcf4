"""What counts must satisfy for a criterion to hold at all, cheap enough for the innermost loop of counting."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

SLACK = 1e-9


@dataclass(frozen=True)
class Sieve:
    """Four bounds that every pair which holds keeps; most pairs break one of them and need no further judgement.

    With the expected exceptions E = n(p) n(~q) / n and the margin m = min(n(p), n(~q)):
    exceptions <= `product` E, `product` E >= `floor`, exceptions <= `margin` m, and m >= `support`. Whoever compares
    rounded products widens each by the relative `SLACK`, so that no rounding loses a pair. The default sieve lets
    every pair through.
    """

    product: float = inf
    floor: float = 0.0
    margin: float = inf
    support: int = 0

    def passes(
        self,
        exceptions: Int64[np.ndarray, "*pair"],
        antecedent: Int64[np.ndarray, "*#pair"],
        negation: Int64[np.ndarray, "*#pair"],
        examples: int,
    ) -> Bool[np.ndarray, "*pair"]:
        """Which pairs may hold."""
        margin = np.minimum(antecedent, negation)
        passes = np.broadcast_to(margin >= self.support, exceptions.shape)
        if self.product < inf:
            allowance = antecedent.astype(np.float64) * negation * (self.product / examples)
            passes = passes & (exceptions <= allowance * (1 + SLACK)) & (allowance * (1 + SLACK) >= self.floor)
        if self.margin < inf:
            passes = passes & (exceptions <= margin * (self.margin * (1 + SLACK)))
        return np.array(passes)


def sieve_of(rule: Any) -> Sieve:
    """The sieve of a criterion; the one that lets every pair through where the criterion has none."""
    return getattr(rule, "sieve", Sieve())
