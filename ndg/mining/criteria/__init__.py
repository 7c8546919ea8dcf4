"""Criteria of approximate implication.

A new one is a file and a line here.

It is a frozen dataclass. Its fields, each with a default, are its parameters, and keys of the config section
`criterion`. One with a field `alpha` is mined at several alphas at once. Fields that `fit` finds carry the metadata
`{"fitted": True}`, and are no keys of a config.

A criterion judges the pair {p -> q, ~q -> ~p} once: both implications hold, or neither. It sees the number of
exceptions n(p and ~q), the margins n(p) and n(~q), and the number of examples n. The support of the pair is the smaller
margin.

Three members are optional: a property `sieve`, a cheap necessary condition; `stricter()`, the next criterion to suggest
if too many pairs hold; and `fit(pairs) -> Criterion`, for one that must see all candidate pairs before it judges any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, Protocol, get_type_hints, runtime_checkable

from ndg.errors import ConfigError, nearest
from ndg.mining.criteria.confidence import Confidence as Confidence
from ndg.mining.criteria.custom import CustomCriterion as CustomCriterion
from ndg.mining.criteria.fisher import Fisher as Fisher
from ndg.mining.criteria.paper import Paper as Paper
from ndg.mining.criteria.paper import Ratio as Ratio
from ndg.mining.criteria.sieve import Counts, Margin, Mask
from ndg.mining.criteria.sieve import Sieve as Sieve
from ndg.mining.criteria.sieve import sieve_of as sieve_of
from ndg.mining.criteria.wilson import Wilson as Wilson


@runtime_checkable
class Criterion(Protocol):
    """Predicate on counts; `to_dict` gives its name and parameters."""

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        """Whether both hold, given n(p and ~q), n(p), n(~q) and n."""

    def to_dict(self) -> dict[str, Any]: ...


CRITERIA: dict[str, type[Any]] = {
    "paper": Paper,
    "ratio": Ratio,
    "confidence": Confidence,
    "wilson": Wilson,
    "fisher": Fisher,
}


def settings(name: str) -> dict[str, Field[Any]]:
    """Fields of a criterion that a config sets, not `fit`.

    ConfigError if unknown.
    """
    return {field.name: field for field in fields(_class(name)) if not field.metadata.get("fitted")}


def criterion(name: str | Criterion | Callable[..., Any], **parameters: Any) -> Criterion:
    """Criterion of a name with its parameters.

    Other callables become a `CustomCriterion`.
    """
    if isinstance(name, str):
        criterion_class = _class(name)
        types = get_type_hints(criterion_class)
        known = {field.name: parameters[field.name] for field in fields(criterion_class) if field.name in parameters}
        numbers = {key: types[key](value) for key, value in known.items() if types[key] in (int, float)}
        return criterion_class(**known | numbers)
    if isinstance(name, Criterion):
        return name
    if callable(name):
        return CustomCriterion(name)
    raise ConfigError(
        "a criterion must be a name, an object with holds and to_dict, or a callable (exceptions, antecedent, "
        f"negation, examples) -> booleans; got {name!r} of {type(name).__name__}"
    )


def _class(name: str) -> type[Any]:
    if name not in CRITERIA:
        raise ConfigError(
            f"criterion.name must be a known criterion; got {name!r}; {nearest(name, CRITERIA)}; "
            "Python code may pass any callable"
        )
    return CRITERIA[name]
