"""Criterion of Hu & Tian 2022: far fewer exceptions than under independence."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from ndg.errors import ConfigError
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Sieve


def allowance(
    antecedent: Int64[np.ndarray, "*#pair"], negation: Int64[np.ndarray, "*#pair"], examples: int, alpha: float
) -> Float64[np.ndarray, "*#pair"]:
    """Allowed exceptions, `n(p) n(~q) / (n alpha)`."""
    return antecedent.astype(np.float64) * negation / (examples * alpha)


def check_alpha(alpha: float) -> None:
    if not 1 < alpha < inf:
        raise ConfigError(
            "criterion.alpha must be above 1 and finite, or independent nodes would imply each other; "
            f"got {alpha}; 20 is usual"
        )


@dataclass(frozen=True)
class Paper:
    """At most one exception per `alpha` expected ones.

    The allowance `n(p) n(~q) / (n alpha)` must exceed one example. It bounds the precision of p -> q on the mined
    examples from below by `1 - P(~q) / alpha`, so high precision there carries no information; held-out precision does.
    The rule is symmetric in the margins n(p) and n(~q): an implication and its contrapositive have one allowance.
    """

    alpha: float = 20.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    @property
    def sieve(self) -> Sieve:
        return Sieve(product=1 / self.alpha, floor=1.0)

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        allowed = allowance(antecedent, negation, examples, self.alpha)
        return (exceptions <= allowed) & (allowed > 1)

    def stricter(self) -> Paper:
        """Next stricter criterion."""
        return Paper(self.alpha * 1.25)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "paper", "alpha": float(self.alpha)}
