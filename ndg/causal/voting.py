"""Weighted votes of literals for labels: where evidence adds up.

The label is `argmax_c bias_c + sum_i weight_ci s_i`, with s_i = 1 where unit i is on and -1 where it is off. Weights
are those of multinomial logistic regression on hybrids, against the label that the network predicts of each hybrid. An
edge of the graph is one weight that is not 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ndg.bits.matrix import BitMatrix, network_of
from ndg.causal.regression import fit, rounded
from ndg.errors import BitsError, ConfigError, DataError, ShapeError, check_kind
from ndg.graph.votes import Votes
from ndg.nodes import LABEL

L1 = 1e-4
LARGEST = 3
"""Largest integer weight."""


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

    >>> hybrids = ndg.recombine(net, data, "1", n=2000)
    >>> votes = ndg.votes(hybrids, per_label=3)
    >>> votes.layer, votes.weights.shape
    ('1', (3, 8))
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
    """Which so many weights of each row are the strongest.

    All for None.
    """
    kept = np.zeros(weights.shape, np.bool_)
    np.put_along_axis(kept, np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :count], True, axis=1)
    return kept
