"""Alignment curve: the aligned rate against the number of changed neurons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from ndg.abstraction.bootstrap import group_weights
from ndg.abstraction.controls import GRAPH
from ndg.abstraction.counts import Counts
from ndg.errors import ConfigError, nearest
from ndg.intervals import rate
from ndg.results import Result, Row

Line = tuple[Float64[np.ndarray, " size"], Float64[np.ndarray, " size"]]
EXAMPLES = "examples"
ROUNDS = 1000
"""Rounds of the bootstrap of areas."""


@dataclass(frozen=True)
class Difference:
    """Difference of two areas under curves, with 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve(Result):
    """Neurons set, neurons changed and examples aligned, by order and size.

    `counts[order][group, size]` holds these three sums over the originally correct examples of a group that the
    bootstrap resamples, `counts["examples"][group]` their number.
    """

    sizes: tuple[int, ...]
    counts: Counts
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """The orders, that of the graph first."""
        return (GRAPH, *(name for name in self.counts.by_name if name not in (GRAPH, EXAMPLES)))

    @property
    def n(self) -> int:
        """Number of originally correct examples."""
        return int(self.counts[EXAMPLES].sum())

    @cached_property
    def end(self) -> float | None:
        """Largest mean number of changed neurons that all orders reach."""
        return _end(self._lines()) if self.n else None

    def points(self, name: str) -> list[Row]:
        """Counts, means per example and aligned rate for each size."""
        totals: Int64[np.ndarray, "size 3"] = self.counts[self._known(name)].sum(axis=0)
        rows: list[Row] = []
        for size, (chosen, changed, aligned) in zip(self.sizes, totals.tolist(), strict=True):
            neurons = {"neurons_set": chosen, "neurons_changed": changed}
            means = {f"{key}_mean": value / self.n if self.n else None for key, value in neurons.items()}
            share, low, high = rate("aligned", aligned, self.n).values()
            rates = {"aligned_rate": share, "aligned_low": low, "aligned_high": high}
            rows.append({"size": size} | neurons | {"aligned": aligned, "n": self.n} | means | rates)
        return rows

    def area(self, name: str) -> float | None:
        """Mean aligned rate under an order's curve up to `end`, in [0, 1]; None if flat."""
        self._known(name)
        return _areas(self._lines()).get(name) if self.n else None

    def difference(self, name: str) -> Difference | None:
        """Area of the graph's curve minus another's; None without changes."""
        return self._differences[self._known(name)]

    @cached_property
    def _differences(self) -> dict[str, Difference | None]:
        areas = _areas(self._lines()) if self.n else {}
        if not areas:
            return dict.fromkeys(self.names)
        drawn = [_areas(self._lines(weights)) for weights in group_weights(self.seed, "areas", rounds=ROUNDS)]
        if not all(drawn):
            return dict.fromkeys(self.names)
        differences: dict[str, Difference | None] = {}
        for name in self.names:
            low, high = np.percentile([own[GRAPH] - own[name] for own in drawn], [2.5, 97.5])
            differences[name] = Difference(areas[GRAPH] - areas[name], float(low), float(high))
        return differences

    def _lines(self, weights: Int64[np.ndarray, " group"] | None = None) -> dict[str, Line]:
        """Mean changed neurons and aligned rates, under weights of groups."""
        examples = self.counts[EXAMPLES]
        weights = np.ones(len(examples), np.int64) if weights is None else weights
        n = max(float(weights @ examples), 1.0)
        sums = {name: np.tensordot(weights, self.counts[name], axes=1) / n for name in self.names}
        return {name: (means[:, 1], means[:, 2]) for name, means in sums.items()}

    def rows(self) -> list[Row]:
        """One row per order and number of neurons."""
        return [{"order": name} | point for name in self.names for point in self.points(name)]

    def words(self) -> str:
        """The area of each order against the graph's, with intervals."""
        if self.end is None or self.area(GRAPH) is None:
            return f"No neuron changes in the {self.n} originally correct examples, so no order has an area."
        others = [(name, self.difference(name)) for name in self.names if name != GRAPH]
        beside = "; ".join(
            f"{name} {self.area(name):.3f} (the graph has {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}] more)"
            for name, gap in others
            if gap is not None
        )
        return (
            f"Mean aligned rate up to {self.end:.1f} neurons changed, of {self.n} originally correct examples: the "
            f"graph's choice {self.area(GRAPH):.3f}{'; ' if beside else ''}{beside}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: exact counts by point, areas and differences."""
        return {
            "sizes": list(self.sizes),
            "n": self.n,
            "end": self.end,
            "orders": {name: self._plain(name) for name in self.names},
        }

    def _plain(self, name: str) -> dict[str, Any]:
        points = self.points(name)
        gap = self.difference(name) if name != GRAPH else None
        return {
            **{key: [point[key] for point in points] for key in ("neurons_set", "neurons_changed", "aligned")},
            "area": self.area(name),
            "graph_minus": gap.value if gap else None,
            "graph_minus_low": gap.low if gap else None,
            "graph_minus_high": gap.high if gap else None,
        }

    def _known(self, name: str) -> str:
        if name not in self.names:
            raise ConfigError(f"no order {name!r} on this curve; {nearest(name, self.names)}")
        return name


def _end(lines: dict[str, Line]) -> float:
    return min(float(changed[-1]) for changed, _ in lines.values())


def _areas(lines: dict[str, Line]) -> dict[str, float]:
    """Mean height of every line up to `end`; NaN for width 0."""
    end = _end(lines)
    return {name: _area(changed, rates, end) / end for name, (changed, rates) in lines.items()} if end > 0 else {}


def _area(changed: Float64[np.ndarray, " size"], rates: Float64[np.ndarray, " size"], end: float) -> float:
    inside = changed < end
    at = np.append(changed[inside], end)
    height = np.append(rates[inside], np.interp(end, changed, rates))
    return float(np.trapezoid(height, at))
