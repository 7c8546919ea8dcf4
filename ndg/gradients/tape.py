"""Outputs of several layers in one pass, and the gradients at all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from ndg.activations.batches import Batch, Inputs, forward, rows_of
from ndg.activations.hooks import find_modules
from ndg.errors import LayerError
from ndg.units.heads import unfused
from ndg.units.layout import Layout, Layouts, View, stack_steps
from ndg.units.readings import Mask, Output
from ndg.units.resolve import Layer, resolve_layer, visible


class Tape:
    """`with Tape(model, ["fc1"]) as tape: logits = tape.run(inputs); tape["fc1"]; tape.gradients(logits[:, 3])`.

    A layer is seen as `[example, unit, position]`, see `ndg.units.layout`; with `each` every position is a unit.
    Parameters need no gradient and get none. The logits are those of the bare network to the last bit. Without `copies`
    the network gets the outputs themselves, until it is seen to write to one.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str], *, each: bool = False, copies: bool = True) -> None:
        self._model, self._copies = model, copies
        self.layers: dict[str, Layer] = {path: resolve_layer(model, path) for path in layers}
        self._stack = ExitStack()
        self._found = Layouts(model, each=each)
        self._outputs: dict[str, list[Output]] = {}
        self._written: list[tuple[Output, int]] = []
        self._masks: dict[str, Mask | None] = {}
        self._tuples: set[str] = set()
        self.layouts: dict[str, Layout] = {}

    def __enter__(self) -> Tape:
        self._stack.enter_context(unfused())
        self._stack.enter_context(self._found)
        self._stack.enter_context(visible(self.layers.values()))
        for path, module in find_modules(self._model, self.layers).items():
            handle = module.register_forward_hook(self._record(self.layers[path]), with_kwargs=True)
            self._stack.callback(handle.remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._outputs.clear()
        self._written.clear()

    def run(self, inputs: Inputs | Batch) -> Float[Tensor, "example logit"]:
        """The logits of inputs, or of a batch; LayerError when a layer was not used exactly once, or has no units."""
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
        self._outputs.clear()
        self._written.clear()
        self._found.begin(batch)
        logits = forward(self._model, batch.inputs)
        for layer in self.layers:
            if layer not in self._outputs:
                raise LayerError(
                    f"a scored layer is used once in a forward pass; {layer!r} was not used; "
                    "choose a layer on the way from inputs to logits"
                )
        return logits

    def __getitem__(self, layer: str) -> View:
        """The layer's output in the latest pass, apart from the graph of gradients; zero at padded tokens."""
        return self._view(layer, [output.detach() for output in self._outputs[layer]])

    def connected(self, layer: str) -> View:
        """The same within the graph of gradients."""
        return self._view(layer, self._outputs[layer])

    def raw(self, layer: str) -> list[Output]:
        """The layer's outputs in the latest pass as they were, in the graph of gradients: one, or one per time step."""
        return self._outputs[layer]

    def alone(self, layer: str) -> bool:
        """Whether the layer returns its output alone, in no tuple."""
        return layer not in self._tuples

    def mask(self, layer: str) -> Mask | None:
        """Which tokens are no padding, where the layer has tokens and some are."""
        return self._masks[layer]

    def unpadded(self, layer: str, view: View) -> View:
        """A view of a layer with nothing at padded tokens."""
        kept = self.kept(layer)
        return view if kept is None else view.masked_fill(~kept, 0)

    def kept(self, layer: str) -> Bool[Tensor, "example unit position"] | None:
        """What of a view is no padding, where not all is."""
        if self._masks[layer] is None:
            return None
        return self._view(layer, [torch.ones_like(output) for output in self._outputs[layer]]) != 0

    def gradients(
        self, values: Float[Tensor, " example"], *, last: bool = True, create_graph: bool = False, checked: bool = True
    ) -> dict[str, View]:
        """Gradient of each example's value at each layer's output of that example.

        Examples do not see each other in evaluation mode, so one backward pass of the sum gives them all. `last` frees
        the graph. Raises LayerError for a layer from which no gradient path leads to the logits, or whose gradient is
        not a number, if that is to be `checked`.
        """
        flat = [(layer, output) for layer, outputs in self._outputs.items() for output in outputs]
        found: Sequence[Tensor | None] = [None] * len(flat)
        if values.requires_grad:
            try:
                found = torch.autograd.grad(
                    values.sum(),
                    [output for _, output in flat],
                    retain_graph=not last,
                    create_graph=create_graph,
                    allow_unused=True,
                )
            except RuntimeError as error:
                if "modified by an inplace operation" not in str(error):
                    raise
                raise LayerError(
                    f"gradients at {', '.join(map(repr, self._outputs))} need values that the network has overwritten; "
                    "it works in place where it cannot be trained either; remove that, or take method='ablation'"
                ) from error
        by_layer: dict[str, list[Tensor | None]] = {}
        for (layer, _), gradient in zip(flat, found, strict=True):
            by_layer.setdefault(layer, []).append(gradient)
        return {layer: self._view(layer, self._led(layer, parts, checked)) for layer, parts in by_layer.items()}

    def _led(self, layer: str, gradients: list[Tensor | None], checked: bool) -> list[Tensor]:
        """The gradients of a layer; those of a time step that nothing reads are zero."""
        if all(one is None for one in gradients):
            raise LayerError(
                f"a scored layer has a gradient path to the logits; from {layer!r} there is none; choose a layer "
                "whose output the logits depend on, or remove the detach, no_grad or argmax between them"
            )
        found = [
            torch.zeros_like(output) if gradient is None else gradient
            for gradient, output in zip(gradients, self._outputs[layer], strict=True)
        ]
        if checked:
            check_gradients(found, layer)
        return found

    def _view(self, layer: str, parts: list[Output]) -> View:
        mask = self._masks[layer]
        wide = [_wide(part) for part in parts]
        output = stack_steps(layer, wide, mask) if self.layers[layer].steps else wide[0]
        return self.layouts[layer].view(output, mask)

    def _record(self, layer: Layer) -> Callable[[nn.Module, Any, Any, Any], Any]:
        path = layer.path

        def record(module: nn.Module, arguments: Any, named: Any, output: Any) -> Any:
            given = first = output[0] if isinstance(output, tuple) and output else output
            if path in self._outputs and not layer.steps:
                raise LayerError(
                    f"a scored layer is used once in a forward pass; {path!r} was used several times; "
                    "give each use a module of its own, or choose another layer"
                )
            self.layouts[path] = layout = self._found.of(layer, first)
            self._masks[path] = self._found.mask(layer, layout, first)
            if isinstance(output, tuple):
                self._tuples.add(path)
            if isinstance(output, tuple) or _shares(first, [*arguments, *named.values()]):
                first = first.clone()  # others may read what the module gave, or write to it
            kept = first if first.requires_grad else first.detach().requires_grad_()
            self._outputs.setdefault(path, []).append(kept)
            onward = kept
            if self._copies:  # the next module may work in place, as nn.ReLU(inplace=True) does
                with torch.enable_grad():
                    onward = kept.clone()
            self._written.append((kept, kept._version))
            self._found.hand_on(given, onward)
            return (onward, *output[1:]) if isinstance(output, tuple) else onward

        return record


def per_unit(values: Float[Tensor, "example unit position"]) -> Float64[Tensor, "example unit"]:
    """Values summed over the positions of each unit, in float64."""
    return values.double()[:, :, 0] if values.shape[2] == 1 else values.sum(dim=2, dtype=torch.float64)


def check_gradients(found: Iterable[Tensor], layer: str, where: str = "at") -> None:
    """Raise LayerError for gradients that are NaN, which the network makes of activations and weights that are not."""
    if any(bool(torch.isnan(one.sum())) and bool(torch.isnan(one).any()) for one in found):  # a sum allocates nothing
        raise LayerError(
            f"gradients must be numbers; those {where} {layer!r} are NaN; look for a square root, norm or logarithm of "
            "zero, or a division by zero, between this layer and the logits"
        )


def add(totals: dict[str, Tensor], name: str, more: Tensor) -> None:
    """Add to the total of that name, which starts at zero."""
    totals[name] = totals[name] + more if name in totals else more


def _shares(output: Tensor, arguments: Any) -> bool:
    """Whether an output lies in the memory of an argument."""
    memory = output.untyped_storage().data_ptr()
    return any(isinstance(one, Tensor) and one.untyped_storage().data_ptr() == memory for one in arguments)


def _wide(values: Tensor) -> Tensor:
    """Half precision as float32, so that products do not lose more."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
