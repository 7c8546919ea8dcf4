"""Joining two bit matrices, to mine edges within and between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from ndg.bits.matrix import BitMatrix
from ndg.bits.packing import zeros
from ndg.errors import ConfigError, ShapeError
from ndg.nodes import CONCEPT, LABEL, NodeSpace

Names = tuple[str, str]


def join(a: BitMatrix, b: BitMatrix, names: Names = ("a", "b")) -> BitMatrix:
    """Nodes of `a` and `b` side by side; examples are paired by number.

    Layers and concepts get the name of their side, `a/latent`. The labels of `a` stay labels; those of `b` become
    concepts, `b/label:3`, so the implications within a side are those of its own bits. Raises ShapeError for different
    numbers of examples, ConfigError for names that do not distinguish the sides.
    """
    _check(names)
    if a.examples != b.examples:
        raise ShapeError(
            f"examples are paired by number, so both sides need as many; got {a.examples} and {b.examples}; extract "
            "both with the same loader or with the same max_examples"
        )
    first, second = names
    nodes = NodeSpace(
        a.nodes.labels,
        tuple(
            replace(layer, name=f"{side}/{layer.name}")
            for side, bits in ((first, a), (second, b))
            for layer in bits.nodes.layers
        ),
        (
            *(f"{first}/{name}" for name in a.nodes.concepts),
            *(f"{second}/{LABEL}:{label}" for label in range(b.nodes.labels)),
            *(f"{second}/{name}" for name in b.nodes.concepts),
        ),
    )
    (labels, units, concepts), (labels_b, units_b, concepts_b) = (
        np.split(bits.words, [bits.nodes.labels, bits.nodes.slice(CONCEPT).start]) for bits in (a, b)
    )
    words = zeros(len(nodes), a.words.shape[1])
    np.concatenate([labels, units, units_b, concepts, labels_b, concepts_b], out=words)
    same = a.binarizer == b.binarizer
    return BitMatrix(
        nodes,
        words,
        a.examples,
        np.concatenate([a.thresholds, b.thresholds]),
        a.binarizer if same else f"{first}: {a.binarizer}, {second}: {b.binarizer}",
        a.correct,
        a.sample if a.sample == b.sample else None,
    )


def sides(nodes: NodeSpace, names: Names = ("a", "b")) -> Int64[np.ndarray, " node"]:
    """Side of each joined node, 0 (with labels) or 1."""
    _check(names)
    side = np.zeros(len(nodes), np.int64)
    for layer in nodes.layers:
        side[nodes.slice(layer.name)] = _side(layer.name, names)
    for node, name in enumerate(nodes.concepts, start=nodes.slice(CONCEPT).start):
        side[node] = _side(name, names)
    return side


def _side(name: str, names: Names) -> int:
    side = name.partition("/")[0]
    if side not in names:
        raise ShapeError(f"joined nodes begin with their side, {names[0]}/ or {names[1]}/; got {name!r}; join first")
    return names.index(side)


def _check(names: Names) -> None:
    if names[0] == names[1] or any(not name or "/" in name or name.startswith("~") for name in names):
        raise ConfigError(
            f"two sides need different names, not empty, without / and not beginning with ~; got {names!r}; "
            "('a', 'b') will do"
        )
