"""The first condition of Hu & Tian 2022 alone: expected over observed exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.mining.criteria.paper import allowance, check_alpha
from ndg.mining.criteria.sieve import Sieve


@dataclass(frozen=True)
class Ratio:
    """Expected exceptions under independence over the exceptions that occur, at least `alpha`.

    No exception at all passes where any is expected. Unlike `paper`, the allowance may be below one example, so rare
    literals that never meet an exception imply each other; on few examples that is chance.
    """

    alpha: float = 20.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    @property
    def sieve(self) -> Sieve:
        return Sieve(product=1 / self.alpha, support=1)

    def holds(
        self,
        exceptions: Int64[np.ndarray, "*pair"],
        antecedent: Int64[np.ndarray, "*#pair"],
        negation: Int64[np.ndarray, "*#pair"],
        examples: int,
    ) -> Bool[np.ndarray, "*pair"]:
        allowed = allowance(antecedent, negation, examples, self.alpha)
        return (exceptions <= allowed) & (allowed > 0)

    def stricter(self) -> Ratio:
        """The next one to try where too much holds."""
        return Ratio(self.alpha * 1.25)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "ratio", "alpha": float(self.alpha)}
