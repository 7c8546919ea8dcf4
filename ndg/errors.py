"""Errors of this package, as one tree with exit codes.

    NDGError
      UserError (exit 2)      ConfigError  DataError  LayerError  ShapeError  BitsError  GraphError
                              CheckpointError  RunNotFoundError  MissingPackageError  BudgetError
      FailureError (exit 1)   StoreError  RenderError  OutputError  WorkerError  DownloadError

A message states the rule, the expected and the actual value, and the next step.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class NDGError(Exception):
    """Base of all errors of this package."""

    exit_code = 1


class UserError(NDGError, ValueError):
    """The request is invalid; the message says what to change."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration has an invalid key, type or value."""


class DataError(UserError):
    """A data set is missing, damaged or cannot be split."""


class LayerError(UserError):
    """A layer is missing, has no value per unit, or returns NaN."""


class ShapeError(UserError):
    """Two arguments do not describe the same nodes, units or examples."""


class BitsError(UserError):
    """Values are not booleans, or packed words have invalid padding."""


class GraphError(UserError):
    """A literal, file or implication does not fit the graph."""


class CheckpointError(UserError):
    """A checkpoint is truncated, or belongs to another network."""


class RunNotFoundError(UserError):
    """No run matches the name, config or query."""


class MissingPackageError(UserError):
    """An optional package is missing."""


class BudgetError(UserError):
    """A budget cannot be met, such as one of implications or of FLOPs."""


class FailureError(NDGError, RuntimeError):
    """The request is valid but could not be carried out."""


class StoreError(FailureError):
    """The run log is unreachable or rejects a document."""


class RenderError(FailureError):
    """No layout engine drew the picture in time."""


class OutputError(FailureError):
    """A file cannot be written."""


class WorkerError(FailureError):
    """A parallel worker did not answer."""


class DownloadError(FailureError):
    """A server is unreachable or sends an incomplete file."""


def check_list(value: object, what: str) -> None:
    """Raise ConfigError for a text where a list belongs."""
    if isinstance(value, str | bytes):
        raise ConfigError(f"{what} must be a list; got the text {value[:80]!r}; write [{value[:80]!r}]")


def check_kind(
    value: object, kinds: type | tuple[type, ...], rule: str, advice: str, error: type[NDGError] = ConfigError
) -> None:
    """Raise `error` for a value of another type than `kinds`."""
    if not isinstance(value, kinds):
        name, text = type(value).__name__, repr(value)
        came = name if len(text) > 40 or text.startswith("<") or "\n" in text else f"{name} {text}"
        raise error(f"{rule}; got {'None' if value is None else came}; {advice}")


def nearest(word: object, valid: Iterable[str], limit: int = 3) -> str:
    """Clause with the valid words nearest to `word`."""
    valid = list(valid)
    lower = {name.lower(): name for name in valid}
    near = [lower[name] for name in get_close_matches(f"{word}".lower(), lower, n=limit, cutoff=0.5)]
    if near:
        return f"nearest: {', '.join(near)}"
    shown = ", ".join(valid[:12]) + (f" and {len(valid) - 12} more" if len(valid) > 12 else "")
    return f"there is: {shown}" if valid else "there is none"
