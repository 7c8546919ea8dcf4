"""Concepts: further booleans of each example, from a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from ndg.errors import BitsError


def columns(frame: Any, examples: int, taken: tuple[str, ...] = ()) -> dict[str, Bool[np.ndarray, " example"]]:
    """Boolean columns by name, from a DataFrame or a mapping.

    BitsError for other values or names.
    """
    if isinstance(frame, Mapping):
        named_columns = list(frame.items())
    elif hasattr(frame, "iloc") and hasattr(frame, "columns"):
        named_columns = [(name, frame.iloc[:, position]) for position, name in enumerate(frame.columns)]
    else:
        raise BitsError(
            f"concepts are a DataFrame or a mapping from names to boolean arrays; got {type(frame).__name__}; "
            "give one array a name, as in {'has wings': array}"
        )
    concepts: dict[str, np.ndarray] = {}
    for name, column in named_columns:
        if not isinstance(name, str) or not name:
            raise BitsError(f"the name of a concept must be a non-empty string; got {name!r}; rename the column")
        if name in concepts or name in taken:
            raise BitsError(f"names of concepts must be unique; got {name!r} twice; rename or drop one")
        values = np.asarray(column)
        if values.dtype == object and all(isinstance(value, bool | np.bool_) for value in values.flat):
            values = values.astype(np.bool_)
        if values.dtype != np.bool_:
            raise BitsError(
                f"a concept must be true or false for each example; column {name!r} holds {_kind(values)}; make it "
                f"boolean, as in frame[{name!r}] > 0"
            )
        if values.shape != (examples,):
            raise BitsError(
                f"a concept must have one value per example: expected {examples}, column {name!r} has shape "
                f"{values.shape}; select the rows of the examples that were extracted, in their order"
            )
        concepts[name] = values
    return concepts


def _kind(values: np.ndarray) -> str:
    """Type of the values, with the first non-boolean one."""
    others = (
        [value for value in values.flat if not isinstance(value, bool | np.bool_)] if values.dtype == object else []
    )
    return f"{values.dtype}, such as {others[0]!r}" if others else str(values.dtype)
