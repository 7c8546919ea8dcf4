"""Training on real examples and counterfactual ones in turn."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import Batch, compute_batches, device_of, fixed, forward
from ndg.activations.hooks import Trace
from ndg.activations.labels import true_labels
from ndg.activations.sampling import shuffled
from ndg.counterfactual.counterfactual_set import CounterfactualSet
from ndg.counterfactual.generate import counterfactual_set
from ndg.errors import ConfigError, DataError, FailureError
from ndg.graph.ndg import NDG
from ndg.interventions.suffix import Suffix
from ndg.options import RunOptions, plain_numbers
from ndg.probe import taking

TRAIN, VALIDATION = "train", "validation"
AFTER, REAL_ONLY = "after", "real only"
"""After counterfactual training; after training on real examples alone, as a control."""
SAME = 1e-5
"""Largest difference of latents, relative to the largest latent, between equal examples."""


@dataclass(frozen=True)
class CounterfactualSettings:
    """Settings of counterfactual training.

    epochs         largest number of epochs
    learning_rate  of Adam
    mix            share of the counterfactual examples in the loss, from 0 to 1
    rows           examples of one step, each seen twice
    patience       epochs without a lower validation loss that end the training

    Raises ConfigError for values out of range.
    """

    epochs: int = 20
    learning_rate: float | int = 1e-3
    mix: float | int = 0.5
    rows: int = 128
    patience: int = 3

    def __post_init__(self) -> None:
        plain_numbers(self)
        if not 0 <= self.mix <= 1:
            raise ConfigError(f"mix is the share of counterfactual examples in the loss, from 0 to 1; got {self.mix}")
        if min(self.epochs, self.rows, self.patience) < 1 or not 0 < self.learning_rate < math.inf:
            raise ConfigError(
                f"counterfactual training needs at least 1 epoch, row and epoch of patience and a rate above 0; got "
                f"{self}"
            )


@dataclass(frozen=True)
class Epoch:
    """Mean losses (nats) of an epoch.

    Epoch 0 is the original network.
    """

    number: int
    train_loss: float | None
    validation_loss: float


def train_copies(
    model: nn.Module,
    graph: NDG,
    data: CounterfactualSet,
    loaders: Mapping[str, Iterable[Any]],
    settings: CounterfactualSettings,
    options: RunOptions,
) -> tuple[dict[str, nn.Module], dict[str, tuple[Epoch, ...]]]:
    """Networks and losses by stage: `after` and the control `real only`.

    Raises what `ndg.workflows.counterfactual.train_on` does.
    """
    if not {TRAIN, VALIDATION} <= set(loaders) or any(map(shuffled, loaders.values())):
        raise DataError(
            "counterfactual training needs loaders of train and validation in a fixed order; got "
            f"{', '.join(loaders) or 'none'}; add the split, or make the DataLoader with shuffle=False"
        )
    data.check(model, graph)
    _check_examples(model, data, loaders[TRAIN], options)
    origin = data.origin
    validation = counterfactual_set(
        model,
        graph,
        loaders[VALIDATION],
        origin.intervention,
        layer=origin.layer,
        options=replace(options, seed=origin.seed),
        any_network=True,
    )
    networks, histories = {}, {}
    for stage, share in ((AFTER, settings.mix), (REAL_ONLY, 0.0)):
        plan = replace(settings, mix=share)
        networks[stage], histories[stage] = _fitted(model, data, validation, loaders, plan, options)
    return networks, histories


def _check_examples(model: nn.Module, data: CounterfactualSet, loader: Iterable[Any], options: RunOptions) -> None:
    """Raise DataError unless a loader holds the examples of the data."""
    true, seen = [], 0
    ends: list[Batch] = []  # the first and the last compute batch
    for batch in compute_batches(loader, options.batch):
        if batch.labels is None:
            raise DataError("counterfactual training needs the true labels; pass a loader of (inputs, labels)")
        true.append(true_labels(batch.labels, batch.count, data.origin.labels).numpy())
        seen, ends[1:] = seen + batch.count, [batch]
    largest = max((_difference(model, data, batch, options) for batch in ends), default=0.0)
    if seen != len(data):
        raise _other_examples(f"{len(data):,} examples, but the loader of train has {seen:,}")
    if wrong := int((np.concatenate(true) != data.true).sum()):
        raise _other_examples(f"their true classes, but {wrong:,} of the loader of train differ")
    if not largest <= SAME:
        raise _other_examples(f"their latents, but those of the loader of train differ by up to {largest:.2g}")


def _difference(model: nn.Module, data: CounterfactualSet, batch: Batch, options: RunOptions) -> float:
    """Largest difference of the latents of a batch, relative to the largest latent."""
    layer = data.origin.layer
    with fixed(model, options.threads), Trace(model, [layer]) as trace, taking(model, batch.inputs):
        forward(model, batch.inputs)
        latents = trace[layer][: batch.count].float().cpu().numpy()
    expected = data.latents[batch.start : batch.start + batch.count]
    if latents.shape != expected.shape:
        return math.inf
    return float(np.abs(latents - expected).max() / max(1.0, float(np.abs(expected).max())))


def _other_examples(difference: str) -> DataError:
    return DataError(
        f"counterfactual data go with the examples that they were made from: {difference}; pass the same loader"
    )


def _fitted(
    model: nn.Module,
    data: CounterfactualSet,
    validation: CounterfactualSet,
    loaders: Mapping[str, Iterable[Any]],
    plan: CounterfactualSettings,
    options: RunOptions,
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    """The trained copy at its best epoch, and all losses."""
    network = copy.deepcopy(model)
    mix, threads = plan.mix, options.threads
    layer, device = data.origin.layer, device_of(model)
    seen, held = (Suffix.of(network, layer, loaders[split], 2 * plan.rows) for split in (TRAIN, VALIDATION))
    if seen.recorded is None and (count := len(next(iter(seen.inputs.values())))) != len(data):
        raise _other_examples(f"{len(data):,} examples, but the loader of train has {count:,}")
    flags = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    trained = seen.parameters()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)
    optimizer = torch.optim.Adam(trained.values(), lr=plan.learning_rate)
    training, validating = _Columns.of(data, device), _Columns.of(validation, device)
    history = [Epoch(0, None, validating.loss(held, mix, plan.rows, threads))]
    best = {name: parameter.detach().clone() for name, parameter in trained.items()}
    while len(history) <= plan.epochs and len(history) - 1 - _best(history) < plan.patience:
        number = len(history)
        order = torch.from_numpy(seeds.generator(options.seed, "counterfactual order", number).permutation(len(data)))
        total = 0.0
        with fixed(network, threads, grad=True):
            for examples in order.split(plan.rows):
                loss = training.part(seen, examples, mix)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(examples)
        history.append(Epoch(number, total / len(data), validating.loss(held, mix, plan.rows, threads)))
        if not math.isfinite(history[-1].validation_loss):
            raise FailureError(f"the loss of epoch {number} is not finite; lower the learning rate")
        if _best(history) == number:
            best = {name: parameter.detach().clone() for name, parameter in trained.items()}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(flags[name]).grad = None
            if name in best:
                parameter.copy_(best[name])
    return network, tuple(history)


def _best(history: list[Epoch]) -> int:
    """The first epoch with the lowest validation loss."""
    return int(np.argmin([epoch.validation_loss for epoch in history]))


@dataclass(frozen=True, eq=False)
class _Columns:
    """Real and written latents with their classes."""

    latents: Float[Tensor, "kind example unit"]
    classes: Int64[Tensor, "kind example"]

    @classmethod
    def of(cls, data: CounterfactualSet, device: torch.device) -> _Columns:
        latents = np.stack([data.latents, data.booleans.astype(np.float32)])
        classes = np.stack([data.true, data.alternative])
        return cls(torch.from_numpy(latents).to(device), torch.from_numpy(classes).to(device))

    def part(self, rest: Suffix, examples: Int64[Tensor, " row"], mix: float | int) -> Float[Tensor, ""]:
        """Mean loss of some examples, real and counterfactual (nats)."""
        logits = rest.logits(self.latents[:, examples].flatten(0, 1), examples.repeat(2))
        real, written = map(F.cross_entropy, logits.split(len(examples)), self.classes[:, examples])
        return (1 - mix) * real + mix * written

    def loss(self, rest: Suffix, mix: float | int, rows: int, threads: int) -> float:
        """Mean loss of all examples (nats)."""
        total = 0.0
        with fixed(rest.model, threads):
            for examples in torch.arange(self.classes.shape[1]).split(rows):
                total += self.part(rest, examples, mix).item() * len(examples)
        return total / self.classes.shape[1]
