"""Follow the units of all layers through a network: a graph of `torch.export` is run on labels.

Nothing is decided by the names of classes: a layer that makes or reads units is an operation (`linear`, `conv2d`,
`lstm`, ...) whose weights are parameters of one module. Operations that only move numbers are run on the labels; those
that act on single numbers keep them; attention unites the units of a head. Any other operation refuses them.
"""

from __future__ import annotations

import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from ndg.activations.batches import Inputs, by_name, fixed, forward, pick
from ndg.compression.labels import NONE, Atoms, resized
from ndg.errors import LayerError

ROWS = 3
"""Examples of a trace: a number that no other axis is likely to have."""


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


class _Logits(nn.Module):
    """The logits of a network alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Any) -> Tensor:
        return forward(self.model, inputs)


def trace(model: nn.Module, inputs: Inputs) -> Trace:
    """Labels of all units. Raises LayerError for quantised networks and those that cannot be exported."""
    _refuse_quantised(model)
    few = pick(inputs, torch.arange(ROWS) % len(next(iter(by_name(inputs).values()))))
    wrapped = _Logits(model)
    with fixed(model, torch.get_num_threads(), grad=True), _plain_attention():
        try:
            program = torch.export.export(wrapped, (few,), strict=False)
        except Exception as error:
            raise LayerError(
                f"a network that is compressed can be exported by torch.export; {type(model).__name__} cannot "
                f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); let its forward not depend "
                "on the values of tensors"
            ) from error
    walk = _Walk(model, program)
    needed = _needed(program.graph.nodes)
    for node in program.graph.nodes:
        if node in needed:
            walk.visit(node)
    walk.trace.atoms.apply_rules()
    return walk.trace


def _needed(nodes: Iterable[Node]) -> set[Node]:
    """The nodes that lead to the logits."""
    needed: set[Node] = set()
    for node in reversed(list(nodes)):
        if node.op == "output" or node in needed:
            needed |= {node, *node.all_input_nodes}
    return needed


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention as single operations."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The tensor attributes", category=UserWarning)  # of LSTMs
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _refuse_quantised(model: nn.Module) -> None:
    for path, module in model.named_modules():
        weights = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        packed = hasattr(module, "_packed_params") or type(module).__module__.startswith("torch.ao.nn.quantized")
        if packed or any(weight.is_quantized for weight in weights):
            raise LayerError(
                f"weights are removed from networks of floats; {path or type(model).__name__!r} is quantised; "
                "compress the network first, then quantise it"
            )


Labels = Tensor | None
Rule = Callable[["_Walk", Node, dict[str, Any]], Any]


class _Walk:
    """Walk over a graph that keeps the labels of each node's output."""

    def __init__(self, model: nn.Module, program: Any) -> None:
        self.model = model
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
            if node.op == "call_function" and _name(node) in MAKERS:
                self.labels[node] = MAKERS[_name(node)](self, node, _arguments(node))
            return
        if node.target is operator.getitem:
            place: Any = node.args[1]
            parts: Any = self.of(node.args[0])
            self.labels[node] = parts[place] if isinstance(parts, (tuple, list)) else None
            return
        name = _name(node)
        rule = MAKERS.get(name) or RULES.get(name)
        if rule is None:
            rule = _pointwise if torch.Tag.pointwise in getattr(node.target, "tags", ()) else _unknown
        self.labels[node] = rule(self, node, _arguments(node))

    def of(self, value: Any) -> Any:
        """Labels of a node, None of anything else."""
        return self.labels.get(value) if isinstance(value, Node) else None

    def filled(self, value: Any) -> Any:
        """Labels of a node, with -1 for a tensor without units; other values unchanged."""
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


def _name(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", str(node.target))


def _arguments(node: Node) -> dict[str, Any]:
    """Arguments of an operation by the names of its schema."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return dict(node.kwargs)
    values = {each.name: each.default_value for each in schema.arguments if each.has_default_value()}
    return values | dict(zip((each.name for each in schema.arguments), node.args, strict=False)) | dict(node.kwargs)


def _shape(node: Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _where(node: Node) -> str:
    """The module that runs an operation."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = stack[-1][0].removeprefix("model").lstrip(".") if stack else ""
    return f"{_name(node)} at {path!r}" if path else _name(node)


def _unknown(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    for source in node.all_input_nodes:
        walk.refuse(source, f"{_where(node)} does not keep units apart")
    return None


def _dense(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    return _weighted(walk, node, arguments["input"], arguments["weight"], arguments.get("bias"), -1)


def _convolution(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    weight, groups = arguments["weight"], arguments["groups"]
    if groups == 1:
        return _weighted(walk, node, arguments["input"], weight, arguments.get("bias"), 1)
    source, shape = arguments["input"], _shape(weight)
    labels, owner = walk.of(source), walk.owner(weight)
    if labels is None:
        return None
    if shape[0] != groups or shape[1] != 1 or owner is None or walk.shared(weight):
        walk.refuse(source, f"{_where(node)} is a convolution of groups")
        return None
    walk.trace.scales.append(Seen(owner, labels, 1))
    result, axes = resized(labels, _shape(node))
    walk.atoms.require_equal(labels, axes, f"{_where(node)} does not keep units apart")
    return result


def _weighted(walk: _Walk, node: Node, source: Node, weight: Any, bias: Any, axis: int) -> Labels:
    """A layer that reads the units of its input along an axis and makes units of its own along the same axis."""
    owner, labels = walk.owner(weight), walk.of(source)
    reason = "its weights are computed from other values" if owner is None else ""
    if not reason and walk.shared(weight, bias):
        reason = "its weights are shared with another layer"
    if not reason and walk.owner(bias) not in (None, owner):
        reason = "its weights belong to two modules"
    if reason or owner is None:
        walk.refuse(source, f"{_where(node)} reads them, and {reason}")
    elif labels is not None:
        walk.trace.readers.append(Seen(owner, labels, axis))
    if owner is None:
        return None
    atoms = walk.atoms.make(_shape(weight)[0])
    shape = _shape(node)
    line = [1] * len(shape)
    line[axis] = shape[axis]
    made = atoms.view(line).expand(shape)
    walk.trace.makers.append(Seen(owner, made, axis))
    if reason:
        walk.atoms.refuse(made, reason)
    return made


def _recurrent(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Any:
    """LSTM or GRU: hidden units, the same number in all layers and directions."""
    weights, source = arguments["params"], arguments["input"]
    owner, first = walk.owner(weights[0]), bool(arguments["batch_first"])
    if owner is None:
        walk.refuse(source, f"{_where(node)} reads them, and its weights are computed from other values")
        return None
    if walk.of(source) is not None:
        walk.trace.readers.append(Seen(owner, walk.of(source), -1))
    hidden = walk.model.get_submodule(owner)
    atoms = walk.atoms.make(int(hidden.hidden_size))  # type: ignore[arg-type]
    directions = 2 if arguments["bidirectional"] else 1
    shapes = [tuple(value.shape) for value in node.meta["val"]]
    parts = [atoms.repeat(directions).expand(shapes[0]), *(atoms.expand(shape) for shape in shapes[1:])]
    walk.trace.makers.append(Seen(owner, parts[0], -1))
    hx = arguments["hx"]
    for state in hx if isinstance(hx, (list, tuple)) else [hx]:
        walk.refuse(state, f"{_where(node)} starts from them")
    if not first and len(shapes[0]) == 3:
        walk.atoms.refuse(atoms, "its first axis is not the example; build it with batch_first=True")
    if walk.shared(*weights):
        walk.atoms.refuse(atoms, "its weights are shared with another layer")
    if getattr(hidden, "proj_size", 0):
        walk.atoms.refuse(atoms, "its hidden states are projected (proj_size)")
    return parts


def _moved(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Any:
    """An operation that only moves numbers runs on labels."""
    values = [walk.filled(value) for value in node.args]
    return node.target(*values, **node.kwargs)  # type: ignore[operator]


def _kept(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Any:
    return walk.of(node.args[0])


def _pointwise(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    sources = [source for source in node.all_input_nodes if hasattr(source.meta.get("val"), "shape")]
    labelled = [source for source in sources if walk.of(source) is not None]
    shape, where = _shape(node), _where(node)
    first = walk.of(labelled[0]).expand(shape)
    if len(labelled) > 1:
        if not _name(node).startswith("mul"):
            for source in labelled:
                walk.refuse(source, f"residual width: {where} joins the units of two layers")
            return None
        for source in labelled[1:]:
            walk.atoms.unite(first, walk.of(source))
    for source in sources:
        wide = _shape(source)
        if source not in labelled and wide:
            offset = len(shape) - len(wide)
            axes = tuple(axis + offset for axis, size in enumerate(wide) if size > 1 and axis + offset > 0)
            kind = "residual width: " if _name(node).startswith("add") else ""
            walk.atoms.require_equal(first, axes, f"{kind}{where} joins them with other values")
    return first


def _spatial(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Any:
    """Pooling, padding and resizing keep units apart if the axes that change hold none."""
    labels, value = walk.of(node.args[0]), node.meta["val"]
    shape = tuple((value[0] if isinstance(value, (tuple, list)) else value).shape)
    if labels is None or len(labels.shape) != len(shape):
        return _unknown(walk, node, arguments)
    result, axes = resized(labels, shape)
    walk.atoms.require_equal(labels, axes, f"{_where(node)} does not keep units apart")
    return [result, result] if isinstance(value, (tuple, list)) else result


def _reduced(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """A mean, sum or maximum over axes that hold no units."""
    labels, dims = walk.of(node.args[0]), arguments.get("dim")
    if labels is None or dims is None or not hasattr(node.meta["val"], "shape"):
        return _unknown(walk, node, arguments)
    axes = tuple(axis % labels.ndim for axis in (dims if isinstance(dims, (list, tuple)) else [dims]))
    walk.atoms.require_equal(labels, axes, f"{_where(node)} does not keep units apart")
    return labels.amax(axes, keepdim=bool(arguments.get("keepdim")))


def _softmax(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    labels = walk.of(arguments.get("self", node.args[0]))
    walk.atoms.require_equal(labels, (arguments["dim"] % labels.ndim,), f"{_where(node)} does not keep units apart")
    return labels


def _normalised(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    labels = walk.of(node.args[0])
    axes = tuple(range(labels.ndim - len(arguments["normalized_shape"]), labels.ndim))
    walk.atoms.require_equal(labels, axes, f"residual width: {_where(node)} normalises them together")
    walk.atoms.refuse(labels, f"residual width: {_where(node)} normalises them together")
    return None


def _batch_norm(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    labels, owner = walk.of(arguments["input"]), walk.owner(arguments["running_mean"])
    if owner is None or arguments["training"] or walk.shared(arguments["weight"]):
        walk.refuse(arguments["input"], f"{_where(node)} normalises them by the batch, or its weights are shared")
        return None
    walk.trace.scales.append(Seen(owner, labels, 1))
    return labels


def _gathered(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """Entries along an axis that holds no units."""
    labels = walk.of(arguments["self"])
    if labels is None:
        return _unknown(walk, node, arguments)
    axis = arguments["dim"] % labels.ndim
    walk.atoms.require_equal(labels, (axis,), f"{_where(node)} picks among them")
    shape = _shape(node)
    if any(new > old for position, (new, old) in enumerate(zip(shape, labels.shape, strict=True)) if position != axis):
        return _unknown(walk, node, arguments)
    for position, size in enumerate(shape):
        labels = labels.narrow(position, 0, 1 if position == axis else size)
    return labels.expand(shape)


def _indexed(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """Entries by tensors of indices along leading axes that hold no units."""
    labels, indices = walk.of(arguments["self"]), arguments["indices"]
    axes = tuple(axis for axis, index in enumerate(indices) if index is not None)
    if labels is None or axes != tuple(range(len(axes))):
        return _unknown(walk, node, arguments)
    walk.atoms.require_equal(labels, axes, f"{_where(node)} picks among them")
    rest = labels[(0,) * len(axes)]
    return rest.expand(_shape(node))


def _attention(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """Attention unites the units of a head, of queries, keys and values."""
    tensors = [arguments[name] for name in ("query", "key", "value")]
    labels = [walk.of(tensor) for tensor in tensors]
    if any(each is None for each in labels):
        return _unknown(walk, node, arguments)
    heads = []
    for each in labels:
        walk.atoms.require_equal(each, (each.ndim - 2,), f"{_where(node)} mixes tokens that differ in units")
        heads.append(walk.atoms.unite_along(each, -1)[..., :1])
    for each in heads[1:]:
        copies = heads[0].shape[-2] // each.shape[-2] if each.ndim > 2 else 1
        walk.atoms.unite(heads[0], each.repeat_interleave(copies, dim=-2) if copies > 1 else each)
    return heads[0][..., None].expand(_shape(node))


def _product(walk: _Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """A product of matrices unites the units along the axis that is summed over."""
    first, second = (walk.of(value) for value in node.args[-2:]) if _name(node) != "baddbmm" else (
        walk.of(arguments["batch1"]), walk.of(arguments["batch2"])
    )  # fmt: skip
    if first is None or second is None or min(first.ndim, second.ndim) < 2:
        for source in node.all_input_nodes:
            walk.refuse(source, f"{_where(node)} joins them with other values")
        return None
    left, right = walk.atoms.unite_along(first, -1)[..., :, None], walk.atoms.unite_along(second, -2)[..., None, :]
    walk.atoms.unite(left, right)
    return left.expand(_shape(node))


MAKERS: dict[str, Rule] = {
    "linear": _dense,
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], _convolution),
    **dict.fromkeys(["lstm", "gru"], _recurrent),
}
"""Operations whose weights make units."""

MOVES = (
    "view _unsafe_view reshape permute transpose t numpy_T flatten unflatten select slice narrow expand expand_as "
    "contiguous clone unsqueeze squeeze cat concat stack chunk split split_with_sizes unbind movedim swapaxes roll "
    "flip repeat_interleave repeat"
)
KEPT = "dropout dropout_ feature_dropout alpha_dropout native_dropout to _to_copy alias detach type_as float contiguous"
SPATIAL = (
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d constant_pad_nd pad reflection_pad2d "
    "replication_pad2d upsample_nearest2d upsample_bilinear2d"
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(MOVES.split(), _moved),
    **dict.fromkeys(KEPT.split(), _kept),
    **dict.fromkeys(SPATIAL.split(), _spatial),
    **dict.fromkeys(["mean", "sum", "amax", "amin"], _reduced),
    **dict.fromkeys(["softmax", "_softmax"], _softmax),
    **dict.fromkeys(["layer_norm", "rms_norm"], _normalised),
    "batch_norm": _batch_norm,
    "gather": _gathered,
    "index": _indexed,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(["matmul", "bmm", "baddbmm", "mm"], _product),
}
"""What an operation does to the labels of its first input."""
