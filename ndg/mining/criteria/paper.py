"""The criterion of Hu & Tian 2022: far fewer exceptions than independence would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError


@dataclass(frozen=True)
class Paper:
    """At most one exception for every `alpha` expected under independence, where that allowance exceeds one example.

    The allowance is `n(p) n(~q) / (n alpha)`. It bounds the precision of p -> q on the mined examples from below by
    `1 - P(~q) / alpha`, so high precision there carries no information; held-out precision does.
    """

    alpha: float = 20.0

    def __post_init__(self) -> None:
        if not self.alpha > 1:
            raise ConfigError(
                f"criterion.alpha must be above 1, or independent nodes would imply each other; got {self.alpha}"
            )

    def holds(
        self,
        exceptions: Int64[np.ndarray, "*pair"],
        antecedent: Int64[np.ndarray, "*#pair"],
        negation: Int64[np.ndarray, "*#pair"],
        examples: int,
    ) -> Bool[np.ndarray, "*pair"]:
        allowance = (antecedent * negation) / (examples * self.alpha)
        return (exceptions <= allowance) & (allowance > 1)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "paper", "alpha": float(self.alpha)}
