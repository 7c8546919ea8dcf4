"""Matching of units of two trainings by agreement on the same inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg.bits.matrix import BitMatrix
from ndg.bits.packing import tail_mask, zeros
from ndg.comparison.resampling import paired_anew
from ndg.errors import ConfigError, ShapeError
from ndg.intervals import wilson
from ndg.nodes import LABEL, NodeSpace
from ndg.results import Result, Row, mean

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE, WORDS_AT_ONCE = 256, 64

Partners = Int64[np.ndarray, " node"]
Mask = Bool[np.ndarray, " node"]


@dataclass(frozen=True, eq=False)
class Matching(Result):
    """Partner of each node of a second network in the first, or -1.

    `same` tells whether a unit agrees with its partner or with its negation, on `agreeing` of `examples` examples;
    `chance` is the rate for independent units of the same frequencies. `shuffled` is each layer's mean agreement after
    the examples of the second network are permuted and matched again.
    """

    nodes: NodeSpace
    other: NodeSpace
    partner: Partners
    same: Mask
    agreeing: Partners
    chance: Float64[np.ndarray, " node"]
    examples: int
    shuffled: dict[str, float | None]
    seed: int

    def __post_init__(self) -> None:
        for array in (self.partner, self.same, self.agreeing, self.chance):
            array.flags.writeable = False

    @property
    def codes(self) -> Int64[np.ndarray, " literal"]:
        """Literal of the first network for each of the second, or -1."""
        value = np.stack([~self.same, self.same], axis=1)
        codes = 2 * self.partner[:, None] + value
        return np.where(self.partner[:, None] < 0, -1, codes).reshape(-1)

    @property
    def agreement(self) -> Float64[np.ndarray, " node"]:
        """Share of examples on which each node agrees with its partner."""
        return np.where(self.partner < 0, np.nan, self.agreeing / max(self.examples, 1))

    def rows(self) -> list[Row]:
        """One row per layer, with mean agreement and its controls.

        The interval is the mean of the units' Wilson bounds, wide enough for any dependence between units.
        """
        rows = []
        for layer in self.other.layers:
            where = self.other.slice(layer.name)
            matched = np.flatnonzero(self.partner[where] >= 0) + where.start
            low, high = wilson(self.agreeing[matched], np.full(len(matched), self.examples))
            rows.append(
                {
                    "layer": layer.name,
                    "units": layer.units,
                    "matched": len(matched),
                    "negated": int((~self.same[matched]).sum()),
                    "agreement": mean(self.agreement[matched]),
                    "low": mean(low),
                    "high": mean(high),
                    "chance": mean(self.chance[matched]),
                    "shuffled": self.shuffled.get(layer.name),
                    "examples": self.examples,
                }
            )
        return rows

    def units_frame(self) -> pd.DataFrame:
        """One row per matched unit, with its agreement and Wilson interval."""
        import pandas as pd

        nodes = [node for node in range(self.other.labels, len(self.other)) if self.partner[node] >= 0]
        low, high = wilson(self.agreeing[nodes], np.full(len(nodes), self.examples))
        return pd.DataFrame(
            {
                "layer": [self.other.layer(node) for node in nodes],
                "unit": [self.other.unit(node) for node in nodes],
                "partner": [self.nodes.unit(int(self.partner[node])) for node in nodes],
                "negated": ~self.same[nodes],
                "agreement": self.agreement[nodes],
                "low": low,
                "high": high,
                "chance": self.chance[nodes],
                "examples": self.examples,
            }
        )

    def words(self) -> str:
        """Matched units, agreement and chance, in one sentence per layer."""
        lines = []
        for row in self.rows():
            lines.append(f"{row['layer']}: {row['matched']} of {row['units']} units have a partner")
            if row["agreement"] is not None:
                ends = f"{row['agreement']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                lines[-1] += f", which agrees on {ends} of {row['examples']} examples (chance {row['chance']:.3f})"
        return "\n".join(f"{line}." for line in lines)

    def context(self) -> Row:
        return {"examples": self.examples, "seed": self.seed}


def match_units(a: BitMatrix, b: BitMatrix, *, at_least: float | int = 0.0, seed: int = 0) -> Matching:
    """Best one-to-one match of the units of `b` and `a`.

    Units are matched within layers, on the same examples in the same order. Two units agree by the share of examples
    with the same boolean, or with the opposite one if that is larger; units below `at_least` get no partner. Labels are
    matched with labels, concepts by name. Raises ShapeError for different examples, layers or labels.
    """
    _check(a, b, at_least)
    partner = np.full(len(b.nodes), -1, np.int64)
    same, agreeing = np.ones(len(b.nodes), np.bool_), np.zeros(len(b.nodes), np.int64)
    partner[b.nodes.slice(LABEL)] = np.arange(b.nodes.labels)
    names = [*a.nodes.nodes()]
    for node, name in enumerate(b.nodes.nodes()):
        if b.nodes.is_concept(node) and name in names:
            partner[node] = names.index(name)
    shared = np.flatnonzero(partner >= 0)
    differing = np.bitwise_count(a.words[partner[shared]] ^ b.words[shared]).sum(axis=1, dtype=np.int64)
    agreeing[shared] = b.examples - differing

    shuffled: dict[str, float | None] = {}
    anew = paired_anew(b, seed) if b.examples > 1 else None
    for layer in b.nodes.layers:
        here, there = a.nodes.slice(layer.name), b.nodes.slice(layer.name)
        rows, columns, alike, count = _assigned(a, b, here, there)
        nodes = columns + there.start
        partner[nodes], same[nodes], agreeing[nodes] = rows + here.start, alike, count
        shuffled[layer.name] = None if anew is None else float(_assigned(a, anew, here, there)[3].mean() / b.examples)
        partner[nodes[count < at_least * b.examples]] = -1
    return Matching(a.nodes, b.nodes, partner, same, agreeing, _chance(a, b, partner), b.examples, shuffled, seed)


def in_units_of(bits: BitMatrix, matching: Matching) -> BitMatrix:
    """Bits in the units of the first network; ShapeError without partner."""
    if bits.nodes != matching.other:
        raise ShapeError(f"bits must have the nodes of the matching: expected {matching.other}, got {bits.nodes}")
    source = np.full(len(matching.nodes), -1, np.int64)
    matched = np.flatnonzero(matching.partner >= 0)
    source[matching.partner[matched]] = matched
    if (source < 0).any():
        missing = [matching.nodes.name(int(node)) for node in np.flatnonzero(source < 0)[:5]]
        raise ShapeError(
            f"every node of the first network needs a partner; {', '.join(missing)} has none; match networks of as "
            "many units with at_least=0"
        )
    words = zeros(len(source), bits.words.shape[1])
    words[:] = bits.words[source]
    negated = ~matching.same[source]
    words[negated] = ~words[negated]
    if words.shape[1]:
        words[:, -1] &= tail_mask(bits.examples)
    units = slice(matching.nodes.labels, matching.nodes.labels + matching.nodes.neurons)
    thresholds = bits.thresholds[source[units] - bits.nodes.labels]
    return replace(bits, nodes=matching.nodes, words=words, thresholds=thresholds)


def unlike(a: BitMatrix, b: BitMatrix, here: slice, there: slice) -> Int64[np.ndarray, "row column"]:
    """Number of examples on which nodes of `a` and `b` differ."""
    from ndg.graph.traversal import add_unlike

    first, second = a.words[here], b.words[there]
    counts = np.zeros((len(first), len(second)), np.int64)
    for top in range(0, len(first), ROWS_AT_ONCE):
        for left in range(0, len(second), ROWS_AT_ONCE):
            rows, columns = slice(top, top + ROWS_AT_ONCE), slice(left, left + ROWS_AT_ONCE)
            tile = np.zeros(counts[rows, columns].shape, np.int64)
            for start in range(0, first.shape[1], WORDS_AT_ONCE):
                part = slice(start, start + WORDS_AT_ONCE)
                add_unlike(np.ascontiguousarray(first[rows, part]), np.ascontiguousarray(second[columns, part]), tile)
            counts[rows, columns] = tile
    return counts


def _assigned(a: BitMatrix, b: BitMatrix, here: slice, there: slice) -> tuple[Partners, Partners, Mask, Partners]:
    """Rows, columns, signs and agreement counts of the best assignment."""
    from scipy.optimize import linear_sum_assignment

    differing = unlike(a, b, here, there)
    count = np.maximum(differing, b.examples - differing)
    rows, columns = linear_sum_assignment(count, maximize=True)
    alike = 2 * differing[rows, columns] <= b.examples
    return rows.astype(np.int64), columns.astype(np.int64), alike, count[rows, columns]


def _chance(a: BitMatrix, b: BitMatrix, partner: Partners) -> Float64[np.ndarray, " node"]:
    """Agreement of independent partners; units take the better sign."""
    n = max(b.examples, 1)
    p, q = a.on()[partner] / n, b.on() / n
    alike = p * q + (1 - p) * (1 - q)
    units = np.zeros(len(partner), np.bool_)
    units[b.nodes.labels : b.nodes.labels + b.nodes.neurons] = True
    return np.where(partner < 0, np.nan, np.where(units, np.maximum(alike, 1 - alike), alike))


def _check(a: BitMatrix, b: BitMatrix, at_least: float | int) -> None:
    if not 0 <= at_least <= 1:
        raise ConfigError(f"at_least is a share of the examples, from 0 to 1; got {at_least}")
    if a.examples != b.examples:
        raise ShapeError(
            f"units are matched on the same examples in the same order; got {a.examples} and {b.examples}; extract "
            "both networks with the same loader"
        )
    first, second = ([layer.name for layer in bits.nodes.layers] for bits in (a, b))
    if first != second or a.nodes.labels != b.nodes.labels:
        raise ShapeError(
            f"units are matched within layers of the same names, and labels with labels; got {a.nodes.labels} labels "
            f"and {first}, {b.nodes.labels} labels and {second}; extract the same layers of both"
        )
