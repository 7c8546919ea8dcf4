"""Hold units of several layers at their neutral state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from ndg.activations.batches import Batch
from ndg.gradients.tape import Tape
from ndg.interventions.baselines import Neutrals
from ndg.interventions.engine import Write, changing
from ndg.units.layout import Layout, stack_steps
from ndg.units.readings import Output
from ndg.units.resolve import resolve_layer, visible


@dataclass(frozen=True, eq=False)
class NeutralState:
    """Neutral state of a layer in a broadcastable shape; masked tokens stay."""

    layout: Layout
    values: Shaped[Tensor, "_ ..."]
    like: Shaped[Tensor, "_ ..."]
    mask: Bool[Tensor, "row token"] | None

    def write(self, units: Bool[np.ndarray, " unit"]) -> Write:
        """The change that puts these units to the neutral state."""
        places = self.layout.of_units(torch.from_numpy(units).to(self.like.device)[None], self.like)
        return Write(self.layout.unpadded_places(places, self.like, self.mask), self.values)


def neutral_states(
    model: nn.Module, layers: tuple[str, ...], batch: Batch, neutrals: Neutrals
) -> tuple[Output, dict[str, NeutralState]]:
    """Untouched logits of a batch, and each layer's neutral state."""
    states = {}
    with torch.no_grad(), Tape(model, layers) as tape:
        logits = tape.run(batch)
        for layer in layers:
            layout, raw = tape.layouts[layer], tape.raw[layer]
            output = stack_steps(layer, raw) if tape.layers[layer].steps else raw[0]
            neutral = neutrals.of(layer, tape[layer], layout, batch)
            values = layout.broadcast(neutral, output).to(output)
            states[layer] = NeutralState(layout, values, output[:1].detach().clone(), tape.masks[layer])
    return logits, states


@contextmanager
def clamped(
    model: nn.Module, chosen: Mapping[str, Bool[np.ndarray, " _"]], states: Mapping[str, NeutralState]
) -> Iterator[nn.Module]:
    """The network with the chosen units held; no gradient passes them."""
    layers = {layer: resolve_layer(model, layer) for layer, units in chosen.items() if units.any()}
    changes = {layer: states[layer].write(chosen[layer]) for layer in layers}
    with visible(layers.values()), changing(model, changes, layers=layers):
        yield model
