"""What operations do to the labels of units.

Operations that only move numbers run on the labels; those on single numbers keep them; a product of matrices unites
the units that it sums over, and attention those of a head.
"""

from __future__ import annotations

from typing import Any

from torch.fx import Node

from ndg.compression.labels import resized
from ndg.compression.walk import Labels, Rule, Seen, Walk, name_of, place_of, shape_of, unknown


def _dense(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    return _weighted(walk, node, arguments["input"], arguments["weight"], arguments.get("bias"), -1)


def _convolution(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    weight, groups = arguments["weight"], arguments["groups"]
    if groups == 1:
        return _weighted(walk, node, arguments["input"], weight, arguments.get("bias"), 1)
    source, shape = arguments["input"], shape_of(weight)
    labels, owner = walk.of(source), walk.owner(weight)
    if labels is None:
        return None
    if shape[0] != groups or shape[1] != 1 or owner is None or walk.shared(weight):
        walk.refuse(source, f"{place_of(node)} is a convolution of groups")
        return None
    walk.trace.scales.append(Seen(owner, labels, 1))
    result, axes = resized(labels, shape_of(node))
    walk.atoms.require_equal(labels, axes, f"{place_of(node)} does not keep units apart")
    return result


def _weighted(walk: Walk, node: Node, source: Node, weight: Any, bias: Any, axis: int) -> Labels:
    """A layer that reads the units of its input along an axis and makes units of its own along the same axis."""
    owner, labels = walk.owner(weight), walk.of(source)
    reason = "its weights are computed from other values" if owner is None else ""
    if not reason and walk.shared(weight, bias):
        reason = "its weights are shared with another layer"
    if not reason and walk.owner(bias) not in (None, owner):
        reason = "its weights belong to two modules"
    if reason or owner is None:
        walk.refuse(source, f"{place_of(node)} reads them, and {reason}")
    elif labels is not None:
        walk.trace.readers.append(Seen(owner, labels, axis))
    if owner is None:
        return None
    atoms = walk.atoms.make(shape_of(weight)[0])
    shape = shape_of(node)
    line = [1] * len(shape)
    line[axis] = shape[axis]
    made = atoms.view(line).expand(shape)
    walk.trace.makers.append(Seen(owner, made, axis))
    if reason:
        walk.atoms.refuse(made, reason)
    return made


def _recurrent(walk: Walk, node: Node, arguments: dict[str, Any]) -> Any:
    """LSTM or GRU: hidden units, the same number in all layers and directions."""
    weights, source = arguments["params"], arguments["input"]
    owner, first = walk.owner(weights[0]), bool(arguments["batch_first"])
    if owner is None:
        walk.refuse(source, f"{place_of(node)} reads them, and its weights are computed from other values")
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
        walk.refuse(state, f"{place_of(node)} starts from them")
    if not first and len(shapes[0]) == 3:
        walk.atoms.refuse(atoms, "its first axis is not the example; build it with batch_first=True")
    if walk.shared(*weights):
        walk.atoms.refuse(atoms, "its weights are shared with another layer")
    if getattr(hidden, "proj_size", 0):
        walk.atoms.refuse(atoms, "its hidden states are projected (proj_size)")
    return parts


def _moved(walk: Walk, node: Node, arguments: dict[str, Any]) -> Any:
    """An operation that only moves numbers runs on labels."""
    values = [walk.filled(value) for value in node.args]
    return node.target(*values, **node.kwargs)  # type: ignore[operator]


def _kept(walk: Walk, node: Node, arguments: dict[str, Any]) -> Any:
    return walk.of(node.args[0])


def pointwise(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    sources = [source for source in node.all_input_nodes if hasattr(source.meta.get("val"), "shape")]
    labelled = [source for source in sources if walk.of(source) is not None]
    shape, where = shape_of(node), place_of(node)
    first = walk.of(labelled[0]).expand(shape)
    if len(labelled) > 1:
        if not name_of(node).startswith("mul"):
            for source in labelled:
                walk.refuse(source, f"residual width: {where} joins the units of two layers")
            return None
        for source in labelled[1:]:
            walk.atoms.unite(first, walk.of(source))
    for source in sources:
        wide = shape_of(source)
        if source not in labelled and wide:
            offset = len(shape) - len(wide)
            axes = tuple(axis + offset for axis, size in enumerate(wide) if size > 1 and axis + offset > 0)
            kind = "residual width: " if name_of(node).startswith("add") else ""
            walk.atoms.require_equal(first, axes, f"{kind}{where} joins them with other values")
    return first


def _spatial(walk: Walk, node: Node, arguments: dict[str, Any]) -> Any:
    """Pooling, padding and resizing keep units apart if the axes that change hold none."""
    labels, value = walk.of(node.args[0]), node.meta["val"]
    shape = tuple((value[0] if isinstance(value, (tuple, list)) else value).shape)
    if labels is None or len(labels.shape) != len(shape):
        return unknown(walk, node, arguments)
    result, axes = resized(labels, shape)
    walk.atoms.require_equal(labels, axes, f"{place_of(node)} does not keep units apart")
    return [result, result] if isinstance(value, (tuple, list)) else result


def _reduced(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """A mean, sum or maximum over axes that hold no units."""
    labels, dims = walk.of(node.args[0]), arguments.get("dim")
    if labels is None or dims is None or not hasattr(node.meta["val"], "shape"):
        return unknown(walk, node, arguments)
    axes = tuple(axis % labels.ndim for axis in (dims if isinstance(dims, (list, tuple)) else [dims]))
    walk.atoms.require_equal(labels, axes, f"{place_of(node)} does not keep units apart")
    return labels.amax(axes, keepdim=bool(arguments.get("keepdim")))


def _softmax(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    labels = walk.of(arguments.get("self", node.args[0]))
    walk.atoms.require_equal(labels, (arguments["dim"] % labels.ndim,), f"{place_of(node)} does not keep units apart")
    return labels


def _normalised(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    labels = walk.of(node.args[0])
    axes = tuple(range(labels.ndim - len(arguments["normalized_shape"]), labels.ndim))
    walk.atoms.require_equal(labels, axes, f"residual width: {place_of(node)} normalises them together")
    walk.atoms.refuse(labels, f"residual width: {place_of(node)} normalises them together")
    return None


def _batch_norm(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    labels, owner = walk.of(arguments["input"]), walk.owner(arguments["running_mean"])
    if owner is None or arguments["training"] or walk.shared(arguments["weight"]):
        walk.refuse(arguments["input"], f"{place_of(node)} normalises them by the batch, or its weights are shared")
        return None
    walk.trace.scales.append(Seen(owner, labels, 1))
    return labels


def _gathered(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """Entries along an axis that holds no units."""
    labels = walk.of(arguments["self"])
    if labels is None:
        return unknown(walk, node, arguments)
    axis = arguments["dim"] % labels.ndim
    walk.atoms.require_equal(labels, (axis,), f"{place_of(node)} picks among them")
    shape = shape_of(node)
    if any(new > old for position, (new, old) in enumerate(zip(shape, labels.shape, strict=True)) if position != axis):
        return unknown(walk, node, arguments)
    for position, size in enumerate(shape):
        labels = labels.narrow(position, 0, 1 if position == axis else size)
    return labels.expand(shape)


def _indexed(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """Entries by tensors of indices along leading axes that hold no units."""
    labels, indices = walk.of(arguments["self"]), arguments["indices"]
    axes = tuple(axis for axis, index in enumerate(indices) if index is not None)
    if labels is None or axes != tuple(range(len(axes))):
        return unknown(walk, node, arguments)
    walk.atoms.require_equal(labels, axes, f"{place_of(node)} picks among them")
    rest = labels[(0,) * len(axes)]
    return rest.expand(shape_of(node))


def _attention(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """Attention unites the units of a head, of queries, keys and values."""
    tensors = [arguments[name] for name in ("query", "key", "value")]
    labels = [walk.of(tensor) for tensor in tensors]
    if any(each is None for each in labels):
        return unknown(walk, node, arguments)
    heads = []
    for each in labels:
        walk.atoms.require_equal(each, (each.ndim - 2,), f"{place_of(node)} mixes tokens that differ in units")
        heads.append(walk.atoms.unite_along(each, -1)[..., :1])
    for each in heads[1:]:
        copies = heads[0].shape[-2] // each.shape[-2] if each.ndim > 2 else 1
        walk.atoms.unite(heads[0], each.repeat_interleave(copies, dim=-2) if copies > 1 else each)
    return heads[0][..., None].expand(shape_of(node))


def _product(walk: Walk, node: Node, arguments: dict[str, Any]) -> Labels:
    """A product of matrices unites the units along the axis that is summed over."""
    first, second = (walk.of(value) for value in node.args[-2:]) if name_of(node) != "baddbmm" else (
        walk.of(arguments["batch1"]), walk.of(arguments["batch2"])
    )  # fmt: skip
    if first is None or second is None or min(first.ndim, second.ndim) < 2:
        for source in node.all_input_nodes:
            walk.refuse(source, f"{place_of(node)} joins them with other values")
        return None
    left, right = walk.atoms.unite_along(first, -1)[..., :, None], walk.atoms.unite_along(second, -2)[..., None, :]
    walk.atoms.unite(left, right)
    return left.expand(shape_of(node))


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
