"""A criterion made of any function of the counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ConfigError


@dataclass(frozen=True)
class CustomCriterion:
    """What `function(exceptions, antecedent, negation, examples)` says of each pair, as one boolean per pair.

    The margins broadcast against the exceptions. The function is asked about p -> q and, with the margins exchanged,
    about its contrapositive ~q -> ~p; the pair holds where it says yes to both. It runs on
    finished counts, never inside compiled code, and no sieve spares it a pair.
    """

    function: Callable[..., Any]

    def holds(
        self,
        exceptions: Int64[np.ndarray, "*pair"],
        antecedent: Int64[np.ndarray, "*#pair"],
        negation: Int64[np.ndarray, "*#pair"],
        examples: int,
    ) -> Bool[np.ndarray, "*pair"]:
        return self._answer(exceptions, antecedent, negation, examples) & self._answer(
            exceptions, negation, antecedent, examples
        )

    def _answer(
        self, exceptions: np.ndarray, antecedent: np.ndarray, negation: np.ndarray, examples: int
    ) -> np.ndarray:
        try:
            answer = np.asarray(self.function(exceptions, antecedent, negation, examples))
        except TypeError as error:
            raise ConfigError(
                f"a criterion is called with arrays (exceptions, n(p), n(~q)) and n; {self.name} failed: {error}"
            ) from error
        if answer.dtype != bool or answer.shape != exceptions.shape:
            raise ConfigError(
                f"a criterion gives one boolean per pair: {self.name} must return booleans of shape "
                f"{exceptions.shape}; got {answer.dtype} of shape {answer.shape}; compare whole arrays and join with &"
            )
        return answer

    @property
    def name(self) -> str:
        """Where the function is defined."""
        function = self.function
        named = function if hasattr(function, "__qualname__") else type(function)
        return f"{named.__module__}.{named.__qualname__}"

    def to_dict(self) -> dict[str, Any]:
        return {"name": "callable", "function": self.name}
