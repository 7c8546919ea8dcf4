"""Outputs of several layers in one pass, and the gradients at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from ndg.activations.batches import Batch, Inputs, forward, rows_of
from ndg.activations.hooks import find_modules
from ndg.errors import LayerError
from ndg.gradients.autograd import OVERWRITTEN
from ndg.units.heads import unfused
from ndg.units.layout import Layout, Layouts, View, stack_steps
from ndg.units.readings import Mask, Output
from ndg.units.resolve import Layer, resolve_layer, visible


class Tape:
    """Records outputs of layers as `[example, unit, position]` (`ndg.units.layout`).

        with Tape(model, ["fc1"]) as tape:
            logits = tape.run(inputs)
            outputs, gradients = tape["fc1"], tape.gradients(logits[:, 3])["fc1"]

    With `each` every position is a unit. The logits are those of the bare network to the last bit. Without `copies` the
    network gets the outputs themselves, until it writes to one.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], *, each: bool = False, copies: bool = True) -> None:
        self._model, self._copies = model, copies
        self.layers: dict[str, Layer] = {path: resolve_layer(model, path) for path in layers}
        self._stack = ExitStack()
        self._layouts = Layouts(model, each=each)
        self.raw: dict[str, list[Output]] = {}
        self._written: list[tuple[Output, int]] = []
        self.masks: dict[str, Mask | None] = {}
        self.tuples: set[str] = set()
        self.layouts: dict[str, Layout] = {}

    def __enter__(self) -> Tape:
        self._stack.enter_context(unfused())
        self._stack.enter_context(self._layouts)
        self._stack.enter_context(visible(self.layers.values()))
        for path, module in find_modules(self._model, self.layers).items():
            hook = self._record(self.layers[path])
            self._stack.enter_context(module.register_forward_hook(hook, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.raw.clear()
        self._written.clear()

    def run(self, inputs: Inputs | Batch) -> Float[Tensor, "example logit"]:
        """Logits of inputs; LayerError for a layer not used once."""
        batch = inputs if isinstance(inputs, Batch) else Batch(0, rows_of(inputs), inputs, None)
        if not self._copies:
            try:
                logits = self._pass(batch)
            except RuntimeError as error:
                if "in-place operation" not in str(error):
                    raise
            else:
                if all(output._version == times for output, times in self._written):
                    return logits
            self._copies = True
        return self._pass(batch)

    def _pass(self, batch: Batch) -> Float[Tensor, "example logit"]:
        self.raw.clear()
        self._written.clear()
        self._layouts.begin(batch)
        logits = forward(self._model, batch.inputs)
        for layer in self.layers:
            if layer not in self.raw:
                raise LayerError(
                    f"a scored layer is used once in a forward pass; {layer!r} was not used; "
                    "choose a layer on the way from inputs to logits"
                )
        return logits

    def __getitem__(self, layer: str) -> View:
        """Detached output in the latest pass; zero at padded tokens."""
        return self._view(layer, [output.detach() for output in self.raw[layer]])

    def connected(self, layer: str) -> View:
        """Output of a layer within the graph of gradients."""
        return self._view(layer, self.raw[layer])

    def unpadded(self, layer: str, view: View) -> View:
        """A view with zeros at padded tokens."""
        kept = self.kept(layer)
        return view if kept is None else view.masked_fill(~kept, 0)

    def kept(self, layer: str, count: int | None = None) -> Bool[Tensor, "example unit position"] | None:
        """Mask of a view, or of its first examples, without padding.

        None if all counts.
        """
        if self.masks[layer] is None:
            return None
        return self._view(layer, [torch.ones_like(output) for output in self.raw[layer]])[:count] != 0

    def gradients(
        self, values: Float[Tensor, " example"], *, last: bool = True, create_graph: bool = False, checked: bool = True
    ) -> dict[str, View]:
        """Gradient of each example's value at each layer.

        One backward pass of the sum gives all; `last` frees the graph. Raises LayerError for a layer without a gradient
        path to the logits or, if `checked`, with NaN gradients.
        """
        try:
            gradients = gradients_at(values, self.raw, last=last, create_graph=create_graph)
        except RuntimeError as error:
            if OVERWRITTEN not in str(error):
                raise
            raise LayerError(
                f"gradients at {', '.join(map(repr, self.raw))} need values that the network has overwritten; it "
                "works in place where it cannot be trained either; remove that, or take method='ablation'"
            ) from error
        for layer, parts in gradients.items():
            if checked:
                check_gradients(parts, layer)
        return {layer: self._view(layer, parts) for layer, parts in gradients.items()}

    def _view(self, layer: str, parts: list[Output]) -> View:
        mask = self.masks[layer]
        wide = [_wide(part) for part in parts]
        output = stack_steps(layer, wide, mask) if self.layers[layer].steps else wide[0]
        return self.layouts[layer].view(output, mask)

    def _record(self, layer: Layer) -> Callable[[nn.Module, Any, Any, Any], Any]:
        path = layer.path

        def record(module: nn.Module, arguments: Any, named: Any, output: Any) -> Any:
            own = first = output[0] if isinstance(output, tuple) and output else output
            if path in self.raw and not layer.steps:
                raise LayerError(
                    f"a scored layer is used once in a forward pass; {path!r} was used several times; "
                    "give each use a module of its own, or choose another layer"
                )
            if isinstance(first, Tensor) and first.is_inference():
                raise LayerError(
                    f"a scored layer runs outside of inference mode; {path!r} runs inside; call the network under "
                    "torch.no_grad, not under torch.inference_mode, and remove that from its forward"
                )
            self.layouts[path] = layout = self._layouts.of(layer, first)
            self.masks[path] = self._layouts.mask(layer, layout, first)
            if isinstance(output, tuple):
                self.tuples.add(path)
            if isinstance(output, tuple) or _shares(first, [*arguments, *named.values()]):
                first = first.clone()  # others may read what the module gave, or write to it
            kept = first if first.requires_grad else first.detach().requires_grad_()
            self.raw.setdefault(path, []).append(kept)
            onward = kept
            if self._copies:  # the next module may work in place, as nn.ReLU(inplace=True) does
                with torch.enable_grad():
                    onward = kept.clone()
            self._written.append((kept, kept._version))
            self._layouts.hand_on(own, onward)
            return (onward, *output[1:]) if isinstance(output, tuple) else onward

        return record


def per_unit(values: Float[Tensor, "example unit position"]) -> Float64[Tensor, "example unit"]:
    """Values summed over the positions of each unit, in float64."""
    return values.double()[:, :, 0] if values.shape[2] == 1 else values.sum(dim=2, dtype=torch.float64)


def gradients_at(
    values: Tensor, outputs: Mapping[str, Sequence[Tensor]], *, last: bool = True, create_graph: bool = False
) -> dict[str, list[Tensor]]:
    """Gradients of the sum of values at outputs of layers.

    They are zero at time steps that nothing reads. Raises LayerError for a layer without any.
    """
    flat = [output for parts in outputs.values() for output in parts]
    gradients: Sequence[Tensor | None] = [None] * len(flat)
    if values.requires_grad:
        gradients = torch.autograd.grad(values.sum(), flat, None, not last, create_graph, allow_unused=True)
    rest = iter(gradients)
    by_layer = {}
    for layer, parts in outputs.items():
        own = [next(rest) for _ in parts]
        if all(gradient is None for gradient in own):
            raise no_gradient(layer)
        pairs = zip(own, parts, strict=True)
        by_layer[layer] = [torch.zeros_like(part) if gradient is None else gradient for gradient, part in pairs]
    return by_layer


def no_gradient(layer: str) -> LayerError:
    """Error for a layer without a gradient path to the logits."""
    return LayerError(
        f"a scored layer has a gradient path to the logits; from {layer!r} there is none; choose a layer whose output "
        "the logits depend on, or remove the detach, no_grad or argmax between them"
    )


def check_gradients(gradients: Iterable[Tensor], layer: str, where: str = "at") -> None:
    """Raise LayerError for gradients that are NaN."""
    # the sum of a tensor allocates nothing
    if any(bool(torch.isnan(values.sum())) and bool(torch.isnan(values).any()) for values in gradients):
        raise LayerError(
            f"gradients must be numbers; those {where} {layer!r} are NaN; look for a square root, norm or logarithm of "
            "zero, or a division by zero, between this layer and the logits"
        )


def add(totals: dict[str, Tensor], name: str, more: Tensor) -> None:
    """Add to a named total, which starts at zero."""
    totals[name] = totals[name] + more if name in totals else more


def _shares(output: Tensor, arguments: Any) -> bool:
    """Whether an output lies in the memory of an argument."""
    memory = output.untyped_storage().data_ptr()
    return any(isinstance(value, Tensor) and value.untyped_storage().data_ptr() == memory for value in arguments)


def _wide(values: Tensor) -> Tensor:
    """Half precision as float32, for products."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
