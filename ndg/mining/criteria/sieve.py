"""Sieve: a cheap necessary condition, for the innermost loop of counting."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

SLACK = 1e-9

Counts = Int64[np.ndarray, "*pair"]
Margin = Int64[np.ndarray, "*#pair"]
Mask = Bool[np.ndarray, "*pair"]


@dataclass(frozen=True)
class Sieve:
    """Four necessary bounds on the counts of a pair.

    With the expected exceptions E = n(p) n(~q) / n and the margin m = min(n(p), n(~q)): exceptions <= `product` E,
    `product` E >= `floor`, exceptions <= `margin` m, and m >= `support`. Most pairs violate one. Code that compares
    rounded products must widen each bound by the relative `SLACK`, so that rounding loses no pair. The default sieve
    passes every pair.
    """

    product: float = inf
    floor: float = 0.0
    margin: float = inf
    support: int = 0

    def passes(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        """Mask of the pairs that may hold."""
        margin = np.minimum(antecedent, negation)
        mask = np.broadcast_to(margin >= self.support, exceptions.shape)
        if self.product < inf:
            allowance = antecedent.astype(np.float64) * negation * (self.product / examples)
            mask = mask & (exceptions <= allowance * (1 + SLACK)) & (allowance * (1 + SLACK) >= self.floor)
        if self.margin < inf:
            mask = mask & (exceptions <= margin * (self.margin * (1 + SLACK)))
        return np.array(mask)


class Rule:
    """Base class of criteria recorded by class name and fields."""

    def to_dict(self) -> dict[str, Any]:
        kinds: dict[Any, Any] = {"float": float, "int": int}
        values = {field.name: (field.type, getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]
        record = {name: kinds[kind](value) if kind in kinds else value for name, (kind, value) in values.items()}
        return {"name": type(self).__name__.lower(), **record}


def sieve_of(rule: Any) -> Sieve:
    """Sieve of a criterion; by default one that passes every pair."""
    return getattr(rule, "sieve", Sieve())
