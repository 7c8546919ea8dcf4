"""Neutral states that units and inputs are compared with, or held at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch, check_finite, examples_in_batches
from ndg.errors import ConfigError, ShapeError, nearest
from ndg.gradients.neutral import Baselines, check_rereadable, describe
from ndg.gradients.tape import Tape, add
from ndg.interventions.engine import Write, changing
from ndg.units.layout import Layout, View, stack_steps
from ndg.units.readings import Output
from ndg.units.resolve import resolve_layer, visible

Neutral = Shaped[Tensor, "_ _ _"]

POOL = 256
"""Examples from whose activations `resample` draws."""


@dataclass(frozen=True, eq=False)
class Neutrals:
    """Neutral activations of layers, in shapes that broadcast to their views."""

    baselines: Baselines
    means: Mapping[str, View] = field(default_factory=dict)
    pool: Mapping[str, View] = field(default_factory=dict)
    seed: int = 0

    @classmethod
    def read(
        cls, tape: Tape, loader: Iterable[Any], layers: tuple[str, ...], baselines: Baselines, batch: int, seed: int = 0
    ) -> Neutrals:
        """The neutral states of layers.

        A `mean` is over the examples, by position. Passes have `batch` rows; `seed` draws the examples of `resample`.
        """
        if baselines == "mean":
            return cls("mean", _means(tape, loader, layers, batch))
        if baselines == "resample":
            return cls("resample", pool=_pool(tape, loader, layers), seed=seed)
        if isinstance(baselines, Mapping):
            unknown = next((name for name in baselines if name not in layers), None)
            if unknown is not None:
                raise ConfigError(f"baselines are of scored layers; got {unknown!r}; {nearest(unknown, layers)}")
            without = next((layer for layer in layers if layer not in baselines), None)
            if without is not None:
                raise ConfigError(
                    f"baselines by layer name each that is scored; there is none for {without!r}; give it one, such as "
                    "torch.zeros of its units"
                )
        return cls(baselines)

    @property
    def passes(self) -> int:
        """How often each example was passed to find them."""
        return 1 if self.means or self.pool else 0

    @property
    def name(self) -> str:
        return describe(self.baselines, "activation")

    def of(self, layer: str, view: View, layout: Layout, batch: Batch | None = None) -> Neutral:
        """The neutral state of a layer, `[1, unit, position]`.

        One value may stand for all positions; `resample` has a row per example. ShapeError for one that does not fit.
        """
        if self.means:
            return self.means[layer].to(view)
        if self.pool:
            assert batch is not None
            return self.pool[layer].to(view)[self._donors(batch, len(self.pool[layer]))]
        baseline = self.baselines[layer] if isinstance(self.baselines, Mapping) else self.baselines
        if baseline == "zero" if isinstance(baseline, str) else not isinstance(baseline, Tensor):
            value = 0.0 if isinstance(baseline, str) else float(baseline)
            return view.new_full((1, view.shape[1], 1), value)
        assert isinstance(baseline, Tensor)
        if baseline.ndim == 1 and len(baseline) == view.shape[1]:
            return baseline.to(view)[None, :, None]
        try:
            shaped = layout.view(baseline.to(view)[None])
        except (RuntimeError, IndexError):
            shaped = view[:0]
        if shaped.shape[1:] != view.shape[1:] or not len(shaped):
            raise ShapeError(
                f"a baseline has one value per unit of its layer, or the shape of the layer's output for one example; "
                f"{layer!r} has {view.shape[1]} units with {view.shape[2]} positions each, the baseline has shape "
                f"{tuple(baseline.shape)}; give such a tensor, a number, 'zero' or 'mean'"
            )
        return shaped

    def _donors(self, batch: Batch, pool: int) -> Tensor:
        """Number of another example for each row of a batch."""
        numbers = np.array([batch.number(min(row, batch.count - 1)) for row in range(batch.rows)])
        words = seeds.words(self.seed, "resample", examples=numbers, draws=1)[:, 0]
        drawn = (words % np.uint64(pool)).astype(np.int64)
        return torch.from_numpy(np.where(drawn == numbers, (drawn + 1) % pool, drawn))


def changed(tape: Tape, layer: str, neutrals: Neutrals) -> View:
    """Difference of a layer from its neutral state, 0 at padding."""
    view = tape[layer]
    difference = view - neutrals.of(layer, view, tape.layouts[layer])
    return tape.unpadded(layer, difference)


def _means(tape: Tape, loader: Iterable[Any], layers: tuple[str, ...], batch: int) -> dict[str, View]:
    """Mean over the examples of each activation of each layer."""
    check_rereadable(loader, "baselines='mean'")
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    with torch.no_grad():
        for part in examples_in_batches(loader, batch, "mean activations"):
            tape.run(part)
            for layer in layers:
                view, kept = tape[layer][: part.count], tape.kept(layer, part.count)
                check_finite(view, layer, part)
                add(sums, layer, view.sum(dim=0, keepdim=True, dtype=torch.float64))
                there = torch.ones_like(view) if kept is None else kept
                add(counts, layer, there.sum(dim=0, keepdim=True, dtype=torch.float64))
    return {layer: (total / counts[layer].clamp(min=1)).to(tape[layer].dtype) for layer, total in sums.items()}


def _pool(tape: Tape, loader: Iterable[Any], layers: tuple[str, ...]) -> dict[str, View]:
    """Activations of the first examples, from which others take theirs."""
    check_rereadable(loader, "baselines='resample'")
    with torch.no_grad():
        first = next(examples_in_batches(loader, POOL, "examples to take activations from"))
        tape.run(first)
        return {layer: tape[layer][: first.count] for layer in layers}


@dataclass(frozen=True, eq=False)
class NeutralState:
    """Neutral state of a layer in a broadcastable shape.

    Masked tokens stay.
    """

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
