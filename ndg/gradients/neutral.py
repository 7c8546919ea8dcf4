"""Neutral state of an input or a unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ndg.errors import DataError

Baselines = str | float | int | Tensor | Mapping[str, Tensor]
"""A neutral state by name, a number, a tensor, or a tensor for each layer or input."""


def describe(baselines: Baselines, what: str) -> str:
    """A baseline as scores record it."""
    if isinstance(baselines, str):
        return f"{baselines} {what}"
    return f"{what} {float(baselines):g}" if not isinstance(baselines, (Tensor, Mapping)) else f"given {what}"


def check_rereadable(loader: Iterable[Any], reader: str, times: str = "twice") -> None:
    """Raise DataError for a loader that cannot be read so many times."""
    if iter(loader) is loader:
        raise DataError(
            f"{reader} reads the loader {times}, and an iterator can be read once; pass a list, a DataLoader, or any "
            "object whose iteration starts anew"
        )
