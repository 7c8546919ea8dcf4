"""Integer counts of predictions under an intervention."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from operator import add, attrgetter
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from ndg.errors import ShapeError
from ndg.intervals import Z95, wilson


@dataclass(frozen=True)
class Tally:
    """Counts over examples; most over the originally correct ones.

    Predictions under the intervention are the alternative class (`aligned`), the true class (`unchanged`) or another
    (`changed`), together `correct`. `contradictory` (a pair left D) and `no_ancestors` (no literal implies the
    alternative class) overlay them. `neurons_set` and `neurons_changed` are sums of neurons named, and of those whose
    boolean changed. `kept` examples are also correct after binarising alone. `graph_only` counts examples aligned by
    the graph's choice but not here, `control_only` the reverse.
    """

    examples: int = 0
    correct: int = 0
    aligned: int = 0
    changed: int = 0
    unchanged: int = 0
    contradictory: int = 0
    no_ancestors: int = 0
    neurons_set: int = 0
    neurons_changed: int = 0
    kept: int = 0
    kept_aligned: int = 0
    graph_only: int = 0
    control_only: int = 0

    def __post_init__(self) -> None:
        if self.aligned + self.changed + self.unchanged != self.correct:
            raise ShapeError(
                "aligned, changed and unchanged examples are together the originally correct ones: expected "
                f"{self.correct}, got {self.aligned} + {self.changed} + {self.unchanged}"
            )

    def __add__(self, other: Tally) -> Tally:
        return Tally(*map(add, _counts(self), _counts(other)))

    def rate(self, outcome: str) -> float | None:
        """Share of a count in the originally correct examples."""
        return getattr(self, outcome) / self.correct if self.correct else None

    def interval(self, outcome: str) -> tuple[float, float]:
        """95 % Wilson interval of `rate`; [0, 1] without examples."""
        low, high = wilson(getattr(self, outcome), self.correct)
        return float(low), float(high)

    @property
    def kept_rate(self) -> float | None:
        """Aligned share of the examples correct after binarising."""
        return self.kept_aligned / self.kept if self.kept else None

    @property
    def advantage(self) -> tuple[float, float, float] | None:
        """Aligned rate of the graph's choice minus this, with interval (Agresti & Min 2005)."""
        if not self.correct:
            return None
        n, more, less = self.correct + 2, self.graph_only + 0.5, self.control_only + 0.5
        middle = (more - less) / n
        half = Z95 * float(np.sqrt((more + less) / n - middle**2) / np.sqrt(n))
        return (self.graph_only - self.control_only) / self.correct, max(middle - half, -1.0), min(middle + half, 1.0)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


FIELDS = tuple(field.name for field in fields(Tally))
_counts = attrgetter(*FIELDS)

Flags = Bool[np.ndarray, " example"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of each example of a batch under one intervention."""

    correct: Flags
    aligned: Flags
    unchanged: Flags
    contradictory: Flags
    no_ancestors: Flags
    neurons_set: Int64[np.ndarray, " example"]
    neurons_changed: Int64[np.ndarray, " example"]
    kept: Flags
    graph_aligned: Flags

    @cached_property
    def _counted(self) -> Int64[np.ndarray, "field example"]:
        """What each example adds to each field of a tally."""
        correct = self.correct
        aligned, unchanged = correct & self.aligned, correct & self.unchanged
        counted = {
            "examples": np.ones_like(correct),
            "correct": correct,
            "aligned": aligned,
            "changed": correct & ~self.aligned & ~self.unchanged,
            "unchanged": unchanged,
            "contradictory": correct & self.contradictory,
            "no_ancestors": correct & self.no_ancestors,
            "neurons_set": self.neurons_set * correct,
            "neurons_changed": self.neurons_changed * correct,
            "kept": correct & self.kept,
            "kept_aligned": aligned & self.kept,
            "graph_only": correct & self.graph_aligned & ~self.aligned,
            "control_only": aligned & ~self.graph_aligned,
        }
        return np.array([counted[name] for name in FIELDS], np.int64)

    def tally(self) -> Tally:
        """Counts over all examples."""
        return Tally(*self._counted.sum(axis=1).tolist())

    def by_class(self, classes: Int64[np.ndarray, " example"]) -> dict[int, Tally]:
        """Counts over the examples of each class that there is."""
        known, which = np.unique(classes, return_inverse=True)
        counts = self._counted @ np.eye(len(known), dtype=np.int64)[which]
        return {label: Tally(*column) for label, column in zip(known.tolist(), counts.T.tolist(), strict=True)}


@dataclass(frozen=True)
class Tallies:
    """Tallies by name; addition is by name."""

    by_name: Mapping[Any, Tally]

    def __add__(self, other: Tallies) -> Tallies:
        total = dict(self.by_name)
        for name, tally in other.by_name.items():
            total[name] = total.get(name, Tally()) + tally
        return Tallies(total)

    def __getitem__(self, name: Any) -> Tally:
        """The tally of that name, else an empty one."""
        return self.by_name.get(name, Tally())

    def to_dict(self) -> dict[str, list[int]]:
        """Counts by JSON name, in the order of `FIELDS`."""
        return {_text(name): list(_counts(tally)) for name, tally in self.by_name.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, list[int]]) -> Tallies:
        """Inverse of `to_dict`."""
        return cls({_name(text): Tally(*counts) for text, counts in document.items()})


@cache
def _text(name: Any) -> str:
    return json.dumps(name)


def _name(text: str) -> Any:
    name = json.loads(text)
    return tuple(name) if isinstance(name, list) else name
