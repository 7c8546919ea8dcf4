"""Names and order of the nodes of a graph: labels first, then the units of each layer, then concepts.

This module is the only owner of index arithmetic. A node is called `layer:unit`: `label:3` is "class 3 is predicted",
`encoder.fc1:7` is unit 7 of the module `encoder.fc1`. A concept is any other boolean that is known of each example, and
is called by its name: `concept:has wings`. A literal is a node name, with `~` before it when it is off.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ndg.errors import GraphError, ShapeError, nearest
from ndg.literal import Literal

LABEL = "label"
CONCEPT = "concept"
UNIT = "unit"


@dataclass(frozen=True)
class LayerUnits:
    """A layer, by its module path, and how many units it has.

    `reading` says how the output of the module becomes one value per unit: `unit` where it is that already; `max`,
    `mean` or `any` over the positions of a convolution channel; `first`, `mean` or `every` token (with `every`, each
    token is an example).
    """

    name: str
    units: int
    reading: str = UNIT


@dataclass(frozen=True)
class NodeSpace:
    """`labels` label nodes (one per class), then the units of each of `layers`, in order, then `concepts`, by name."""

    labels: int
    layers: tuple[LayerUnits, ...] = ()
    concepts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if {LABEL, CONCEPT} & set(names) or len(set(names)) < len(names):
            raise ShapeError(
                f"layers of one node space have different names, none of them {LABEL!r} or {CONCEPT!r}; got {names}; "
                "rename the module or select each layer once"
            )
        if "" in self.concepts or len(self._concept) < len(self.concepts):
            raise ShapeError(
                f"concepts of one node space have different names, none of them empty; got {list(self.concepts)}; "
                "rename one"
            )
        if any(name.startswith("~") for name in names):
            raise ShapeError(
                f"a name that begins with ~ is read as a negation; got the layers {names}; rename the module"
            )
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
        """Number of nodes that are units of a layer."""
        return self._starts[-1] - self.labels

    @property
    def groups(self) -> tuple[tuple[str, slice], ...]:
        """Name and place of the labels, of each layer and of the concepts, in order, empty ones left out."""
        places = [(name, self.slice(name)) for name in (LABEL, *(layer.name for layer in self.layers), CONCEPT)]
        return tuple((name, where) for name, where in places if where.start < where.stop)

    @property
    def without_concepts(self) -> NodeSpace:
        """The labels and units alone; they keep their numbers."""
        return NodeSpace(self.labels, self.layers)

    def is_label(self, node: int) -> bool:
        return node < self.labels

    def is_concept(self, node: int) -> bool:
        return node >= self._starts[-1]

    def layer(self, node: int) -> str:
        """Name of the layer of a node; `label` for a label node, `concept` for a concept."""
        if self.is_label(self._checked(node)):
            return LABEL
        if self.is_concept(node):
            return CONCEPT
        return self.layers[bisect_right(self._starts, node) - 1].name

    def unit(self, node: int) -> int:
        """Position of a node within its layer; the class for a label node, the position among the concepts for one."""
        if self.is_label(self._checked(node)):
            return node
        return node - self._starts[bisect_right(self._starts, node) - 1]

    def slice(self, layer: str) -> slice:
        """Where the units of a layer stand in the node order; `label` and `concept` are groups too, if empty ones."""
        if layer == LABEL:
            return slice(0, self.labels)
        if layer == CONCEPT:
            return slice(self._starts[-1], len(self))
        for index, units in enumerate(self.layers):
            if units.name == layer:
                return slice(self._starts[index], self._starts[index + 1])
        known = [LABEL, *(known.name for known in self.layers), *([CONCEPT] if self.concepts else [])]
        raise GraphError(f"no layer {layer!r} in this graph; {nearest(layer, known)}")

    def name(self, node: int) -> str:
        unit = self.unit(node)
        return f"{self.layer(node)}:{self.concepts[unit] if self.is_concept(node) else unit}"

    def index(self, name: str) -> int:
        """The node called `layer:unit` or `concept:name`."""
        layer, colon, unit = name.partition(":")
        if layer == CONCEPT and colon:
            if unit not in self._concept:
                raise GraphError(f"no concept {unit!r} in this graph; {nearest(unit, self.concepts)}")
            return self._starts[-1] + self._concept[unit]
        layer, colon, unit = name.rpartition(":")
        if not colon or not unit.isdecimal():
            raise GraphError(f"a node is written layer:unit, as in {self.name(0)!r}; got {name!r}")
        where = self.slice(layer)
        if int(unit) >= where.stop - where.start:
            raise GraphError(f"layer {layer!r} has units 0 to {where.stop - where.start - 1}; got unit {unit}")
        return where.start + int(unit)

    def literal(self, text: str) -> Literal:
        """The literal of the node called `text` (on), or `~` and its name (off)."""
        return Literal(self.index(text.removeprefix("~")), not text.startswith("~"))

    def text(self, literal: Literal) -> str:
        """How a literal is written; inverse of `literal`."""
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
