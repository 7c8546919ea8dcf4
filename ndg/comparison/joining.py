"""Two matrices of bits side by side, so that one graph tells what holds within each and between them."""

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
    """The nodes of `a` and of `b` over the same examples: example i of the one is paired with example i of the other.

    Layers and concepts are called by the name of their side, `a/latent`. The labels of `a` stay the labels. Those of
    `b` become concepts, `b/label:3`: labels and concepts are both told of an example and not of a unit, and of pairs of
    either only equivalences are mined. So the implications within a side are those of its bits alone.

    Raises ShapeError for different numbers of examples, ConfigError for names that cannot tell the sides apart.
    """
    _check(names)
    if a.examples != b.examples:
        raise ShapeError(
            f"examples are paired by their number, so both sides have as many; got {a.examples} and {b.examples}; "
            "extract both with the same loader or with the same max_examples"
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
    parts = [
        a.words[a.nodes.slice(LABEL)],
        a.words[_units(a.nodes)],
        b.words[_units(b.nodes)],
        a.words[a.nodes.slice(CONCEPT)],
        b.words[b.nodes.slice(LABEL)],
        b.words[b.nodes.slice(CONCEPT)],
    ]
    words = zeros(len(nodes), a.words.shape[1])
    start = 0
    for part in parts:
        words[start : start + len(part)] = part
        start += len(part)
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
    """The side of each joined node: 0 for the first, to which the labels belong, 1 for the second."""
    _check(names)
    found = np.zeros(len(nodes), np.int64)
    for layer in nodes.layers:
        found[nodes.slice(layer.name)] = _side(layer.name, names)
    for node, name in enumerate(nodes.concepts, start=nodes.slice(CONCEPT).start):
        found[node] = _side(name, names)
    return found


def _units(nodes: NodeSpace) -> slice:
    return slice(nodes.labels, nodes.slice(CONCEPT).start)


def _side(name: str, names: Names) -> int:
    side = name.partition("/")[0]
    if side not in names:
        raise ShapeError(f"joined nodes are called by their side, {names[0]}/ or {names[1]}/; got {name!r}; join first")
    return names.index(side)


def _check(names: Names) -> None:
    if names[0] == names[1] or any(not name or "/" in name or name.startswith("~") for name in names):
        raise ConfigError(
            f"two sides have different names, not empty, without / and not beginning with ~; got {names!r}; "
            "('a', 'b') will do"
        )
