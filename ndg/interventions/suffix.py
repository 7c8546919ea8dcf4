"""The part of a network after a layer, and its parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ndg.activations.batches import bare, by_name, columns, compute_batches, fixed, forward, join, rows_of
from ndg.activations.hooks import Trace
from ndg.errors import DataError, LayerError
from ndg.gradients.autograd import gradients_of
from ndg.interventions.engine import Engine, Prefix
from ndg.interventions.replay import Recorded


@dataclass(frozen=True, eq=False)
class Suffix:
    """The part of a network after a layer.

    Where nothing else reaches it (`recorded`), `inputs` are any; elsewhere those of all examples, kept in memory.
    """

    model: nn.Module
    layer: str
    inputs: dict[str, Tensor]
    recorded: Recorded | None

    @classmethod
    def of(cls, model: nn.Module, layer: str, loader: Iterable[Any], rows: int) -> Suffix:
        """The part after a layer, for at most `rows` examples at once."""
        probe = next(compute_batches(loader, rows), None)
        if probe is None:
            raise DataError("the rest of a network is run on at least one example; the loader gave none")
        first = by_name(probe.inputs)
        with Engine(model, [layer]).recording(probe.inputs) as prefix, fixed(model), Trace(model, [layer]) as trace:
            forward(model, probe.inputs)
            latents = trace[layer]
        flipped = {name: column.flip(0) for name, column in first.items()}
        ways = [cls(model, layer, inputs, None) for inputs in (first, flipped)]
        everyone = torch.arange(rows)
        with fixed(model):
            alone = torch.equal(*(way.logits(latents, everyone) for way in ways))
        if alone and any(not torch.equal(column, flipped[name]) for name, column in first.items()):
            return cls(model, layer, first, prefix.recorded)
        inputs = join(list(map(columns, loader)))
        inputs.pop("labels", None)
        return cls(model, layer, inputs, None)

    def logits(self, latents: Float[Tensor, "row unit"], examples: Int64[Tensor, " row"]) -> Float[Tensor, "row label"]:
        """Logits for latents on these examples.

        Gradients flow behind the layer alone.
        """
        grad = torch.is_grad_enabled()

        def change(output: Tensor) -> Tensor:
            torch.set_grad_enabled(grad)
            return latents

        rows: Tensor | None = examples
        if self.recorded is not None:
            rows = None if len(latents) == rows_of(self._prefix.inputs) else torch.arange(len(latents))
        with torch.no_grad(), self._engine.changed_pass(self._prefix, {self.layer: change}, rows) as inputs:
            return forward(self.model, inputs)

    @cached_property
    def _engine(self) -> Engine:
        return Engine(self.model, [self.layer])

    @cached_property
    def _prefix(self) -> Prefix:
        return Prefix(bare(self.inputs), self.recorded or {})

    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters that act only after the layer; LayerError without any."""
        inputs = {name: column[:2] for name, column in self.inputs.items()}
        everything = dict(self.model.named_parameters())
        flags = {name: parameter.requires_grad for name, parameter in everything.items()}
        try:
            self.model.requires_grad_(True)
            with fixed(self.model, grad=True), Trace(self.model, [self.layer]) as trace:
                forward(self.model, bare(inputs))
                latents = trace[self.layer]
                before = _used(latents, everything)
            with fixed(self.model, grad=True):
                here = Suffix(self.model, self.layer, inputs, None)
                after = _used(here.logits(latents.detach(), torch.arange(len(latents))), everything)
        finally:
            for name, parameter in everything.items():
                parameter.requires_grad_(flags[name])
        trained = {name: parameter for name, parameter in everything.items() if name in after - before}
        if not trained:
            raise LayerError(
                f"what comes after the layer is trained; no parameter acts after {self.layer!r} and not before it; "
                "choose an earlier layer"
            )
        return trained


def _used(output: Tensor, parameters: dict[str, nn.Parameter]) -> set[str]:
    """Names of the parameters that an output depends on."""
    if not output.requires_grad:
        return set()
    grads = gradients_of(output.sum(), list(parameters.values()), allow_unused=True)
    return {name for name, grad in zip(parameters, grads, strict=True) if grad is not None}
