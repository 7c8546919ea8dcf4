"""Booleans that are known of each example besides labels and units, from a table or from a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from ndg.errors import BitsError


def columns(frame: Any, examples: int, taken: tuple[str, ...] = ()) -> dict[str, Bool[np.ndarray, " example"]]:
    """The boolean columns of a DataFrame, or of a mapping from names to arrays, by name; rows are examples, in order.

    Raises BitsError, naming the column, for another type, another number of rows, or a name that is there twice.
    """
    if isinstance(frame, Mapping):
        found = list(frame.items())
    elif hasattr(frame, "iloc") and hasattr(frame, "columns"):
        found = [(name, frame.iloc[:, position]) for position, name in enumerate(frame.columns)]
    else:
        raise BitsError(
            f"concepts are a DataFrame or a mapping from names to boolean arrays; got {type(frame).__name__}; "
            "give one array a name, as in {'has wings': array}"
        )
    concepts: dict[str, np.ndarray] = {}
    for name, column in found:
        if not isinstance(name, str) or not name:
            raise BitsError(f"a concept is called by a text that is not empty; got {name!r}; rename the column")
        if name in concepts or name in taken:
            raise BitsError(f"concepts have different names; {name!r} is there twice; rename or drop one")
        values = np.asarray(column)
        if values.dtype == object and all(isinstance(value, bool | np.bool_) for value in values.flat):
            values = values.astype(np.bool_)
        if values.dtype != np.bool_:
            raise BitsError(
                f"a concept is true or false for each example; column {name!r} holds {_example(values)}; make it "
                f"boolean, as in frame[{name!r}] > 0"
            )
        if values.shape != (examples,):
            raise BitsError(
                f"concepts have one value per example: expected {examples}, column {name!r} has shape {values.shape}; "
                "select the rows of the examples that were extracted, in their order"
            )
        concepts[name] = values
    return concepts


def _example(values: np.ndarray) -> str:
    """The type of values, and the first that is no boolean where they are of several."""
    odd = [value for value in values.flat if not isinstance(value, bool | np.bool_)] if values.dtype == object else []
    return f"{values.dtype}, such as {odd[0]!r}" if odd else str(values.dtype)
