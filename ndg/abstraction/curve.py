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
from ndg.plots import Plot, Series
from ndg.results import Result, Row

Line = tuple[Float64[np.ndarray, "round size"], Float64[np.ndarray, "round size"]]
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
        return float(_end(self._lines())[0]) if self.n else None

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
        """Mean aligned rate under an order's curve up to `end`, in [0, 1].

        None if flat.
        """
        self._known(name)
        return float(_areas(self._lines())[name][0]) if self.end else None

    def difference(self, name: str) -> Difference | None:
        """Area of the graph's curve minus another's; None without changes."""
        return self._differences[self._known(name)]

    @cached_property
    def _differences(self) -> dict[str, Difference | None]:
        lines = self._lines(group_weights(self.seed, "areas", rounds=ROUNDS))
        if not self.end or not _end(lines).all():
            return dict.fromkeys(self.names)
        areas, drawn = _areas(self._lines()), _areas(lines)
        differences: dict[str, Difference | None] = {}
        for name in self.names:
            low, high = np.percentile(drawn[GRAPH] - drawn[name], [2.5, 97.5])
            differences[name] = Difference(float(areas[GRAPH][0] - areas[name][0]), float(low), float(high))
        return differences

    def _lines(self, weights: Int64[np.ndarray, "round group"] | None = None) -> dict[str, Line]:
        """Mean changed neurons and aligned rates, in rounds of weighted groups."""
        examples = self.counts[EXAMPLES]
        weights = np.ones((1, len(examples)), np.int64) if weights is None else weights
        n = np.maximum(weights @ examples, 1)[:, None, None]
        means = {name: np.tensordot(weights, self.counts[name], axes=1) / n for name in self.names}
        return {name: (mean[:, :, 1], mean[:, :, 2]) for name, mean in means.items()}

    def rows(self) -> list[Row]:
        """One row per order and number of neurons."""
        return [{"order": name} | point for name in self.names for point in self.points(name)]

    def plotted(self) -> Plot:
        """Alignment curve: the aligned rate against the mean number of changed neurons, for each order."""
        series = (
            Series.of(name, self.points(name), "neurons_changed_mean", "aligned_rate", ("aligned_low", "aligned_high"))
            for name in self.names
        )
        return Plot(f"Alignment curves, n = {self.n:,}", "neurons changed (mean)", "aligned", tuple(series))

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


def _end(lines: dict[str, Line]) -> Float64[np.ndarray, " round"]:
    return np.min([changed[:, -1] for changed, _ in lines.values()], axis=0)


def _areas(lines: dict[str, Line]) -> dict[str, Float64[np.ndarray, " round"]]:
    """Mean height of every line up to `end`, which is above 0."""
    end = _end(lines)[:, None]
    return {name: _area(changed, rates, end) / end[:, 0] for name, (changed, rates) in lines.items()}


def _area(
    changed: Float64[np.ndarray, "round size"],
    rates: Float64[np.ndarray, "round size"],
    end: Float64[np.ndarray, "round 1"],
) -> Float64[np.ndarray, " round"]:
    last = (changed <= end).sum(axis=1, keepdims=True) - 1  # the last point up to the end, which may lie behind it
    following = np.minimum(last + 1, changed.shape[1] - 1)
    (x, y), (right, above) = ([np.take_along_axis(of, at, 1) for of in (changed, rates)] for at in (last, following))
    slope = np.divide(above - y, right - x, out=np.zeros_like(x), where=right > x)
    height = np.where(changed < end, rates, y + slope * (end - x))
    return np.asarray(np.trapezoid(height, np.minimum(changed, end), axis=1))
