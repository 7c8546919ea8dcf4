"""First-order effects by other gradients than the network's own: smoothed gates, DeepLIFT's rescale rule, secants.

A unit's carried change is the same in all of them; they differ in how it goes on behind the place where units mix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmarks.cheap import joined
from ndg.activations.batches import Batch, compute_batches, fixed
from ndg.gradients.tape import Tape, per_unit
from ndg.importance.methods.fast.carried import Carried
from ndg.interventions.baselines import Neutrals

SMOOTH = 0.4
"""Width of a smoothed gate, as a share of the root mean square of what its channel is given."""

STEP = 0.1
"""How far towards the neutral state of the whole layer a secant's gradient is taken."""

Effects = np.ndarray
"""`[unit, example, logit]`."""


class _Gate(torch.autograd.Function):
    """ReLU, with another factor for its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return value.relu()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None]:
        return above[0] * ctx.saved_tensors[0], None


class Gates(TorchFunctionMode):
    """Sees the ReLUs of a pass, in order, and gives their gradients other factors."""

    def __init__(self, reference: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self._reference = reference
        self.given: list[Tensor] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "").strip("_")
        if name != "relu" or not torch.is_grad_enabled():
            return function(*args, **(kwargs or {}))
        value = args[0].detach()
        self.given.append(value.clone())
        return _Gate.apply(args[0], self._factor(value, len(self.given) - 1))

    def _factor(self, value: Tensor, number: int) -> Tensor:
        if self._reference is None:
            axes = [0, *range(2, value.ndim)]
            width = SMOOTH * value.square().mean(dim=axes, keepdim=True).sqrt()
            return torch.special.ndtr(value / (width + 1e-12))
        apart = value - self._reference[number]
        near = apart.abs() < 1e-6
        steep = (value.relu() - self._reference[number].relu()) / torch.where(near, 1, apart)
        return torch.where(near, (value > 0).to(value), steep)


def smoothed(model: nn.Module, inputs: Tensor, layers: Sequence[str], batch: int = 100) -> Effects:
    """By one backward pass in which a ReLU's gate is open by the normal distribution of what it is given: its mean
    slope over small changes of either sign."""
    return _modified(model, inputs, layers, batch, blank=False)


def rescaled(model: nn.Module, inputs: Tensor, layers: Sequence[str], batch: int = 100) -> Effects:
    """By one backward pass in which a ReLU's slope is the one from a blank input's value to this one's."""
    return _modified(model, inputs, layers, batch, blank=True)


def _modified(model: nn.Module, inputs: Tensor, layers: Sequence[str], batch: int, blank: bool) -> Effects:
    parts = []
    with fixed(model, 1, grad=True), Tape(model, layers) as tape, Carried(model, tape, layers, Neutrals("zero")) as to:
        reference = None
        if blank:
            with Gates() as seen:
                tape.run(torch.zeros_like(inputs[:1]))
            reference = seen.given
        for one in compute_batches([inputs], batch):
            with Gates(reference):
                logits = to.run(one)
            parts.append(_effects(to, logits, layers, one))
    return np.concatenate(parts, axis=1)


def _effects(to: Carried, logits: Tensor, layers: Sequence[str], one: Batch) -> Effects:
    found = []
    for value in logits.unbind(dim=1):
        above = to.gradients(value, last=False)
        found.append(joined(per_unit(above[layer] * to.changes[layer])[: one.count] for layer in layers))
    return np.stack(found, axis=2)


class _Towards(TorchFunctionMode):
    """Counts what is computed, and takes one of it a step towards its neutral state."""

    def __init__(self, at: int | None = None, change: Tensor | None = None) -> None:
        super().__init__()
        self._at, self._change = at, change
        self._kept: list[Tensor] = []
        self.leaf: Tensor | None = None

    def number(self, value: Tensor) -> int:
        """When it was computed, last."""
        return max(place for place, one in enumerate(self._kept) if one is value)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        property_ = getattr(function, "__name__", "") in ("__get__", "requires_grad_")
        if not torch.is_grad_enabled() or not isinstance(found, Tensor) or property_ or not found.requires_grad:
            return found
        if self._change is not None and len(self._kept) == self._at:
            found = (found.detach() - STEP * self._change).requires_grad_()
            self.leaf = found
        self._kept.append(found)
        return found


def secants(model: nn.Module, inputs: Tensor, layers: Sequence[str], batch: int = 100) -> Effects:
    """By the gradient a step from the units of a layer towards their neutral states, all at once: for each layer a
    forward and a backward pass of its own."""
    parts = []
    with fixed(model, 1, grad=True), Tape(model, layers) as tape, Carried(model, tape, layers, Neutrals("zero")) as to:
        for one in compute_batches([inputs], batch):
            with _Towards() as seen:
                to.run(one)
            ends = {layer: to.ends(layer)[0] for layer in layers}
            changes = {layer: tape.layouts[layer].broadcast(to.changes[layer], end) for layer, end in ends.items()}
            places = {layer: seen.number(end) for layer, end in ends.items()}
            rows = []
            for layer in layers:
                with _Towards(places[layer], changes[layer]) as step:
                    logits = to.run(one)
                assert step.leaf is not None
                found = [
                    torch.autograd.grad(value.sum(), step.leaf, retain_graph=True)[0] for value in logits.unbind(dim=1)
                ]
                views = [per_unit(to.seen(layer, [gradient * changes[layer]])) for gradient in found]
                rows.append(np.stack([joined([view[: one.count]]) for view in views], axis=2))
            parts.append(np.concatenate(rows))
    return np.concatenate(parts, axis=1)
