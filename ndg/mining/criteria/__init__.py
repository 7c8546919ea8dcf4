"""When an approximate implication holds. A new criterion is one file and one line here.

A criterion judges the pair {p -> q, ~q -> ~p} once: both implications enter, or neither. It sees the number of
exceptions n(p and ~q), the margins n(p) and n(~q), and the number of examples n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError, nearest
from ndg.mining.criteria.confidence import Confidence
from ndg.mining.criteria.paper import Paper

Counts = Int64[np.ndarray, "*pair"]


@runtime_checkable
class Criterion(Protocol):
    """A predicate on counts; `to_dict` gives its name and parameters for the record."""

    def holds(
        self, exceptions: Counts, antecedent: Counts, negation: Counts, examples: int
    ) -> Bool[np.ndarray, "*pair"]:
        """Whether p -> q and its contrapositive hold, given n(p and ~q), n(p), n(~q) and n."""

    def to_dict(self) -> dict[str, Any]: ...


CRITERIA: dict[str, Callable[..., Criterion]] = {
    "paper": lambda alpha=20.0, **_: Paper(float(alpha)),
    "confidence": lambda confidence=0.95, support=10, **_: Confidence(float(confidence), int(support)),
}


def criterion(name: str | Criterion, **parameters: Any) -> Criterion:
    """The criterion of that name with the parameters that it reads; a criterion passes through."""
    if not isinstance(name, str):
        return name
    if name not in CRITERIA:
        raise ConfigError(f"criterion.name must be a known criterion; got {name!r}; {nearest(name, CRITERIA)}")
    return CRITERIA[name](**parameters)
