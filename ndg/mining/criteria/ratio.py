"""First condition of Hu & Tian 2022 alone: expected over observed exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ndg.mining.criteria.paper import allowance, check_alpha
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Sieve


@dataclass(frozen=True)
class Ratio:
    """Expected over observed exceptions of at least `alpha`.

    A pair without exceptions passes if any is expected. Unlike `paper`, the allowance may be below one example, so rare
    literals that never meet an exception imply each other; on few examples that is chance.
    """

    alpha: float = 20.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    @property
    def sieve(self) -> Sieve:
        return Sieve(product=1 / self.alpha, support=1)

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        allowed = allowance(antecedent, negation, examples, self.alpha)
        return (exceptions <= allowed) & (allowed > 0)

    def stricter(self) -> Ratio:
        """Next stricter criterion."""
        return Ratio(self.alpha * 1.25)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "ratio", "alpha": float(self.alpha)}
