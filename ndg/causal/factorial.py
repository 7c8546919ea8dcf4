"""Factorial effects of units on later booleans, from independent hybrids.

In an independent hybrid every unit of the layer is drawn by itself, so that `P(q | p) - P(q | not p)` is the effect of
p on q, averaged over the other units (the main effect of a factorial experiment; Fisher 1935). The same difference on
plain examples is an association, which common causes move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.stats import chi2

from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError, ShapeError
from ndg.mining.counters import Packed
from ndg.mining.significance import q_values
from ndg.nodes import NodeSpace
from ndg.results import Result, Row

Grid = Float64[np.ndarray, "unit node"]


@dataclass(frozen=True, eq=False)
class Effects(Result):
    """Effects of the units of a layer on labels and later units.

    They are counted on `n` independent hybrids.

    Arrays are `[unit, node]`, with the nodes named by `later`. `effect` lies in [-1, 1]; it is NaN where the unit is
    always on or always off. `q_values` are of Benjamini & Hochberg over all pairs in which both vary, of the
    chi-squared test of independence. `observed` is the same difference on plain examples, NaN without them.
    """

    layer: str
    later: tuple[str, ...]
    effect: Grid
    p_values: Grid
    q_values: Grid
    observed: Grid
    n: int

    def rows(self, most: int | None = None) -> list[Row]:
        """The pairs, the largest effects first; at most so many."""
        finite = np.flatnonzero(~np.isnan(self.effect.reshape(-1)))
        order = finite[np.argsort(-np.abs(self.effect.reshape(-1)[finite]), kind="stable")][:most]
        return [self._row(*divmod(int(place), len(self.later))) for place in order]

    def _row(self, unit: int, node: int) -> Row:
        grids = {"effect": self.effect, "p": self.p_values, "q": self.q_values, "observed": self.observed}
        values = {name: float(grid[unit, node]) for name, grid in grids.items()}
        plain = {name: None if np.isnan(value) else value for name, value in values.items()}
        return {"unit": f"{self.layer}:{unit}", "node": self.later[node], **plain, "n": self.n}

    def significant(self, q: float = 0.05) -> Bool[np.ndarray, "unit node"]:
        """Pairs whose q-value is at most `q`."""
        return self.q_values <= q

    def words(self) -> str:
        """How many effects there are, and how they go with the observed differences."""
        tested, kept = int((~np.isnan(self.q_values)).sum()), int(self.significant().sum())
        text = (
            f"Of {tested:,} pairs of a unit of {self.layer} and a later node, {kept:,} have an effect at a false "
            f"discovery rate of 0.05 (n = {self.n:,} independent hybrids)"
        )
        both = ~np.isnan(self.effect) & ~np.isnan(self.observed)
        effect, observed = self.effect[both], self.observed[both]
        if len(effect) > 2 and effect.std() > 0 and observed.std() > 0:
            text += f"; correlation with the observed differences {np.corrcoef(effect, observed)[0, 1]:.2f}"
        return text + "."


def effects(hybrids: BitMatrix, layer: str | None = None, observed: BitMatrix | None = None) -> Effects:
    """Effects of a layer's units on labels and later units, by one count.

    `hybrids` are independent ones of `ndg.recombine`; `layer` is their first layer. `observed` are bits of plain
    examples with the same nodes. Raises ShapeError for observed bits of other nodes, ConfigError for an unknown layer.
    """
    names = [known.name for known in hybrids.nodes.layers]
    layer = names[0] if layer is None and names else layer
    if layer not in names:
        raise ConfigError(f"effects are of a layer of the hybrids, {', '.join(names)}; got {layer!r}")
    if observed is not None and observed.nodes.without_concepts != hybrids.nodes:
        raise ShapeError(
            f"observed bits have the nodes of the hybrids, {hybrids.nodes}; got {observed.nodes}; extract them with "
            "like=hybrids"
        )
    effect, p_values = _differences(hybrids, layer)
    q = np.full(effect.shape, np.nan)
    tested = ~np.isnan(p_values)
    q[tested] = q_values(p_values[tested], int(tested.sum()))
    plain = np.full(effect.shape, np.nan) if observed is None else _differences(observed, layer)[0]
    later = tuple(hybrids.nodes.name(int(node)) for node in later_nodes(hybrids.nodes, layer))
    return Effects(layer, later, effect, p_values, q, plain, hybrids.examples)


def later_nodes(nodes: NodeSpace, layer: str) -> np.ndarray:
    """Labels, and units of the layers behind."""
    return np.concatenate([np.arange(nodes.labels), np.arange(nodes.slice(layer).stop, nodes.labels + nodes.neurons)])


def _differences(bits: BitMatrix, layer: str) -> tuple[Grid, Grid]:
    """Differences of the rate of later nodes between a unit on and off, and p-values.

    NaN where nothing varies.
    """
    nodes = bits.nodes
    rows, later = nodes.slice(layer), later_nodes(nodes, layer)
    counter = Packed.of([bits])
    parts = [slice(0, nodes.labels), slice(rows.stop, nodes.labels + nodes.neurons)]
    both = np.hstack([counter.count(rows, part).both for part in parts if part.stop > part.start]).astype(np.float64)
    on, n = counter.on[rows].astype(np.float64)[:, None], bits.examples
    columns = counter.on[later].astype(np.float64)[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = both / on - (columns - both) / (n - on)
        statistic = n * (both * n - on * columns) ** 2 / (on * (n - on) * columns * (n - columns))
    effect[np.broadcast_to((on == 0) | (on == n), effect.shape)] = np.nan
    return effect, np.where(np.isnan(statistic), np.nan, chi2.sf(statistic, 1))
