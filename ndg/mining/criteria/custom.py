"""Criterion from any function of the counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndg.errors import ConfigError
from ndg.mining.criteria.sieve import Counts, Margin, Mask


@dataclass(frozen=True)
class CustomCriterion:
    """Criterion `function(exceptions, antecedent, negation, examples)` of arrays.

    The function returns one boolean per pair; margins broadcast against the exceptions. It is called for p -> q and,
    with the margins exchanged, for ~q -> ~p; the pair holds if both calls say so.
    """

    function: Callable[..., Any]

    def holds(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> Mask:
        forward = self._call(exceptions, antecedent, negation, examples)
        return forward & self._call(exceptions, negation, antecedent, examples)

    def _call(self, exceptions: Counts, antecedent: Margin, negation: Margin, examples: int) -> np.ndarray:
        try:
            holds = np.asarray(self.function(exceptions, antecedent, negation, examples))
        except TypeError as error:
            raise ConfigError(
                f"a criterion is called with arrays (exceptions, n(p), n(~q)) and n; {self.name} failed: {error}"
            ) from error
        if holds.dtype != bool or holds.shape != exceptions.shape:
            raise ConfigError(
                f"a criterion must give one boolean per pair: {self.name} must return booleans of shape "
                f"{exceptions.shape}; got {holds.dtype} of shape {holds.shape}; compare whole arrays and join with &"
            )
        return holds

    @property
    def name(self) -> str:
        """Qualified name of the function."""
        function = self.function
        definition = function if hasattr(function, "__qualname__") else type(function)
        return f"{definition.__module__}.{definition.__qualname__}"

    def to_dict(self) -> dict[str, Any]:
        return {"name": "callable", "function": self.name}
