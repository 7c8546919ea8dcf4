"""Bits of a network on examples to mine and on examples to judge by, with their controls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ndg import extraction, seeds
from ndg.bits.matrix import BitMatrix
from ndg.comparison.inputs import random_inputs
from ndg.comparison.networks import reinitialised
from ndg.comparison.resampling import paired_anew, shuffled_labels
from ndg.extraction import Binarised, ReadingSettings
from ndg.options import RunOptions, old_keywords

TRAINED, FRESH, NOISE, LABELS = (
    "trained",
    "re-initialised network",
    "random inputs",
    "shuffled labels",
)


@dataclass(frozen=True, eq=False)
class Source:
    """Booleans of the same nodes on the examples that a graph is mined from, and on others held out."""

    mined: BitMatrix
    held_out: BitMatrix

    def paired_anew(self, seed: int) -> Source:
        """Both sets of examples, each example in the place of another one."""
        return Source(
            paired_anew(self.mined, seeds.integer(seed, "mined")),
            paired_anew(self.held_out, seeds.integer(seed, "held out")),
        )

    def shuffled_labels(self, seed: int) -> Source:
        """Both sets of examples, each with the labels of other examples."""
        return Source(
            shuffled_labels(self.mined, seeds.integer(seed, "mined")),
            shuffled_labels(self.held_out, seeds.integer(seed, "held out")),
        )


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
    """The bits of a network on both loaders, binarised alike; with `like`, as those bits were.

    The other arguments are those of `ndg.extract`; `max_examples` bounds the examples of `train`.
    """
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
    """The bits of a network on random inputs in the range of each loader's, binarised as `like` was."""
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
    """The bits of a trained network, of the same network re-initialised, of random inputs, and with shuffled labels.

    The re-initialised network is read at the same layers and binarised by the same rule, with thresholds of its own
    where these are fitted. Random inputs and shuffled labels are binarised as the trained network's are.
    """
    trained = read(model, train, held_out, None if layers is None else list(layers), settings=settings, options=options)
    paths = [layer.name for layer in trained.mined.nodes.layers]
    fresh = reinitialised(model, options.seed).model
    noise = on_noise(
        model, train, held_out, like=trained.mined, vocabulary=vocabulary, settings=settings, options=options
    )
    return {
        TRAINED: trained,
        FRESH: read(fresh, train, held_out, paths, settings=settings, options=options),
        NOISE: noise,
        LABELS: trained.shuffled_labels(options.seed),
    }
