"""Walk over an exported graph that keeps the labels of each tensor."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from ndg.compression.labels import NONE, Atoms


@dataclass(frozen=True, eq=False)
class Seen:
    """A module that makes, reads or scales units: its path, and the labels of one tensor."""

    path: str
    labels: Tensor
    axis: int


@dataclass(eq=False)
class Trace:
    """Everything that a traced network tells of its units, in order of execution."""

    atoms: Atoms = field(default_factory=Atoms)
    makers: list[Seen] = field(default_factory=list)
    readers: list[Seen] = field(default_factory=list)
    scales: list[Seen] = field(default_factory=list)


Labels = Tensor | None
Rule = Callable[["Walk", Node, dict[str, Any]], Any]


class Walk:
    """Walk over a graph that keeps the labels of each node's output."""

    def __init__(
        self, model: nn.Module, program: Any, makers: Mapping[str, Rule], rules: Mapping[str, Rule], pointwise: Rule
    ) -> None:
        self.model = model
        self._makers, self._rules, self._pointwise = makers, rules, pointwise
        self.trace = Trace()
        self.atoms = self.trace.atoms
        self.labels: dict[Node, Any] = {}
        signature = program.graph_signature
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        self.weights = {name: path.removeprefix("model.") for name, path in names.items()}
        state = dict(model.named_parameters(remove_duplicate=False))
        same = {path: id(value) for path, value in state.items()}
        self.uses: Counter[int] = Counter()
        self.identity: dict[str, int] = {}
        for node in program.graph.nodes:
            if node.op == "placeholder" and self.weights.get(node.name) in same:
                self.identity[node.name] = same[self.weights[node.name]]
                self.uses[self.identity[node.name]] += len(node.users)

    def visit(self, node: Node) -> None:
        if node.op == "output":
            for source in node.all_input_nodes:
                self.refuse(source, "its units are outputs of the network")
            return
        if node.op != "call_function" or not any(self.of(source) is not None for source in node.all_input_nodes):
            if node.op == "call_function" and name_of(node) in self._makers:
                self.labels[node] = self._makers[name_of(node)](self, node, arguments_of(node))
            return
        if node.target is operator.getitem:
            place: Any = node.args[1]
            parts: Any = self.of(node.args[0])
            self.labels[node] = parts[place] if isinstance(parts, (tuple, list)) else None
            return
        name = name_of(node)
        rule = self._makers.get(name) or self._rules.get(name)
        if rule is None:
            rule = self._pointwise if torch.Tag.pointwise in getattr(node.target, "tags", ()) else unknown
        self.labels[node] = rule(self, node, arguments_of(node))

    def of(self, value: Any) -> Any:
        """Labels of a node, None of anything else."""
        return self.labels.get(value) if isinstance(value, Node) else None

    def filled(self, value: Any) -> Any:
        """Labels of a node, with -1 for a tensor without units.

        Other values unchanged.
        """
        if isinstance(value, (list, tuple)):
            return type(value)(self.filled(part) for part in value)
        if not isinstance(value, Node):
            return value
        labels = self.of(value)
        shape = value.meta["val"].shape if hasattr(value.meta.get("val"), "shape") else ()
        return torch.full(tuple(shape), NONE) if labels is None else labels.contiguous()

    def refuse(self, value: Any, reason: str) -> None:
        labels = self.of(value)
        for part in labels if isinstance(labels, (tuple, list)) else [labels]:
            if part is not None:
                self.atoms.refuse(part, reason)

    def owner(self, weight: Any) -> str | None:
        """Path of the module whose parameter a node is."""
        path = self.weights.get(weight.name) if isinstance(weight, Node) else None
        return None if path is None else path.rpartition(".")[0]

    def shared(self, *weights: Any) -> bool:
        """Whether one of these parameters is used elsewhere too."""
        return any(isinstance(each, Node) and self.uses[self.identity.get(each.name, 0)] > 1 for each in weights)


def name_of(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))


def arguments_of(node: Node) -> dict[str, Any]:
    """Arguments of an operation by the names of its schema."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return dict(node.kwargs)
    values = {each.name: each.default_value for each in schema.arguments if each.has_default_value()}
    return values | dict(zip((each.name for each in schema.arguments), node.args, strict=False)) | dict(node.kwargs)


def shape_of(node: Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def place_of(node: Node) -> str:
    """The module that runs an operation."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = stack[-1][0].removeprefix("model").lstrip(".") if stack else ""
    return f"{name_of(node)} at {path!r}" if path else name_of(node)


def unknown(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    for source in node.all_input_nodes:
        walk.refuse(source, f"{place_of(node)} does not keep units apart")
    return None
