"""Hierarchical equality: is x1 = x2 the same as x3 = x4? (Geiger et al. 2023, section 4.1)

The high-level model has the variables "x1 equals x2" and "x3 equals x4". Each pair is equal with probability 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import fixed
from ndg.errors import ConfigError
from ndg.intervals import rate
from ndg.options import RunOptions
from ndg.results import Result, named
from ndg.rotation.alignment import SearchSettings, best_places, das
from ndg.rotation.basis import DAS, Rotation, localist, random_rotation
from ndg.rotation.interchange import Interchanged, Interchanges, interchanged, leading, locate
from ndg.rotation.principal import pca

WIDTH, HIDDEN, DEPTH = 4, 16, 3
LAYER = "1"
WEIGHT_DECAY = 0.1
"""With much, units of the first layer come to carry one pair of vectors each, and need no rotation; with little, some
trainings mix the pairs so that no directions carry one alone."""
UNTRAINED = "das, untrained network"


@dataclass(frozen=True)
class Effort:
    """Amounts of training, search and evaluation, each on its own inputs."""

    train_steps: int = 5000
    train_batch: int = 1024
    fit_pairs: int = 50_000
    das_steps: int = 4000
    validation_pairs: int = 2000
    places: int = 2000
    held_out_pairs: int = 10_000

    def scaled(self, part: float) -> Effort:
        """All amounts but the training batch, multiplied by `part`."""
        parts = {name: max(round(number * part), 1) for name, number in asdict(self).items() if name != "train_batch"}
        return replace(self, **parts)


@dataclass(frozen=True)
class EqualityResult(Result):
    """IIA in each basis on held-out pairs, and the accuracy."""

    seed: int
    weight_decay: float | int
    examples: int
    correct: int
    interchanged: tuple[Interchanged, ...]

    def __getitem__(self, basis: str) -> Interchanged:
        """Result in a basis, for the first layer."""
        return named(self.interchanged, basis, "basis")

    def rows(self) -> list[dict[str, Any]]:
        """One row per layer and basis."""
        task = rate("accuracy", self.correct, self.examples)
        return [
            {**self._trained, **basis.row(), **(task if basis.basis != UNTRAINED else {})}
            for basis in self.interchanged
        ]

    def context(self) -> dict[str, Any]:
        return {**self._trained, "examples": self.examples, "correct": self.correct}

    @property
    def _trained(self) -> dict[str, Any]:
        return {"seed": self.seed, "weight_decay": self.weight_decay}

    def words(self) -> str:
        """IIA of learned directions and controls, in one sentence per layer."""
        sentences = []
        for layer in dict.fromkeys(result.layer for result in self.interchanged):
            rate = {by.basis: by.correct / by.pairs for by in self.interchanged if by.layer == layer}
            sentences.append(
                f"Layer {layer}: learned directions reach an IIA of {rate[DAS]:.3f}, as many units "
                f"{rate['localist']:.3f}, principal components {rate['pca']:.3f}, a random rotation "
                f"{rate['random']:.3f}, learned directions of an untrained network {rate[UNTRAINED]:.3f}."
            )
        return " ".join(sentences)


def hierarchical_equality(
    seed: int = 0,
    layers: Sequence[str] = (LAYER,),
    effort: Effort | None = None,
    weight_decay: float | int = WEIGHT_DECAY,
    threads: int = 1,
) -> EqualityResult:
    """Train a network on the task and measure IIA in five bases.

    Each variable gets half of a layer's units. Layers `1`, `3` and `5` of `network` are the outputs of its ReLUs.
    """
    effort = effort or Effort()
    untrained = network(seed)
    model = trained(seed, effort.train_steps, effort.train_batch, weight_decay, threads)
    fit = interchanges(seed, "fit", effort.fit_pairs)
    validation = interchanges(seed, "validation", effort.validation_pairs)
    held_out = interchanges(seed, "held out", effort.held_out_pairs)
    sizes = (HIDDEN // 2, HIDDEN // 2)
    results = []
    search_settings, options = SearchSettings(effort.das_steps), RunOptions(seed=seed, threads=threads)
    for layer in layers:
        search, judge = locate(model, layer, validation), locate(model, layer, held_out)
        bases = [localist(layer, HIDDEN), pca(model, [fit.base], layer), random_rotation(layer, HIDDEN, seed)]
        for basis in bases:
            places = best_places(search, basis, sizes, seed=seed, most=effort.places, threads=threads)
            results.append(interchanged(judge, basis, places, threads=threads))
        for name, subject in ((DAS, model), (UNTRAINED, untrained)):
            learned = das(subject, layer, fit, sizes, settings=search_settings, options=options)
            named = Rotation.about_zero(layer, learned.matrix, name)
            results.append(interchanged(locate(subject, layer, held_out), named, leading(sizes), threads=threads))
    inputs, equal = examples(seed, "examples", effort.held_out_pairs)
    with fixed(model, threads):
        correct = int((model(torch.from_numpy(inputs)).argmax(dim=1) == _label(equal)).sum())
    return EqualityResult(seed, weight_decay, len(inputs), correct, tuple(results))


def examples(
    seed: int, purpose: str, count: int, start: int = 0
) -> tuple[Float32[np.ndarray, "example input"], Bool[np.ndarray, "example variable"]]:
    """Four vectors per example, and equality of both pairs."""
    if count < 1:
        raise ConfigError(f"hierarchical equality needs at least 1 example; got {count}")
    index = np.arange(start, start + count, dtype=np.int64)
    drawn = seeds.words(seed, "equality", purpose, examples=index, draws=4 * WIDTH + 2)
    equal = drawn[:, -2:] >> np.uint64(63) == 1
    uniform = (drawn[:, :-2] >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    vectors = uniform.reshape(count, 4, WIDTH)
    for variable in (0, 1):
        same = equal[:, variable]
        vectors[same, 2 * variable + 1] = vectors[same, 2 * variable]
    return vectors.reshape(count, 4 * WIDTH), equal


def interchanges(seed: int, purpose: str, pairs: int) -> Interchanges:
    """Pairs that swap the first, the second or both variables."""
    base, equal = examples(seed, f"{purpose} base", pairs)
    inputs, taken = zip(*(examples(seed, f"{purpose} source {variable}", pairs) for variable in (0, 1)), strict=True)
    index = np.arange(pairs, dtype=np.int64)
    which = seeds.words(seed, "equality", f"{purpose} swapped", examples=index, draws=1)[:, 0] % np.uint64(3)
    swapped = np.stack([which != 1, which != 0], axis=1)
    after = np.where(swapped, np.stack([source[:, variable] for variable, source in enumerate(taken)], axis=1), equal)
    sources = torch.stack([torch.from_numpy(source) for source in inputs])
    return Interchanges(torch.from_numpy(base), sources, torch.from_numpy(swapped), _label(after), _label(equal))


def network(seed: int) -> nn.Sequential:
    """An untrained dense network with three hidden layers of 16 ReLUs."""
    widths = [4 * WIDTH, *[HIDDEN] * DEPTH]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "equality", "network"))
        hidden = [part for narrow, wide in pairwise(widths) for part in (nn.Linear(narrow, wide), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(HIDDEN, 2))


def trained(
    seed: int, steps: int, batch: int = 1024, weight_decay: float | int = WEIGHT_DECAY, threads: int = 1
) -> nn.Sequential:
    """The network after `steps` steps of AdamW on new inputs."""
    model = network(seed)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=weight_decay)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    with fixed(model, threads, grad=True):
        for step in range(steps):
            inputs, equal = examples(seed, "train", batch, start=step * batch)
            loss = F.cross_entropy(model(torch.from_numpy(inputs)), _label(equal))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
    return model


def _label(equal: Bool[np.ndarray, "example variable"]) -> Tensor:
    """Label 1 where both variables are equal."""
    return torch.from_numpy((equal[:, 0] == equal[:, 1]).astype(np.int64))
