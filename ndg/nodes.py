"""Names and order of the nodes of a graph: labels first, then the units of each layer.

This module is the only owner of index arithmetic. A node is called `layer:unit`: `label:3` is "class 3 is predicted",
`encoder.fc1:7` is unit 7 of the module `encoder.fc1`. A literal is a node name, with `~` before it when it is off.
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


@dataclass(frozen=True)
class LayerUnits:
    """A layer, by its module path, and how many units it has."""

    name: str
    units: int


@dataclass(frozen=True)
class NodeSpace:
    """`labels` label nodes (one per class), then the units of each of `layers`, in order."""

    labels: int
    layers: tuple[LayerUnits, ...] = ()

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if LABEL in names or len(set(names)) < len(names):
            raise ShapeError(
                f"layers of one node space have different names, none of them {LABEL!r}; got {names}; "
                "rename the module or select each layer once"
            )
        if self.labels < 0 or any(layer.units < 1 for layer in self.layers):
            raise ShapeError(f"a layer has at least one unit; got {self.labels} labels and {self.layers}")

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        starts = [self.labels]
        for layer in self.layers:
            starts.append(starts[-1] + layer.units)
        return tuple(starts)

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def neurons(self) -> int:
        """Number of nodes that are not labels."""
        return len(self) - self.labels

    def is_label(self, node: int) -> bool:
        return node < self.labels

    def layer(self, node: int) -> str:
        """Name of the layer of a node; `label` for a label node."""
        if self.is_label(self._checked(node)):
            return LABEL
        return self.layers[bisect_right(self._starts, node) - 1].name

    def unit(self, node: int) -> int:
        """Position of a node within its layer; the class for a label node."""
        if self.is_label(self._checked(node)):
            return node
        return node - self._starts[bisect_right(self._starts, node) - 1]

    def slice(self, layer: str) -> slice:
        """Where the units of a layer stand in the node order."""
        if layer == LABEL:
            return slice(0, self.labels)
        for index, known in enumerate(self.layers):
            if known.name == layer:
                return slice(self._starts[index], self._starts[index + 1])
        raise GraphError(f"no layer {layer!r} in this graph; {nearest(layer, [LABEL, *(k.name for k in self.layers)])}")

    def name(self, node: int) -> str:
        return f"{self.layer(node)}:{self.unit(node)}"

    def index(self, name: str) -> int:
        """The node called `layer:unit`."""
        layer, colon, unit = name.rpartition(":")
        if not colon or not unit.isdecimal():
            raise GraphError(f"a node is written layer:unit, as in {self.name(0)!r}; got {name!r}")
        where = self.slice(layer)
        if int(unit) >= where.stop - where.start:
            raise GraphError(f"layer {layer!r} has units 0 to {where.stop - where.start - 1}; got unit {unit}")
        return where.start + int(unit)

    def literal(self, text: str) -> Literal:
        """The literal written `layer:unit` (on) or `~layer:unit` (off)."""
        return Literal(self.index(text.removeprefix("~")), not text.startswith("~"))

    def text(self, literal: Literal) -> str:
        """How a literal is written; inverse of `literal`."""
        return ("" if literal.value else "~") + self.name(literal.node)

    def nodes(self) -> Iterator[str]:
        """Names of all nodes, in order."""
        return (self.name(node) for node in range(len(self)))

    def to_dict(self) -> dict[str, Any]:
        return {"labels": self.labels, "layers": [[layer.name, layer.units] for layer in self.layers]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> NodeSpace:
        return cls(document["labels"], tuple(LayerUnits(name, units) for name, units in document["layers"]))

    def _checked(self, node: int) -> int:
        if not 0 <= node < len(self):
            raise GraphError(f"nodes are numbered 0 to {len(self) - 1}; got {node}")
        return node
