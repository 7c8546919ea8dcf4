"""Training of a network towards votes: interchange intervention training (Geiger et al. 2022, 2112.00826).

Each step sees real examples with their true classes, and as many hybrids of them (3/4 mixes, 1/4 independent) with the
labels that the votes give the booleans of these hybrids. The layer may be binary: its units give one value off and one
on, with straight-through gradients.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ndg import seeds
from ndg.activations.batches import compute_batches, device_of, fixed, forward, no_examples
from ndg.activations.hooks import Trace, find_layer
from ndg.activations.labels import true_labels
from ndg.activations.sampling import count
from ndg.bits.matrix import BitMatrix
from ndg.causal.recombination import passes_like
from ndg.errors import ConfigError, DataError, FailureError, LayerError
from ndg.graph.votes import Votes
from ndg.interventions.substitution import by_layer
from ndg.interventions.suffix import Suffix
from ndg.models.binary import make_binary
from ndg.options import RunOptions, plain_numbers

MOST_BYTES = 2**31
"""Activations of all training examples that are kept in memory."""


@dataclass(frozen=True)
class FaithfulSettings:
    """How a network is trained towards votes, and judged.

    steps          optimiser steps
    rows           real examples of a step, and hybrids
    learning_rate  of Adam at the first step; it falls to 0 along a cosine
    hybrids        weight of the hybrids' loss beside that of the real examples
    frozen         whether nothing up to the layer is trained: loses less accuracy where examples are few
    per_label      votes of each label that are mined again
    fit            hybrids to which votes are fitted
    pairs          held-out pairs on which interchange accuracy is measured
    examples       examples, drawn by the seed, from which these hybrids and pairs are made

    Raises ConfigError for numbers outside their range.
    """

    steps: int = 3000
    rows: int = 128
    learning_rate: float = 1e-3
    hybrids: float = 1.0
    frozen: bool = False
    per_label: int = 10
    fit: int = 20_000
    pairs: int = 10_000
    examples: int = 4096

    def __post_init__(self) -> None:
        plain_numbers(self)
        if min(self.steps, self.per_label, self.pairs, self.examples) < 1 or self.fit < 4 or self.rows < 4:
            raise ConfigError(f"training towards votes takes at least 1 step of 4 rows, and 4 hybrids; got {self}")
        if not (self.learning_rate > 0 and self.hybrids >= 0):
            raise ConfigError(f"a rate is above 0, the weight of hybrids at least 0; got {self}")


@dataclass(frozen=True)
class Way:
    """A way to train: its votes, frozen latents, binary layer.

    Without `votes` the network sees real examples alone.
    """

    votes: Votes | None
    frozen: bool
    binary: bool


@dataclass(frozen=True, eq=False)
class Examples:
    """Training examples as the trained part of a network takes them.

    `features` are outputs of the module `cut`, or the inputs if it is None. `last` is the module with parameters that
    takes them, if any. `thresholds`, `off` and `on` are of the units of `layer`. They hold for every network that
    differs after `cut` alone.
    """

    loader: Iterable[Any]
    layer: str
    last: str | None
    cut: str | None
    features: Float[Tensor, "example ..."]
    true: Int64[Tensor, " example"]
    thresholds: Float[Tensor, " unit"]
    off: Float[Tensor, " unit"]
    on: Float[Tensor, " unit"]

    @classmethod
    def of(cls, model: nn.Module, loader: Iterable[Any], layer: str, like: BitMatrix, options: RunOptions) -> Examples:
        """The examples of a loader, read once.

        Raises LayerError for a layer that does not give (example, unit), DataError without true labels or for a label
        without examples.
        """
        thresholds, off, on = _levels(model, loader, layer, like, options)
        last, cut = _last_before(model, loader, layer)
        features, true = _read(model, loader, cut, like.nodes.labels, options)
        return cls(loader, layer, last, cut, features, true, thresholds, off, on)


def trained_towards(
    model: nn.Module, examples: Examples, way: Way, settings: FaithfulSettings, options: RunOptions
) -> nn.Module:
    """A trained copy of a network, in evaluation mode.

    Trained are the parameters after the layer and, unless latents are frozen, those of the last module with parameters
    up to it. Raises LayerError without parameters after the layer, FailureError for a loss that is not finite.
    """
    network, layer, rows = copy.deepcopy(model), examples.layer, settings.rows
    if way.binary:
        make_binary(network, layer, examples.thresholds, examples.off, examples.on)
    trained = Suffix.of(network, layer, examples.loader, 2 * rows).parameters()
    if not way.frozen and examples.last is not None:
        last = examples.last if examples.last != layer or not way.binary else f"{layer}.inner"
        trained |= {f"{last}.{name}": value for name, value in find_layer(network, last).named_parameters()}
    run: Callable[[Tensor, Tensor], Tensor] = lambda inputs, _: forward(network, inputs)  # noqa: E731
    if examples.cut is not None:
        run = Suffix.of(network, examples.cut, examples.loader, 2 * rows).logits
    flags = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)
    optimizer = torch.optim.Adam(trained.values(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    draws = torch.Generator().manual_seed(seeds.integer(options.seed, "training towards votes"))
    mixed = None if way.votes is None else _Mixed(way.votes, examples.thresholds)
    last_loss = 0.0
    with fixed(network, options.threads, grad=True), _hooked(network, layer, mixed):
        for step in range(settings.steps):
            numbers = torch.randint(len(examples.true), (rows,), generator=draws)
            real, true = examples.features[numbers], examples.true[numbers]
            if mixed is None:
                loss = F.cross_entropy(run(real, numbers), true)
            else:
                mixed.draw(rows, len(examples.on), draws)
                logits = run(torch.cat([real, real]), numbers.repeat(2))
                loss = F.cross_entropy(logits[:rows], true)
                loss = loss + settings.hybrids * F.cross_entropy(logits[rows:], mixed.target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step == settings.steps - 1:
                last_loss = loss.item()
    if not math.isfinite(last_loss):
        raise FailureError("the loss of training towards votes is not finite; lower the learning rate")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(flags[name]).grad = None
    return network.eval()


class _Mixed:
    """Hybrids of the rows of a step, and the labels that votes give them.

    The same rows are their bases.
    """

    def __init__(self, votes: Votes | None, thresholds: Float[Tensor, " unit"]) -> None:
        self._thresholds = thresholds
        if votes is not None:
            self._weights = torch.tensor(votes.weights.T.copy()).to(thresholds)
            self._bias = torch.tensor(votes.bias).to(thresholds)
        self._sources = self._chosen = self.target = torch.zeros(0)

    def draw(self, rows: int, units: int, draws: torch.Generator) -> None:
        """Draw which row gives each unit of each hybrid: 3/4 mixes, 1/4 independent."""
        mixes = rows - rows // 4
        sources = torch.randint(rows, (rows, units), generator=draws)
        sources[:mixes] = sources[:mixes, :1].clone()
        sizes = torch.randint(1, max(units, 2), (rows, 1), generator=draws)
        chosen = torch.rand(rows, units, generator=draws).argsort(dim=1).argsort(dim=1) < sizes
        chosen[mixes:] = True
        self._sources, self._chosen = sources, chosen

    def of(self, real: Float[Tensor, "row unit"]) -> Float[Tensor, "row unit"]:
        """The hybrids of real rows; their labels become `target`."""
        device, units = real.device, torch.arange(real.shape[1])
        hybrids = torch.where(self._chosen.to(device), real[self._sources.to(device), units.to(device)], real)
        signs = torch.where(hybrids.detach() > self._thresholds, 1.0, -1.0).to(self._weights)
        self.target = (signs @ self._weights + self._bias).argmax(dim=1)
        return hybrids

    def write(self, module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        """The output of the layer, with hybrids of the first half of its rows in place of the second half."""
        real = output[: len(output) // 2]
        return torch.cat([real, self.of(real)])


def _hooked(network: nn.Module, layer: str, mixed: _Mixed | None) -> AbstractContextManager[Any]:
    """While it lasts, the layer gives hybrids too."""
    return nullcontext() if mixed is None else find_layer(network, layer).register_forward_hook(mixed.write)


def _levels(
    model: nn.Module, loader: Iterable[Any], layer: str, like: BitMatrix, options: RunOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Threshold of each unit, and the values that are written for off and on.

    Raises LayerError unless the layer gives (example, unit).
    """
    passes = passes_like(model, like, layer, options.threads)
    batch = next(compute_batches(loader, options.batch), None)
    if batch is None:
        raise no_examples()
    known = passes.baseline(batch)
    output, neurons = known.outputs[layer], known.neurons[layer]
    if output.ndim != 2:
        raise LayerError(
            f"training towards votes takes a layer that gives (example, unit); {layer!r} gives {tuple(output.shape)}; "
            "choose a dense layer"
        )
    writing = by_layer(passes, like.binarizer, loader, options)
    both = np.repeat(np.array([[False], [True]]), neurons.units, axis=1)
    off, on = writing.values(neurons, both, known.numbers[:2], output[:2]).detach()
    return torch.tensor(neurons.thresholds).to(output), off, on


def _last_before(network: nn.Module, loader: Iterable[Any], layer: str) -> tuple[str | None, str | None]:
    """The last module with parameters that runs up to a layer, and the module that runs before that one."""
    ran: list[str] = []
    home = find_layer(network, layer)
    hooks = [
        module.register_forward_hook(lambda *_, path=path: ran.append(path))
        for path, module in network.named_modules()
        if module is home or not list(module.children())
    ]
    try:
        with fixed(network):
            forward(network, next(compute_batches(loader, 2)).inputs)
    finally:
        for hook in hooks:
            hook.remove()
    modules = dict(network.named_modules())
    ran = [path for path in ran[: ran.index(layer) + 1] if not path.startswith(f"{layer}.")]
    places = [place for place, path in enumerate(ran) if list(modules[path].parameters())]
    if not places:
        return None, None
    return ran[places[-1]], ran[places[-1] - 1] if places[-1] else None


def _read(
    network: nn.Module, loader: Iterable[Any], cut: str | None, labels: int, options: RunOptions
) -> tuple[Tensor, Int64[Tensor, " example"]]:
    """Outputs of a module, or the inputs, and true classes of all examples."""
    features, true = [], []
    with fixed(network, options.threads), Trace(network, [cut] if cut else []) as trace:
        for batch in compute_batches(loader, options.batch):
            if batch.labels is None:
                raise DataError("training needs the true labels; pass a loader of (inputs, labels)")
            if cut is None and not isinstance(batch.inputs, Tensor):
                raise LayerError(
                    "where nothing with parameters runs before the last module up to the layer, training takes "
                    "tensors as inputs; got inputs by name; choose a later layer"
                )
            trace.clear()
            values: Any = batch.inputs
            if cut is not None:
                forward(network, batch.inputs)
                values = trace[cut]
            features.append(values[: batch.count].clone())
            true.append(true_labels(batch.labels, batch.count, labels))
            if not batch.start and (size := features[0][0].nbytes * count(loader)) > MOST_BYTES:
                raise DataError(
                    f"activations of {cut!r} of all training examples are kept in memory, at most {MOST_BYTES:,} "
                    f"bytes; these take {size:,}; train on fewer examples"
                )
    classes = torch.cat(true)
    without = sorted(set(range(labels)) - set(classes.unique().tolist()))
    if without:
        raise DataError(
            f"every label of the votes is the true class of a training example; {', '.join(map(str, without))} of "
            f"{labels} are of none; give examples of these classes"
        )
    return torch.cat(features), classes.to(device_of(network))
