"""Weighted votes of the units of one layer for labels, as a frozen value."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import atomic, checksums
from ndg.bits.matrix import BitMatrix
from ndg.errors import ConfigError, DataError, GraphError, ShapeError
from ndg.nodes import CONCEPT, LABEL, NodeSpace
from ndg.results import Result, Row

if TYPE_CHECKING:
    import networkx as nx

FORMAT, SCHEMA = "ndg votes", 1

Labels = Int64[np.ndarray, " example"]


@dataclass(frozen=True, eq=False)
class Votes(Result):
    """Votes of the units of one layer for each label.

    `weights` are `[label, unit]`, `bias` one number per label. A positive weight is a vote of the unit being on, and as
    large a vote against the label of the unit being off. With a `margin` above 0, examples whose best label leads by
    less than it are not decided. `n` hybrids were fitted.
    """

    layer: str
    weights: Float64[np.ndarray, "label unit"]
    bias: Float64[np.ndarray, " _"]
    n: int
    margin: float = 0.0
    network: str = ""

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[:1]:
            raise ShapeError(
                f"votes have weights [label, unit] and a bias per label; got {self.weights.shape}, {self.bias.shape}"
            )

        for name in ("weights", "bias"):
            array = np.array(getattr(self, name), np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def scores(self, bits: BitMatrix | Bool[np.ndarray, "example unit"]) -> Float64[np.ndarray, "example label"]:
        """The sum of votes for each label.

        Raises ShapeError for booleans of another number of units.
        """
        on = self._units(bits)
        return np.where(on, 1.0, -1.0) @ self.weights.T + self.bias

    def predict(self, bits: BitMatrix | Bool[np.ndarray, "example unit"]) -> Labels:
        """The label with most votes, the first of equal ones.

        -1 where the lead is below the margin.
        """
        scores = self.scores(bits)
        label = scores.argmax(axis=1).astype(np.int64)
        return np.where(_lead(scores) >= self.margin, label, -1)

    def abstaining(self, bits: BitMatrix | Bool[np.ndarray, "example unit"], coverage: float | int) -> Votes:
        """The same votes, with the margin that decides this share of examples.

        Raises ConfigError for a coverage outside (0, 1].
        """
        if not 0 < coverage <= 1:
            raise ConfigError(f"coverage is the share of examples that are decided, above 0, at most 1; got {coverage}")
        leads = np.sort(_lead(self.scores(bits)))
        if not len(leads):
            raise DataError("a margin is chosen on at least one example; got none; pass validation examples")
        return replace(self, margin=float(leads[min(int((1 - coverage) * len(leads)), len(leads) - 1)]))

    def order(self, label: int) -> list[str]:
        """Literals for a label, one per unit, by their lead over the mean."""
        lead = self.weights[label] - self.weights.mean(axis=0)
        units = np.argsort(-np.abs(lead), kind="stable").tolist()
        return [f"{'' if lead[unit] > 0 else '~'}{self.layer}:{unit}" for unit in units]

    @property
    def edges(self) -> int:
        """The number of weights that are not 0."""
        return int(np.count_nonzero(self.weights))

    def rows(self) -> list[Row]:
        """Every edge: the literal that speaks for the label, and its weight above 0.

        The strongest first.
        """
        labels, units = np.nonzero(self.weights)
        strength = self.weights[labels, units]
        order = np.lexsort((units, labels, -np.abs(strength)))
        return [
            {
                "literal": f"{'' if strength[place] > 0 else '~'}{self.layer}:{units[place]}",
                "label": int(labels[place]),
                "weight": abs(float(strength[place])),
            }
            for place in order
        ]

    def among(self, units: Bool[np.ndarray, " unit"]) -> Votes:
        """The same votes, without those of the other units."""
        return replace(self, weights=np.where(units, self.weights, 0.0))

    def context(self) -> Row:
        return {"layer": self.layer, "bias": self.bias.tolist(), "margin": self.margin, "n": self.n}

    def words(self) -> str:
        """Size of the votes in one sentence."""
        labels, units = self.weights.shape
        used = int(self.weights.any(axis=0).sum())
        return (
            f"{self.edges:,} votes of {used:,} of {units:,} units of {self.layer} for {labels} labels, fitted to "
            f"{self.n:,} hybrids."
        )

    def to_networkx(self) -> nx.DiGraph[Any]:
        """Edges from literals to labels, such as `~latent:3` to `label:5`, with their `weight`."""
        import networkx as nx

        graph: nx.DiGraph[Any] = nx.DiGraph()
        for row in self.rows():
            graph.add_edge(row["literal"], f"{LABEL}:{row['label']}", weight=row["weight"])
        return graph

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Path of the JSON file written, completely or not at all."""
        plain = {"format": FORMAT, "schema": SCHEMA, **self.plain()}
        return atomic.write(path, json.dumps(plain | {"checksum": _checksum(plain)}, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Votes:
        """Votes of a file of `save`.

        Raises GraphError for another or a damaged file.
        """
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
            expected = plain.pop("checksum")
            if (plain["format"], plain["schema"]) != (FORMAT, SCHEMA) or _checksum(plain) != expected:
                raise ValueError("the checksum differs")
            return cls.read(plain)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ShapeError) as error:
            raise GraphError(
                f"votes are read from a file that Votes.save wrote; {path} is none, or it is damaged ({error}); save "
                "the votes again"
            ) from error

    def plain(self) -> Row:
        """All fields in plain JSON types."""
        return {**self.context(), "network": self.network, "weights": self.weights.tolist()}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Votes:
        """Votes of the fields of `plain`.

        Raises LookupError, TypeError, ValueError or ShapeError for others.
        """
        weights, bias = (np.array(document[name], np.float64) for name in ("weights", "bias"))
        margin = float(document["margin"])
        if not (np.isfinite(weights).all() and np.isfinite(bias).all() and 0 <= margin < np.inf):
            raise ValueError("weights, bias and margin of votes must be finite numbers")
        if not isinstance(document["layer"], str) or type(document["n"]) is not int or document["n"] < 0:
            raise TypeError("votes must name a layer and the number of hybrids that they were fitted to")
        return cls(document["layer"], weights, bias, document["n"], margin, str(document.get("network", "")))

    def check(self, nodes: NodeSpace) -> None:
        """Raise GraphError for votes of another layer or other labels."""
        where = nodes.slice(self.layer)
        expected = (nodes.labels, where.stop - where.start)
        if self.layer in (LABEL, CONCEPT) or self.weights.shape != expected:
            raise GraphError(
                f"votes of a graph have weights of its labels and of the units of a layer: expected {expected} for "
                f"{self.layer}, got {self.weights.shape}; fit them to hybrids with the nodes of the graph"
            )

    def _units(self, bits: BitMatrix | np.ndarray) -> np.ndarray:
        on = bits.to_bool(self.layer) if isinstance(bits, BitMatrix) else bits
        if on.shape[1] != self.weights.shape[1]:
            raise ShapeError(f"votes are of {self.weights.shape[1]} units of {self.layer}; got {on.shape[1]}")
        return on


def _lead(scores: np.ndarray) -> np.ndarray:
    """How far the best label is ahead of the second."""
    best = np.partition(scores, -2, axis=1) if scores.shape[1] > 1 else np.hstack([scores * 0, scores])
    lead: np.ndarray = best[:, -1] - best[:, -2]
    return lead


def _checksum(plain: Row) -> str:
    return checksums.checksum([json.dumps(plain, sort_keys=True).encode()])
