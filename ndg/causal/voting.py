"""Weighted votes of literals for labels: where evidence adds up.

The label is `argmax_c bias_c + sum_i weight_ci s_i`, with s_i = 1 where unit i is on and -1 where it is off. Weights
are those of multinomial logistic regression on hybrids, against the label that the network predicts of each hybrid. An
edge of the graph is one weight that is not 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ndg import atomic, checksums
from ndg.bits.matrix import BitMatrix, network_of
from ndg.causal.regression import fit, rounded
from ndg.errors import BitsError, ConfigError, DataError, GraphError, ShapeError, check_kind
from ndg.nodes import LABEL
from ndg.results import Result, Row

if TYPE_CHECKING:
    import networkx as nx

L1 = 1e-4
LARGEST = 3
"""Largest integer weight."""

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

    def scores(self, bits: BitMatrix | Bool[np.ndarray, "example unit"]) -> Float64[np.ndarray, "example label"]:
        """The sum of votes for each label. Raises ShapeError for booleans of another number of units."""
        on = self._units(bits)
        return np.where(on, 1.0, -1.0) @ self.weights.T + self.bias

    def predict(self, bits: BitMatrix | Bool[np.ndarray, "example unit"]) -> Labels:
        """The label with most votes, the first of equal ones; -1 where the lead is below the margin."""
        scores = self.scores(bits)
        label = scores.argmax(axis=1).astype(np.int64)
        return np.where(_lead(scores) >= self.margin, label, -1)

    def abstaining(self, bits: BitMatrix | Bool[np.ndarray, "example unit"], coverage: float | int) -> Votes:
        """The same votes, with the margin that decides this share of some examples: take validation examples.

        Raises ConfigError for a coverage outside (0, 1].
        """
        if not 0 < coverage <= 1:
            raise ConfigError(f"coverage is the share of examples that are decided, above 0, at most 1; got {coverage}")
        leads = np.sort(_lead(self.scores(bits)))
        if not len(leads):
            raise DataError("a margin is chosen on at least one example; got none; pass validation examples")
        return replace(self, margin=float(leads[min(int((1 - coverage) * len(leads)), len(leads) - 1)]))

    def order(self, label: int) -> list[str]:
        """Literals that speak for a label, one of each unit, the largest lead over the labels' mean first."""
        lead = self.weights[label] - self.weights.mean(axis=0)
        units = np.argsort(-np.abs(lead), kind="stable").tolist()
        return [f"{'' if lead[unit] > 0 else '~'}{self.layer}:{unit}" for unit in units]

    @property
    def edges(self) -> int:
        """The number of weights that are not 0."""
        return int(np.count_nonzero(self.weights))

    def rows(self) -> list[Row]:
        """Every edge: the literal that speaks for the label, and its weight above 0; the strongest first."""
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
        plain = self._plain()
        return atomic.write(path, json.dumps(plain | {"checksum": _checksum(plain)}, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Votes:
        """Votes of a file of `save`. Raises GraphError for another or a damaged file."""
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
            expected = plain.pop("checksum")
            if (plain["format"], plain["schema"]) != (FORMAT, SCHEMA) or _checksum(plain) != expected:
                raise ValueError("the checksum differs")
            weights, bias = (np.array(plain[name], np.float64) for name in ("weights", "bias"))
            return cls(plain["layer"], weights, bias, plain["n"], plain["margin"], plain.get("network", ""))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ShapeError) as error:
            raise GraphError(
                f"votes are read from a file that Votes.save wrote; {path} is none, or it is damaged ({error}); save "
                "the votes again"
            ) from error

    def _plain(self) -> Row:
        return {
            "format": FORMAT,
            "schema": SCHEMA,
            **self.context(),
            "network": self.network,
            "weights": self.weights.tolist(),
        }

    def _units(self, bits: BitMatrix | np.ndarray) -> np.ndarray:
        on = bits.to_bool(self.layer) if isinstance(bits, BitMatrix) else bits
        if on.shape[1] != self.weights.shape[1]:
            raise ShapeError(f"votes are of {self.weights.shape[1]} units of {self.layer}; got {on.shape[1]}")
        return on


def votes(
    hybrids: BitMatrix | Iterable[BitMatrix],
    layer: str | None = None,
    *,
    per_label: int | None = None,
    edges: int | None = None,
    l1: float | int = L1,
    integers: bool = False,
) -> Votes:
    """Votes of a layer's units, fitted to the labels that the network predicts of hybrids.

    `hybrids` are bits of `ndg.recombine`, or several of them: 3/4 mix and 1/4 independent ones are a good choice.
    `layer` is their first layer. `l1` is the weight of the sum of absolute weights beside the mean cross-entropy. With
    `per_label`, only the strongest so many votes of each label are kept, with `edges` so many of all labels, and fitted
    again. `integers` makes weights
    whole numbers from -3 to 3, by straight-through rounding with one scale.

    Raises ShapeError for hybrids of different nodes, DataError for a label that no hybrid has, ConfigError for an
    unknown layer, a negative `l1`, or `per_label` or `edges` below 1.
    """
    parts: list[BitMatrix] = [hybrids] if isinstance(hybrids, BitMatrix) else _listed(hybrids)
    if not parts:
        raise DataError("votes are fitted to hybrids; got none; pass bits of ndg.recombine")
    nodes = parts[0].nodes
    if any(part.nodes != nodes for part in parts):
        raise ShapeError("all hybrids have the same nodes; got different ones; make them with the same like=")
    names = [known.name for known in nodes.layers]
    layer = names[0] if layer is None and names else layer
    if not isinstance(layer, str) or layer not in names:
        raise ConfigError(f"votes are of a layer of the hybrids, {', '.join(names)}; got {layer!r}; leave it out")
    for name, count in (("per_label", per_label), ("edges", edges)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1):
            raise ConfigError(f"{name} is a whole number, at least 1 vote; got {count!r}; leave it out to keep all")
    if isinstance(l1, bool) or not isinstance(l1, float | int | np.number) or not 0 <= l1 < np.inf:
        raise ConfigError(f"l1 is a number of at least 0; got {l1!r}; leave it out for {L1}")
    check_kind(integers, (bool, np.bool_), "integers= is True or False", "leave it out for real weights")
    label = np.vstack([part.to_bool(LABEL) for part in parts])
    missing = np.flatnonzero(~label.any(axis=0))
    if len(missing):
        raise DataError(
            f"every label is predicted of some hybrid; {', '.join(map(str, missing))} of {nodes.labels} are of none; "
            "make more hybrids, or leave these classes out of the network"
        )
    return fitted_votes(parts, layer, per_label, edges, l1, integers)


def _listed(hybrids: Any) -> list[BitMatrix]:
    rule, advice = "votes are fitted to bits of ndg.recombine, or a list of them", "pass one BitMatrix"
    check_kind(hybrids, Iterable, rule, advice, BitsError)
    parts = list(hybrids)
    for part in parts:
        check_kind(part, BitMatrix, rule, advice, BitsError)
    return parts


def fitted_votes(
    parts: Sequence[BitMatrix],
    layer: str,
    per_label: int | None = None,
    edges: int | None = None,
    l1: float | int = L1,
    integers: bool = False,
) -> Votes:
    """The votes of `votes`, also where some label is never predicted."""
    signs = np.where(np.vstack([part.to_bool(layer) for part in parts]), 1.0, -1.0)
    label = np.vstack([part.to_bool(LABEL) for part in parts]).argmax(axis=1)
    weights, bias = fit(signs, label, parts[0].nodes.labels, l1)
    if per_label is not None or edges is not None:
        kept = strongest(weights, per_label) & strongest(weights.reshape(1, -1), edges).reshape(weights.shape)
        weights, bias = fit(signs, label, len(bias), 0.0, kept, (weights, bias))
    if integers:
        weights, bias = rounded(signs, label, weights, bias, LARGEST)
    return Votes(layer, weights, bias, len(label), network=network_of(parts))


def strongest(weights: np.ndarray, count: int | None) -> np.ndarray:
    """Which so many weights of each row are the strongest; all for None."""
    kept = np.zeros(weights.shape, np.bool_)
    np.put_along_axis(kept, np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :count], True, axis=1)
    return kept


def _lead(scores: np.ndarray) -> np.ndarray:
    """How far the best label is ahead of the second."""
    best = np.partition(scores, -2, axis=1) if scores.shape[1] > 1 else np.hstack([scores * 0, scores])
    lead: np.ndarray = best[:, -1] - best[:, -2]
    return lead


def _checksum(plain: Row) -> str:
    return checksums.checksum([json.dumps(plain, sort_keys=True).encode()])
