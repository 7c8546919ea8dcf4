"""What can go wrong, as one tree. A user's mistake ends a command with exit code 2, a failure with 1.

    NDGError
      UserError (exit 2)      ConfigError  DataError  LayerError  ShapeError  BitsError  GraphError
                              CheckpointError  RunNotFoundError  MissingPackageError  BudgetError
      FailureError (exit 1)   StoreError  RenderError  OutputError  WorkerError  DownloadError

A message states the rule, what was expected, what came, and the next step.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class NDGError(Exception):
    """Anything that this package raises on purpose."""

    exit_code = 1


class UserError(NDGError, ValueError):
    """What was asked for cannot be done as asked; the message says what to change."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration has an unknown key, a wrong type or a value out of range."""


class DataError(UserError):
    """A data set is missing, damaged or cannot be split as asked."""


class LayerError(UserError):
    """A layer does not exist, gives no value per unit, or gives values that are not numbers."""


class ShapeError(UserError):
    """Two things that must describe the same nodes, units or examples do not."""


class BitsError(UserError):
    """Booleans are not booleans, or packed words break the law of their padding."""


class GraphError(UserError):
    """A literal, a file or a set of implications does not fit the graph."""


class CheckpointError(UserError):
    """A checkpoint is truncated, or belongs to another network."""


class RunNotFoundError(UserError):
    """No run answers to the name, config or query."""


class MissingPackageError(UserError):
    """An optional package is needed for what was asked."""


class BudgetError(UserError):
    """More implications hold than were asked to be kept."""


class FailureError(NDGError, RuntimeError):
    """The request was sound and the machine could not carry it out."""


class StoreError(FailureError):
    """The run log cannot be reached or refuses a document."""


class RenderError(FailureError):
    """No layout engine drew the picture in time."""


class OutputError(FailureError):
    """A file cannot be written where it should go."""


class WorkerError(FailureError):
    """A parallel worker gave no answer."""


class DownloadError(FailureError):
    """A server cannot be reached, or gives no whole file."""


def nearest(word: str, valid: Iterable[str], limit: int = 3) -> str:
    """A clause naming the valid words nearest to `word`, or all of them when none is near."""
    valid = list(valid)
    lower = {name.lower(): name for name in valid}
    near = [lower[name] for name in get_close_matches(word.lower(), lower, n=limit, cutoff=0.5)]
    if near:
        return f"nearest: {', '.join(near)}"
    shown = ", ".join(valid[:12]) + (f" and {len(valid) - 12} more" if len(valid) > 12 else "")
    return f"there is: {shown}" if valid else "there is none"
