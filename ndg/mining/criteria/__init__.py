"""Criteria of approximate implication. A new one is a file and a line here.

A criterion judges the pair {p -> q, ~q -> ~p} once: both implications hold, or neither. It sees the number of
exceptions n(p and ~q), the margins n(p) and n(~q), and the number of examples n. The support of the pair is the smaller
margin.

Three members are optional: a property `sieve`, a cheap necessary condition; `stricter()`, the next criterion to suggest
if too many pairs hold; and `fit(pairs) -> Criterion`, for one that must see all candidate pairs before it judges any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from ndg.errors import ConfigError, nearest
from ndg.mining.criteria.confidence import Confidence
from ndg.mining.criteria.custom import CustomCriterion
from ndg.mining.criteria.fisher import Fisher
from ndg.mining.criteria.paper import Paper
from ndg.mining.criteria.ratio import Ratio
from ndg.mining.criteria.sieve import Counts, Margin, Mask, Sieve, sieve_of
from ndg.mining.criteria.wilson import Wilson

__all__ = [
    "CRITERIA",
    "Confidence",
    "Criterion",
    "Fisher",
    "CustomCriterion",
    "Paper",
    "Ratio",
    "Sieve",
    "Wilson",
    "criterion",
    "sieve_of",
]


@runtime_checkable
class Criterion(Protocol):
    """Predicate on counts; `to_dict` gives its name and parameters."""

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        """Whether p -> q and ~q -> ~p hold, given n(p and ~q), n(p), n(~q) and n."""

    def to_dict(self) -> dict[str, Any]: ...


CRITERIA: dict[str, Callable[..., Criterion]] = {
    "paper": lambda alpha=20.0, **_: Paper(float(alpha)),
    "ratio": lambda alpha=20.0, **_: Ratio(float(alpha)),
    "confidence": lambda confidence=0.95, support=10, **_: Confidence(float(confidence), int(support)),
    "wilson": lambda bound=0.95, **_: Wilson(float(bound)),
    "fisher": lambda q=0.05, confidence=0.95, support=10, threshold=None, tests=0, rejections=0, **_: Fisher(
        float(q), float(confidence), int(support), threshold, int(tests), int(rejections)
    ),
}


def criterion(name: str | Criterion | Callable[..., Any], **parameters: Any) -> Criterion:
    """Criterion of that name, with the parameters that it reads.

    A criterion is returned as it is; any other callable becomes a `CustomCriterion`.
    """
    if isinstance(name, str):
        if name not in CRITERIA:
            raise ConfigError(
                f"criterion.name must be a known criterion; got {name!r}; {nearest(name, CRITERIA)}; "
                "Python code may pass any callable"
            )
        return CRITERIA[name](**parameters)
    if isinstance(name, Criterion):
        return name
    if callable(name):
        return CustomCriterion(name)
    raise ConfigError(
        "a criterion must be a name, an object with holds and to_dict, or a callable (exceptions, antecedent, "
        f"negation, examples) -> booleans; got {name!r} of {type(name).__name__}"
    )
