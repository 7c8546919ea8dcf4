"""The outputs of several layers in one forward pass, and the gradients at all of them by one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ndg.activations.compute import Inputs, forward
from ndg.activations.trace import find_layer
from ndg.errors import LayerError

Output = Float[Tensor, "example _ ..."]


class Tape:
    """`with Tape(model, ["fc1"]) as tape: logits = tape.run(inputs); tape["fc1"]; tape.gradients(logits[:, 3])`.

    A layer gives `[example, unit]`, or `[example, channel, height, width]` where a channel is a unit. Parameters need
    no gradient and get none. The logits are those of the bare network to the last bit.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]) -> None:
        self._model = model
        self._modules = {layer: find_layer(model, layer) for layer in layers}
        self._handles: list[RemovableHandle] = []
        self._outputs: dict[str, Output] = {}
        self._rows = 0

    def __enter__(self) -> Tape:
        for layer, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._record(layer)))
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._outputs.clear()

    def run(self, inputs: Inputs) -> Float[Tensor, "example logit"]:
        """The logits; raises LayerError when a layer was not used exactly once, or has no units."""
        self._outputs.clear()
        self._rows = len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs)
        logits = forward(self._model, inputs)
        for layer in self._modules:
            if layer not in self._outputs:
                raise LayerError(
                    f"a scored layer is used once in a forward pass; {layer!r} was not used; "
                    "choose a layer on the way from inputs to logits"
                )
        return logits

    def __getitem__(self, layer: str) -> Output:
        """The layer's output in the latest pass, apart from the graph of gradients."""
        return _wide(self._outputs[layer].detach())

    def gradients(self, values: Float[Tensor, " example"], *, last: bool = True) -> dict[str, Output]:
        """Gradient of each example's value at each layer's output of that example.

        Examples do not see each other in evaluation mode, so one backward pass of the sum gives them all. `last` frees
        the graph. Raises LayerError for a layer from which no gradient path leads to the logits.
        """
        outputs = tuple(self._outputs.values())
        found: tuple[Tensor | None, ...] = (None,) * len(outputs)
        if values.requires_grad:
            found = torch.autograd.grad(values.sum(), outputs, retain_graph=not last, allow_unused=True)
        gradients = {}
        for layer, gradient in zip(self._outputs, found, strict=True):
            if gradient is None:
                raise LayerError(
                    f"a scored layer has a gradient path to the logits; from {layer!r} there is none; choose a layer "
                    "whose output the logits depend on, or remove the detach, no_grad or argmax between them"
                )
            gradients[layer] = _wide(gradient)
        return gradients

    def _record(self, layer: str) -> Callable[[nn.Module, Any, Any], Any]:
        def record(module: nn.Module, arguments: Any, output: Any) -> Any:
            if layer in self._outputs:
                raise LayerError(
                    f"a scored layer is used once in a forward pass; {layer!r} was used several times; "
                    "give each use a module of its own, or choose another layer"
                )
            first = _units(output[0] if isinstance(output, tuple) and output else output, layer, self._rows)
            kept = first if first.requires_grad else first.detach().requires_grad_()
            self._outputs[layer] = kept
            with torch.enable_grad():
                onward = kept.clone()  # the next module may work in place, as nn.ReLU(inplace=True) does
            return (onward, *output[1:]) if isinstance(output, tuple) else onward

        return record


def per_unit(values: Float[Tensor, "example unit *position"]) -> Float64[Tensor, "example unit"]:
    """Values summed over the positions of each unit, in float64."""
    return values.flatten(2).sum(dim=2, dtype=torch.float64) if values.ndim > 2 else values.double()


def add(totals: dict[str, Tensor], name: str, more: Tensor) -> None:
    """Add to the total of that name, which starts at zero."""
    totals[name] = totals[name] + more if name in totals else more


def _wide(values: Tensor) -> Tensor:
    """Half precision as float32, so that products do not lose more."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _units(output: Any, layer: str, rows: int) -> Tensor:
    if isinstance(output, Tensor) and output.is_floating_point() and output.ndim in (2, 4) and len(output) == rows:
        return output
    came = f"{tuple(output.shape)} of {output.dtype}" if isinstance(output, Tensor) else type(output).__name__
    raise LayerError(
        f"a scored layer gives floats of shape (example, unit) or (example, channel, height, width) for {rows} "
        f"examples; {layer!r} gives {came}; choose another layer, or wrap this one in a module that selects or "
        "pools positions"
    )
