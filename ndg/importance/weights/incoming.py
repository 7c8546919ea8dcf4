"""Incoming weights of layers, and networks with replaced weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from ndg.activations.batches import compute_batches, fixed
from ndg.errors import ConfigError, LayerError
from ndg.gradients.autograd import gradients_of
from ndg.gradients.tape import Tape, check_gradients
from ndg.importance.settings import Loader, Settings
from ndg.importance.weights.outgoing import outgoing
from ndg.units import gates

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
WEIGHTED = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED, *NORMS, nn.Embedding)
"""Modules whose `weight` leads into their units (for norms the gain). Biases do not count."""

Weights = Mapping[str, Float64[Tensor, "unit weight"]]


@dataclass(frozen=True, eq=False)
class Incoming:
    """Incoming weights of a layer, one row per unit."""

    layer: str
    module: nn.Module
    names: tuple[str, ...] = ("weight",)

    @property
    def weights(self) -> dict[str, Tensor]:
        """Weights by path."""
        return {f"{self.layer}.{name}": getattr(self.module, name) for name in self.names}

    def rows(self, values: Mapping[str, Tensor]) -> Float[Tensor, "unit weight"]:
        """Values shaped like the weights, joined to one row per unit."""
        return torch.cat([_rows(self.module, values[path]) for path in self.weights], dim=1)


def weighted(model: nn.Module, layers: Iterable[str], settings: Settings, method: str) -> dict[str, Incoming]:
    """Incoming weights of layers; `X.gates` uses input and state weights.

    Raises LayerError for layers without weights, naming the nearest one before that has some.
    """
    if settings.each_position:
        raise ConfigError(f"{method} scores weights, which positions share; got each_position=True; leave it out")
    modules = dict(model.named_modules())
    incoming = {}
    for layer in layers:
        owner, _, name = layer.rpartition(".")
        if layer in modules and _has_weights(modules[layer]):
            incoming[layer] = Incoming(layer, modules[layer])
        elif layer not in modules and isinstance(modules.get(owner), (*gates.LAYERS, *gates.CELLS)):
            place = name.removeprefix("gates") or ("_l0" if isinstance(modules[owner], gates.LAYERS) else "")
            incoming[layer] = Incoming(layer, modules[owner], (f"weight_ih{place}", f"weight_hh{place}"))
        else:
            before = [path for path in modules if path == layer or _has_weights(modules[path])]
            before = before[: before.index(layer)] if layer in before else []
            instead = f"name the one that gives its values, such as {before[-1]!r}" if before else "name a Linear"
            what = f"({type(modules[layer]).__name__}) has none" if layer in modules else "has none"
            raise LayerError(f"{method} needs layers with weights of their own; {layer!r} {what}; {instead}")
    return incoming


def leaves(incoming: Mapping[str, Incoming], method: str) -> dict[str, Tensor]:
    """Incoming weights of all layers by path; LayerError for computed ones."""
    for parts in incoming.values():
        if not set(parts.names) <= parts.module._parameters.keys():
            raise LayerError(
                f"{method} needs the gradient at a weight; that of {parts.layer!r} is computed from other parameters; "
                "remove its parametrization first, or choose another method"
            )
    return {path: weight for parts in incoming.values() for path, weight in parts.weights.items()}


def per_unit(incoming: Mapping[str, Incoming], values: Mapping[str, Tensor]) -> dict[str, Float[Tensor, " unit"]]:
    """Sums over the incoming weights of each unit, by layer."""
    return {layer: parts.rows(values).sum(dim=1) for layer, parts in incoming.items()}


def gradients(value: Tensor, weights: dict[str, Tensor], method: str, start: Tensor | None = None) -> dict[str, Tensor]:
    """Gradients at weights by path; LayerError without one, or for NaN."""
    if not value.requires_grad:
        raise no_path(next(iter(weights)).rpartition(".")[0], method)
    slopes = gradients_of(value, list(weights.values()), start, allow_unused=True)
    for path, gradient in zip(weights, slopes, strict=True):
        if gradient is None:
            raise no_path(path.rpartition(".")[0], method)
        check_gradients([gradient], path.rpartition(".")[0])
    return dict(zip(weights, slopes, strict=True))


@contextmanager
def replaced(
    modules: Iterable[nn.Module], change: Callable[[str, Tensor], Tensor] = lambda name, value: value
) -> Iterator[list[nn.Parameter]]:
    """Context in which leaves that need gradients stand for parameters.

    It gives these leaves.

    So frozen weights have gradients, `.grad` stays unchanged, and a shared weight counts in each module. `change`
    computes the value of a leaf from the name and value of the parameter.
    """
    before = [(part, name, x) for part in modules for name, x in part._parameters.items() if x is not None]
    try:
        for module, name, value in before:
            leaf = nn.Parameter(change(name, value.detach()), requires_grad=value.is_floating_point())
            setattr(module, name, leaf)
        leaves = (module._parameters[name] for module, name, _ in before)
        yield [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def no_path(layer: str, method: str) -> LayerError:
    """Error for weights without influence on the logits."""
    return LayerError(
        f"{method} needs a gradient path from the logits to the weights; to those of {layer!r} there is none; choose a "
        "layer that is used on the way from inputs to logits"
    )


def _rows(module: nn.Module, values: Tensor) -> Float[Tensor, "unit weight"]:
    """Values shaped like a module's weight, one row per unit."""
    if isinstance(module, TRANSPOSED):
        grouped = values.unflatten(0, (module.groups, -1))  # [group, input, output, position...]
        return grouped.transpose(1, 2).flatten(0, 1).flatten(1)
    if isinstance(module, nn.Embedding):
        return values.T
    if isinstance(module, NORMS):
        return values.flatten()[:, None]
    return values.flatten(1)


def _has_weights(module: nn.Module) -> bool:
    return isinstance(module, WEIGHTED) and isinstance(getattr(module, "weight", None), Tensor)


def weights_of(model: nn.Module, led: Mapping[str, Sequence[str]]) -> Weights:
    """Copy of the weights before each layer, one row per unit."""
    return rows_before(dict(model.named_parameters(remove_duplicate=False)), led)


def rows_before(parameters: Mapping[str, Tensor], led: Mapping[str, Sequence[str]]) -> Weights:
    """Copy of named weights before each layer, one row per unit."""
    return {
        layer: torch.cat([parameters[name].detach().double().flatten(1) for name in names], dim=1).cpu()
        for layer, names in led.items()
        if names
    }


def leading(model: nn.Module, loader: Loader, layers: Sequence[str], batch: int) -> dict[str, list[str]]:
    """Nearest parameters before each layer, one row per unit."""
    first = next(iter(compute_batches(loader, batch, short=True)))
    frozen = not all(parameter.requires_grad for parameter in model.parameters())
    with (
        torch.inference_mode(False),
        replaced(model.modules() if frozen else ()),
        fixed(model, torch.get_num_threads(), grad=True),
        Tape(model, layers) as tape,
    ):
        named = {id(parameter): name for name, parameter in model.named_parameters()}
        tape.run(first)
        return {
            layer: [named[key] for key in _nearest(tape.raw[layer][0], tape[layer].shape[1]) if key in named]
            for layer in layers
        }


def read_by(
    model: nn.Module, loader: Loader, layers: Sequence[str], batch: int
) -> dict[str, Float64[np.ndarray, " unit"]]:
    """Norm of the weights that read each unit."""
    first = next(iter(compute_batches(loader, batch, short=True)))

    def squares(weight: Tensor) -> Tensor:
        return weight.detach().double().square()

    with torch.inference_mode(False), fixed(model, torch.get_num_threads(), grad=True):
        try:
            sums = outgoing(model, first, layers, squares, each=False) if layers else {}
        except LayerError:
            sums = {}
            for layer in layers:
                with suppress(LayerError):
                    sums |= outgoing(model, first, [layer], squares, each=False)
    return {layer: total.sqrt().cpu().numpy() for layer, total in sums.items()}


def _nearest(output: Tensor, units: int) -> list[int]:
    """Nearest tensors with one row per unit before an output."""
    level, seen = [output.grad_fn], set()
    while any(level):
        leaves = [node.variable for node in level if node is not None and hasattr(node, "variable")]
        leading = [id(tensor) for tensor in leaves if tensor.ndim > 1 and len(tensor) == units]
        if leading:
            return leading
        seen |= {node for node in level if node is not None}
        after = [other for node in level if node is not None for other, _ in node.next_functions]
        level = list(dict.fromkeys(node for node in after if node is not None and node not in seen))
    return []
