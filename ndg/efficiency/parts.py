"""Weights of a network by layer and part: one row per unit, one column per input.

nn.Linear, convolutions      the layer itself; of attention: query, key, value, output, each in heads
nn.MultiheadAttention        X.query, X.key, X.value, X.output, each in heads
nn.Embedding                 the dimensions are the units, the words the inputs
nn.LSTM, nn.GRU and cells    one part per gate, input weights beside state weights: X.forget
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ndg.errors import LayerError, nearest
from ndg.units import heads
from ndg.units.resolve import find_layers

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SINGLE = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED, nn.Embedding)
"""Modules with one weight of their own."""
FAMILIES: dict[str, tuple[type[nn.Module], ...]] = {
    "LSTM": (nn.LSTM, nn.LSTMCell),
    "GRU": (nn.GRU, nn.GRUCell),
    "RNN": (nn.RNN, nn.RNNCell),
}
RECURRENT = tuple(kind for family in FAMILIES.values() for kind in family)

GATES = {
    "LSTM": ("input", "forget", "candidate", "output"),
    "GRU": ("reset", "update", "candidate"),
    "RNN": ("state",),
}
"""Gates in the order of the rows of the weights."""

ROLES = {
    "query": ("query", "q_proj", "q_lin"),
    "key": ("key", "k_proj", "k_lin"),
    "value": ("value", "v_proj", "v_lin"),
    "output": heads.PROJECTIONS,
}
"""Names of the linear layers of an attention module, by what they make."""

Rows = Float[Tensor, "unit input"]


@dataclass(frozen=True, eq=False)
class Part:
    """Weights of one layer, or of one gate or projection of it.

    `layer` is the path of the module, `part` the name of the gate or projection, empty for the layer as a whole.
    `names` are the parameters, of which the `width` rows from `first` on belong to the part. `heads` is the number of
    attention heads; these are blocks of rows, and of the columns for an output projection. `end` names layer and
    direction of a recurrent part, such as `_l0_reverse`.
    """

    layer: str
    module: nn.Module
    kind: str
    part: str = ""
    names: tuple[str, ...] = ("weight",)
    first: int = 0
    width: int | None = None
    heads: int = 0
    end: str = ""

    @property
    def name(self) -> str:
        """Path of the layer and name of the part."""
        return f"{self.layer}.{self.part}{self.end}" if self.part and self.several else self.layer

    @property
    def several(self) -> bool:
        """Whether the module has several parts."""
        return not isinstance(self.module, SINGLE)

    @property
    def rows(self) -> slice:
        """The rows of each parameter that belong to the part."""
        return slice(self.first, None if self.width is None else self.first + self.width)

    @property
    def parameters(self) -> list[Tensor]:
        """The parameters that hold the weights, whole."""
        return [attrgetter(name)(self.module) for name in self.names]

    @property
    def weight(self) -> Rows:
        """The weights, one row per unit."""
        return self.of([tensor.detach() for tensor in self.parameters])

    def of(self, tensors: list[Tensor]) -> Shaped[Tensor, "unit input"]:
        """Tensors shaped like the parameters, one row per unit."""
        return torch.cat([self._rows(tensor) for tensor in tensors], dim=1)

    def _rows(self, values: Tensor) -> Shaped[Tensor, "unit _"]:
        if isinstance(self.module, TRANSPOSED):
            grouped = values.unflatten(0, (self.module.groups, -1))  # [group, input, output, position...]
            return grouped.transpose(1, 2).flatten(0, 1).flatten(1)
        if isinstance(self.module, nn.Embedding):
            return values.T
        return values[self.rows].flatten(1)

    def head(self, values: Rows, number: int) -> Float[Tensor, "_ _"]:
        """Values of one head: its rows, or its columns in an output projection."""
        axis = 1 if self.part == "output" else 0
        width = values.shape[axis] // self.heads
        return values.narrow(axis, number * width, width)


def parts_of(model: nn.Module, layers: Iterable[str] | None = None) -> list[Part]:
    """Parts of the layers, in the network's order.

    All parts without `layers`.

    A layer is a module path or an expression, and stands for all weights in it. Raises LayerError for a layer without
    weights, for quantised, complex, sparse or empty weights, and for a network without any.
    """
    modules = dict(model.named_modules())
    every = [part for path, module in modules.items() for part in _parts(path, module, modules)]
    if not every:
        raise LayerError(
            f"efficiency is that of weights of Linear, Conv, Embedding, attention, LSTM and GRU layers; "
            f"{type(model).__name__} has none; wrap its weights in such layers"
        )
    if layers is None:
        return every
    layers = [layers] if isinstance(layers, str) else list(layers)
    if not layers:
        raise LayerError("at least one layer is needed; got none; name one, or leave them out to measure all")
    chosen: dict[int, Part] = {}
    for entry in layers:
        paths = find_layers(model, [entry])
        within = tuple(f"{path}." for path in paths)
        inside = [part for part in every if part.layer in paths or part.layer.startswith(within)]
        if not inside:
            kind = type(modules[entry]).__name__ if entry in modules else "no module of its own"
            names = list(dict.fromkeys(part.layer for part in every))
            raise LayerError(
                f"efficiency is measured on layers with weights; {entry!r} ({kind}) has none; {nearest(entry, names)}"
            )
        chosen |= {id(part): part for part in inside}
    return [part for part in every if id(part) in chosen]


def _parts(path: str, module: nn.Module, modules: dict[str, nn.Module]) -> list[Part]:
    _check_float(path, module)
    if isinstance(module, nn.MultiheadAttention):
        return _attention(path, module)
    if isinstance(module, RECURRENT):
        return _recurrent(path, module)
    if not isinstance(module, SINGLE):
        return []
    owner = path.rpartition(".")[0]
    if isinstance(modules.get(owner), nn.MultiheadAttention):
        return []  # the output projection is a part of the attention
    kind = type(module).__name__
    if isinstance(module, nn.Linear):
        role, number = _role(path, modules)
        if role:
            return [Part(path, module, f"attention {role}", role, heads=number)]
        kind = "Linear"
    return [Part(path, module, kind)]


def _attention(path: str, module: nn.MultiheadAttention) -> list[Part]:
    width, number = module.embed_dim, module.num_heads
    joint = module.in_proj_weight is not None
    inward = [
        Part(
            path,
            module,
            f"attention {role}",
            role,
            ("in_proj_weight",) if joint else (f"{role[0]}_proj_weight",),
            place * width if joint else 0,
            width if joint else None,
            number,
        )
        for place, role in enumerate(("query", "key", "value"))
    ]
    return [*inward, Part(path, module, "attention output", "output", ("out_proj.weight",), heads=number)]


def _recurrent(path: str, module: Any) -> list[Part]:
    kind = next(name for name, family in FAMILIES.items() if isinstance(module, family))
    layers = getattr(module, "num_layers", 0)
    directions = ("", "_reverse") if getattr(module, "bidirectional", False) else ("",)
    ends = [f"_l{layer}{way}" for layer in range(layers) for way in directions] if layers else [""]
    size = module.hidden_size
    return [
        Part(
            path,
            module,
            f"{kind} {gate}",
            gate,
            (f"weight_ih{end}", f"weight_hh{end}"),
            place * size,
            size,
            end=end if len(ends) > 1 else "",
        )
        for end in ends
        for place, gate in enumerate(GATES[kind])
    ]


def _role(path: str, modules: dict[str, nn.Module]) -> tuple[str, int]:
    """What a linear layer makes in an attention module, and the number of heads.

    Empty elsewhere.
    """
    owner, _, leaf = path.rpartition(".")
    number = heads.number_of(modules[owner]) if owner in modules else 0
    if number:
        return next(((role, number) for role, names in ROLES.items() if leaf in names), ("", 0))
    above = owner.rpartition(".")[0]
    if leaf == "dense" and owner.rpartition(".")[2] == "output":  # as in BERT: attention.self beside attention.output
        inner = (modules.get(f"{above}.{name}") for name in ("self", "attention"))
        number = max((heads.number_of(module) for module in inner if module is not None), default=0)
    return ("output", number) if number else ("", 0)


def _check_float(path: str, module: nn.Module) -> None:
    """Raise LayerError for weights that are no dense tensors of real numbers, or empty."""
    weight, name = getattr(module, "weight", None), f"{path!r} ({type(module).__name__})"
    quantised = hasattr(module, "weight_fake_quant") or ("quantized" in type(module).__module__ and weight is not None)
    if not isinstance(weight, Tensor) or not isinstance(module, SINGLE) or is_lazy(weight):
        weight = None
    elif not weight.is_complex():
        quantised = quantised or not weight.is_floating_point() or weight.is_quantized
    if quantised:
        raise LayerError(
            f"efficiency is measured on floating-point weights; those of {name} are quantised; measure the network "
            "before it is quantised"
        )
    if weight is not None and (weight.is_complex() or weight.layout != torch.strided):
        kind = weight.dtype if weight.is_complex() else f"{weight.layout} tensors"
        raise LayerError(
            f"efficiency is measured on dense tensors of real numbers; those of {name} are {kind}; convert them first"
        )
    if weight is not None and not weight.numel():
        raise LayerError(
            f"efficiency is measured on layers with weights; those of {name} are of shape {tuple(weight.shape)}; build "
            "the network without this layer"
        )
