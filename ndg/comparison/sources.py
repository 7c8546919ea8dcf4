"""Mined and held-out bits of a network and its controls."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ndg import extraction, seeds
from ndg.activations.batches import device_of
from ndg.bits.matrix import BitMatrix
from ndg.comparison.inputs import random_inputs
from ndg.comparison.resampling import shuffled_labels
from ndg.extraction import Binarised, ReadingSettings
from ndg.options import RunOptions, old_keywords

TRAINED, FRESH, NOISE, LABELS = "trained", "re-initialised network", "random inputs", "shuffled labels"


@dataclass(frozen=True, eq=False)
class Reinitialised:
    """A re-initialised copy, with names of its redrawn and permuted parameters."""

    model: nn.Module
    drawn: tuple[str, ...]
    permuted: tuple[str, ...]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types for the run log."""
        return {"seed": self.seed, "drawn": len(self.drawn), "permuted": list(self.permuted)}


def reinitialised(model: nn.Module, seed: int) -> Reinitialised:
    """A copy of a network with fresh parameters, drawn by `seed` alone.

    Modules with `reset_parameters` draw new ones and reset their running statistics; other parameters are permuted.
    """
    device, fresh = device_of(model), copy.deepcopy(model).cpu()
    before = {name: parameter.detach().clone() for name, parameter in fresh.named_parameters()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seeds.integer(seed, "reinitialised"))
        for module in reversed(list(fresh.modules())):  # parts before the wholes that set them
            name = "_reset_parameters" if isinstance(module, nn.MultiheadAttention) else "reset_parameters"
            if callable(reset := getattr(module, name, None)):
                reset()
    drawn, permuted = [], []
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            if torch.equal(parameter, before[name]) and bool((parameter != parameter.reshape(-1)[:1]).any()):
                order = seeds.generator(seed, "reinitialised", name).permutation(parameter.numel())
                parameter.copy_(parameter.reshape(-1)[torch.from_numpy(order)].reshape(parameter.shape))
                permuted.append(name)
            else:
                drawn.append(name)
    return Reinitialised(fresh.to(device), tuple(drawn), tuple(permuted), seed)


@dataclass(frozen=True, eq=False)
class Source:
    """Bits of the same nodes on mined and on held-out examples."""

    mined: BitMatrix
    held_out: BitMatrix

    def changed(self, change: Callable[[BitMatrix, int], BitMatrix], seed: int) -> Source:
        """Both sets changed, such as by `shuffled_labels`, with seeds of their own."""
        mined, held_out = seeds.integer(seed, "mined"), seeds.integer(seed, "held out")
        return Source(change(self.mined, mined), change(self.held_out, held_out))


@old_keywords(settings=ReadingSettings, options=RunOptions)
def read(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    like: Binarised | None = None,
    settings: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
) -> Source:
    """Bits of a network on both loaders, with the same thresholds."""
    if like is not None:
        settings = ReadingSettings(max_examples=settings.max_examples)
    mined = extraction.extract(model, train, layers, settings=settings, options=options, like=like)
    return Source(mined, extraction.extract(model, held_out, like=mined, options=options))


@old_keywords(settings=ReadingSettings, options=RunOptions)
def on_noise(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    *,
    like: Binarised,
    vocabulary: int | None = None,
    settings: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
) -> Source:
    """Bits of a network on random inputs, binarised as `like`."""
    mined = random_inputs(train, seeds.integer(options.seed, "mined"), vocabulary)
    judged = random_inputs(held_out, seeds.integer(options.seed, "held out"), vocabulary)
    return read(model, mined, judged, like=like, settings=settings, options=options)


@old_keywords(settings=ReadingSettings, options=RunOptions)
def controls(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    vocabulary: int | None = None,
    settings: ReadingSettings = ReadingSettings(),
    options: RunOptions = RunOptions(),
) -> dict[str, Source]:
    """Bits of a trained network and of its three controls.

    Controls are the re-initialised network, with its own thresholds; random inputs; and shuffled labels.
    """
    how: dict[str, Any] = {"settings": settings, "options": options}
    trained = read(model, train, held_out, None if layers is None else list(layers), **how)
    paths = [layer.name for layer in trained.mined.nodes.layers]
    return {
        TRAINED: trained,
        FRESH: read(reinitialised(model, options.seed).model, train, held_out, paths, **how),
        NOISE: on_noise(model, train, held_out, like=trained.mined, vocabulary=vocabulary, **how),
        LABELS: trained.changed(shuffled_labels, options.seed),
    }
