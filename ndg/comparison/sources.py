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
from ndg.extraction import Binarised

TRAINED, FRESH, NOISE, LABELS = (
    "trained",
    "re-initialised network",
    "random inputs",
    "shuffled labels",
)
PASSED_ON = ("batch", "threads", "executor", "ray_address", "timeout", "max_examples")
"""Settings of an extraction that stand beside `like`."""


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


def read(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    like: Binarised | None = None,
    seed: int = 0,
    **reading: Any,
) -> Source:
    """The bits of a network on both loaders, binarised alike; with `like`, as those bits were.

    The other arguments are those of `ndg.extract`; `max_examples` bounds the examples of `train`.
    """
    passed = {key: reading[key] for key in PASSED_ON if key in reading}
    if like is None:
        mined = extraction.extract(model, train, layers, seed=seed, **reading)
    else:
        mined = extraction.extract(model, train, like=like, seed=seed, **passed)
    passed.pop("max_examples", None)
    return Source(mined, extraction.extract(model, held_out, like=mined, **passed))


def on_noise(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    *,
    like: Binarised,
    seed: int = 0,
    vocabulary: int | None = None,
    **reading: Any,
) -> Source:
    """The bits of a network on random inputs in the range of each loader's, binarised as `like` was."""
    mined = random_inputs(train, seeds.integer(seed, "mined"), vocabulary)
    judged = random_inputs(held_out, seeds.integer(seed, "held out"), vocabulary)
    return read(model, mined, judged, like=like, seed=seed, **reading)


def controls(
    model: nn.Module,
    train: Iterable[Any],
    held_out: Iterable[Any],
    layers: Iterable[str] | None = None,
    *,
    seed: int = 0,
    vocabulary: int | None = None,
    **reading: Any,
) -> dict[str, Source]:
    """The bits of a trained network, of the same network re-initialised, of random inputs, and with shuffled labels.

    The re-initialised network is read at the same layers and binarised by the same rule, with thresholds of its own
    where these are fitted. Random inputs and shuffled labels are binarised as the trained network's are.
    """
    asked = None if layers is None else list(layers)
    trained = read(model, train, held_out, asked, seed=seed, **reading)
    paths = [layer.name for layer in trained.mined.nodes.layers]
    fresh = reinitialised(model, seed).model
    return {
        TRAINED: trained,
        FRESH: read(fresh, train, held_out, paths, seed=seed, **reading),
        NOISE: on_noise(model, train, held_out, like=trained.mined, seed=seed, vocabulary=vocabulary, **reading),
        LABELS: trained.shuffled_labels(seed),
    }
