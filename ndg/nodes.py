"""Names and order of nodes: labels, units, concepts.

All index arithmetic is here. A node is named `layer:unit`: `label:3` is "class 3 is predicted", `encoder.fc1:7` is unit
7 of the module `encoder.fc1`. A concept is any other boolean of the examples: `concept:has wings`. A literal is a node
name, with `~` (or `¬`, as pictures show it) in front if it is off.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ndg.errors import GraphError, ShapeError, nearest
from ndg.literal import NEGATION, Literal, whole_number

LABEL = "label"
CONCEPT = "concept"
UNIT = "unit"


@dataclass(frozen=True)
class LayerUnits:
    """Module path and number of units of a layer.

    `reading` tells how the output becomes one value per unit: `unit` (unchanged); `max`, `mean` or `any` over the
    positions of a convolution channel; `first`, `mean` or `every` token (with `every`, each token is an example);
    `mean` or `norm` of a head; `mean` over the time steps of a gate. With `each`, every position of a unit is a unit.

    >>> ndg.LayerUnits("encoder.act", 32).reading
    'unit'
    """

    name: str
    units: int
    reading: str = UNIT


def check_layers(names: Iterable[str]) -> None:
    """Raise ShapeError for layer names that are not distinct, or that mean other nodes."""
    names = list(names)
    if {LABEL, CONCEPT} & set(names) or len(set(names)) < len(names):
        raise ShapeError(
            f"layers of a node space need distinct names other than {LABEL!r} and {CONCEPT!r}; got {names}; "
            "rename the module or select each layer once"
        )
    for name in names:
        _check_text(name)
        if name.startswith(("~", NEGATION)):
            raise ShapeError(
                f"a name must not start with {name[0]}, which means negation; got the layers {names}; rename the module"
            )
        if name.startswith((f"{LABEL}:", f"{CONCEPT}:")):
            raise ShapeError(
                f"a layer must not start with {LABEL}: or {CONCEPT}:, which name classes and concepts; got {name!r}; "
                "rename the module"
            )


def _check_text(name: str) -> None:
    """Raise ShapeError for a name that no file can hold."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ShapeError(f"a name must be text that UTF-8 can hold; got {name!r}; rename it") from error


def class_number(word: str, names: Sequence[str], classes: int) -> int:
    """Number of a class by number, `label:` and number, or name.

    Raises GraphError for an unknown class, a name that several classes have, and a number that is the name of another
    class.
    """
    named = [number for number, name in enumerate(names) if name == word]
    text = word.removeprefix(f"{LABEL}:")
    number = whole_number(text)
    if number is not None and number < classes:
        if text == word and named and named != [number]:
            raise GraphError(
                f"a class is named by its number or its name; {word} is the number of class {names[number]!r} "
                f"and the name of class number {named[0]}; write {LABEL}:{word} or {LABEL}:{named[0]}"
            )
        return number
    if len(named) > 1:
        raise GraphError(f"a class name must be that of one class; classes {named} are named {word!r}; give a number")
    if not named:
        known, near = (", or a name", f"; {nearest(word, names)}") if names else ("", "")
        raise GraphError(f"a target class is between 0 and {classes - 1}{known}; got {text[:80]}{near}")
    return named[0]


@dataclass(frozen=True)
class NodeSpace:
    """All nodes of a graph: labels (one per class), units of `layers`, `concepts`.

    >>> nodes = ndg.NodeSpace(2, (ndg.LayerUnits("latent", 3),))
    >>> list(nodes.nodes())
    ['label:0', 'label:1', 'latent:0', 'latent:1', 'latent:2']
    >>> nodes.literal("~latent:1")
    Literal(node=3, value=False)
    """

    labels: int
    layers: tuple[LayerUnits, ...] = ()
    concepts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_layers(layer.name for layer in self.layers)
        if "" in self.concepts or len(self._concept) < len(self.concepts):
            raise ShapeError(
                f"concepts of a node space need distinct, non-empty names; got {list(self.concepts)}; rename one"
            )
        for concept in self.concepts:
            _check_text(concept)
        if self.labels < 0 or any(layer.units < 1 for layer in self.layers):
            raise ShapeError(f"a layer has at least one unit; got {self.labels} labels and {self.layers}")

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        starts = [self.labels]
        for layer in self.layers:
            starts.append(starts[-1] + layer.units)
        return tuple(starts)

    @cached_property
    def _concept(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.concepts)}

    def __len__(self) -> int:
        return self._starts[-1] + len(self.concepts)

    @property
    def neurons(self) -> int:
        """Number of unit nodes."""
        return self._starts[-1] - self.labels

    @property
    def groups(self) -> tuple[tuple[str, slice], ...]:
        """Names and slices of the non-empty groups: labels, layers, concepts."""
        slices = [(name, self.slice(name)) for name in (LABEL, *(layer.name for layer in self.layers), CONCEPT)]
        return tuple((name, span) for name, span in slices if span.start < span.stop)

    @property
    def without_concepts(self) -> NodeSpace:
        """The labels and units, with the same numbers."""
        return NodeSpace(self.labels, self.layers)

    def is_label(self, node: int) -> bool:
        return node < self.labels

    def is_concept(self, node: int) -> bool:
        return node >= self._starts[-1]

    def layer(self, node: int) -> str:
        """Layer name of a node, or `label` or `concept`."""
        if self.is_label(self._checked(node)):
            return LABEL
        if self.is_concept(node):
            return CONCEPT
        return self.layers[bisect_right(self._starts, node) - 1].name

    def unit(self, node: int) -> int:
        """Position of a node within its layer, the labels or the concepts."""
        if self.is_label(self._checked(node)):
            return node
        return node - self._starts[bisect_right(self._starts, node) - 1]

    def slice(self, layer: str) -> slice:
        """Slice of a layer in the node order.

        `label` and `concept` also work.
        """
        if layer == LABEL:
            return slice(0, self.labels)
        if layer == CONCEPT:
            return slice(self._starts[-1], len(self))
        for index, units in enumerate(self.layers):
            if units.name == layer:
                return slice(self._starts[index], self._starts[index + 1])
        names = [LABEL, *(units.name for units in self.layers), *([CONCEPT] if self.concepts else [])]
        raise GraphError(f"no layer {layer!r} in this graph; {nearest(layer, names)}")

    def name(self, node: int) -> str:
        unit = self.unit(node)
        return f"{self.layer(node)}:{self.concepts[unit] if self.is_concept(node) else unit}"

    def index(self, name: str) -> int:
        """Index of the node `layer:unit` or `concept:name`."""
        layer, colon, unit = name.partition(":")
        if layer == CONCEPT and colon:
            if unit not in self._concept:
                raise GraphError(f"no concept {unit!r} in this graph; {nearest(unit, self.concepts)}")
            return self._starts[-1] + self._concept[unit]
        layer, colon, unit = name.rpartition(":")
        number = whole_number(unit)
        if not colon or number is None:
            raise GraphError(f"a node is written layer:unit, as in {self.name(0)!r}; got {name[:200]!r}")
        span = self.slice(layer)
        if number >= span.stop - span.start:
            raise GraphError(f"layer {layer!r} has units 0 to {span.stop - span.start - 1}; got unit {unit}")
        return int(span.start) + number

    def literal(self, text: str) -> Literal:
        """Literal of a node name, with `~` if off."""
        off = text.startswith(("~", NEGATION))
        return Literal(self.index(text[off:]), not off)

    def text(self, literal: Literal) -> str:
        """Text of a literal, the inverse of `literal`."""
        return ("" if literal.value else "~") + self.name(literal.node)

    def nodes(self) -> Iterator[str]:
        """Names of all nodes, in order."""
        return (self.name(node) for node in range(len(self)))

    def to_dict(self) -> dict[str, Any]:
        layers = [[x.name, x.units] if x.reading == UNIT else [x.name, x.units, x.reading] for x in self.layers]
        return {"labels": self.labels, "layers": layers} | ({"concepts": list(self.concepts)} if self.concepts else {})

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> NodeSpace:
        layers = tuple(LayerUnits(*layer) for layer in document["layers"])
        return cls(document["labels"], layers, tuple(document.get("concepts", ())))

    def _checked(self, node: int) -> int:
        if not 0 <= node < len(self):
            raise GraphError(f"nodes are numbered 0 to {len(self) - 1}; got {node}")
        return node
