"""Interleaved training: real examples keep their class, counterfactual ones get the class that the graph asks for."""

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
from ndg.abstraction.trial import TrialSettings, trial
from ndg.activations.batches import (
    Batch,
    compute_batches,
    device_of,
    fixed,
    forward,
    true_labels,
)
from ndg.activations.hooks import Trace
from ndg.activations.sampling import shuffled
from ndg.counterfactual.counterfactual_set import CounterfactualSet
from ndg.counterfactual.generate import counterfactual_set
from ndg.counterfactual.result import AFTER, BEFORE, REAL_ONLY, CounterfactualResult, Epoch
from ndg.errors import ConfigError, DataError, FailureError
from ndg.graph.ndg import NDG
from ndg.interventions.reach import taking
from ndg.interventions.substitution import Boolean
from ndg.interventions.suffix import Suffix
from ndg.options import RunOptions, old_keywords

TRAIN, VALIDATION = "train", "validation"
SAME = 1e-5
"""Difference of latents, relative to the largest, up to which examples count as the same."""


@dataclass(frozen=True)
class CounterfactualSettings:
    """How long and how the rest of the network is trained.

    epochs         most epochs
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
        if not 0 <= self.mix <= 1:
            raise ConfigError(f"mix is the share of counterfactual examples in the loss, from 0 to 1; got {self.mix}")
        if min(self.epochs, self.rows, self.patience) < 1 or not 0 < self.learning_rate < math.inf:
            raise ConfigError(
                "counterfactual training takes at least 1 epoch, row and epoch of patience, and a rate above 0; got "
                f"{self}"
            )


@old_keywords(settings=CounterfactualSettings, options=RunOptions)
def train_on(
    model: nn.Module,
    graph: NDG,
    data: CounterfactualSet,
    loaders: Mapping[str, Iterable[Any]],
    *,
    settings: CounterfactualSettings = CounterfactualSettings(),
    options: RunOptions = RunOptions(),
) -> CounterfactualResult:
    """A copy of the network whose part after the layer was trained on `data`, with its rates before and after.

    `loaders` are those of `train`, from which `data` were made, of `validation`, and of any held-out split; rates are
    taken on all but `train`. In every step the same examples are seen twice: their real latents with the true class,
    weighing 1 - `mix`, and the written ones with the alternative, weighing `mix`. What comes before the layer is
    frozen, dropout is off. The epoch with the lowest loss on `validation` is kept, be it none (epoch 0). As a control a
    second copy is trained likewise on the real examples alone.

    Raises GraphError or CheckpointError for data of another graph or network; DataError without `train` or
    `validation`, for other examples than those of `data`, or for a loader that shuffles; LayerError when nothing can be
    trained after the layer; FailureError when a loss is not finite.
    """
    missing = [name for name in (TRAIN, VALIDATION) if name not in loaders]
    if missing or any(map(shuffled, loaders.values())):
        raise DataError(
            "counterfactual training takes the loaders of train and validation, which give their examples in a fixed "
            f"order; got {', '.join(loaders) or 'none'}; add the split, or make the DataLoader with shuffle=False"
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
    networks, histories = {BEFORE: model}, {}
    for stage, share in ((AFTER, settings.mix), (REAL_ONLY, 0.0)):
        plan = replace(settings, mix=share)
        networks[stage], histories[stage] = _fitted(model, data, validation, loaders, plan, options)
    trials = {
        stage: {
            split: trial(
                network,
                graph,
                loaders[split],
                origin.intervention,
                settings=TrialSettings(origin.layer, Boolean(), split=split, any_network=True),
                options=replace(options, seed=origin.seed),
            )
            for split in loaders
            if split != TRAIN
        }
        for stage, network in networks.items()
    }
    facts = {
        "epochs": settings.epochs,
        "learning_rate": float(settings.learning_rate),
        "mix": float(settings.mix),
        "rows": settings.rows,
        "patience": settings.patience,
        "seed": options.seed,
        "data_seed": origin.seed,
        "examples": len(data),
    }
    return CounterfactualResult(networks[AFTER], origin, trials, histories, facts)


def _check_examples(model: nn.Module, data: CounterfactualSet, loader: Iterable[Any], options: RunOptions) -> None:
    """Raise DataError unless a loader gives the examples of the data: as many, of the same true classes, and in the
    first and the last compute batch the same latents."""
    layer, true, seen, last = data.origin.layer, [], 0, None
    with fixed(model, options.threads), Trace(model, [layer]) as trace:

        def apart(one: Batch) -> float:
            trace.clear()
            with taking(model, one.inputs):
                forward(model, one.inputs)
            found = trace[layer][: one.count].float().cpu().numpy()
            expected = data.latents[one.start : one.start + one.count]
            if found.shape != expected.shape:
                return math.inf
            return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))

        furthest = 0.0
        for one in compute_batches(loader, options.batch):
            if one.labels is None:
                raise DataError("counterfactual training needs the true labels; give a loader of (inputs, labels)")
            furthest = apart(one) if not seen else furthest
            true.append(true_labels(one.labels, one.count, data.origin.labels).numpy())
            seen, last = seen + one.count, one
        furthest = furthest if last is None else max(furthest, apart(last))
    what = None
    if seen != len(data):
        what = f"{len(data):,} examples, and the loader of train gives {seen:,}"
    elif (wrong := int((np.concatenate(true) != data.true).sum())) > 0:
        what = f"their true classes, and {wrong:,} of the loader of train differ"
    elif not furthest <= SAME:
        what = f"their latents, and those of the loader of train are up to {furthest:.2g} away"
    if what:
        raise DataError(
            f"counterfactual data go with the examples that they were made from: {what}; give the same loader"
        )


def _fitted(
    model: nn.Module,
    data: CounterfactualSet,
    validation: CounterfactualSet,
    loaders: Mapping[str, Iterable[Any]],
    plan: CounterfactualSettings,
    options: RunOptions,
) -> tuple[nn.Module, tuple[Epoch, ...]]:
    """A trained copy as it was after its best epoch, and the losses of all epochs, that of none first."""
    network = copy.deepcopy(model)
    mix, threads = plan.mix, options.threads
    layer, place = data.origin.layer, device_of(model)
    seen, held = (Suffix.of(network, layer, loaders[split], 2 * plan.rows) for split in (TRAIN, VALIDATION))
    if seen.recorded is None and (got := len(next(iter(seen.inputs.values())))) != len(data):
        raise DataError(
            f"counterfactual data go with the examples that they were made from: {len(data)}, and the loader of train "
            f"gives {got}; give the same loader"
        )
    flags = {name: one.requires_grad for name, one in network.named_parameters()}
    trained = seen.parameters()
    for name, one in network.named_parameters():
        one.requires_grad_(name in trained)
    optimizer = torch.optim.Adam(trained.values(), lr=plan.learning_rate)
    column, judged = _Columns.of(data, place), _Columns.of(validation, place)
    history = [Epoch(0, None, judged.loss(held, mix, plan.rows, threads))]
    best = {name: one.detach().clone() for name, one in trained.items()}
    while len(history) <= plan.epochs and len(history) - 1 - _best(history) < plan.patience:
        number = len(history)
        order = torch.from_numpy(seeds.generator(options.seed, "counterfactual order", number).permutation(len(data)))
        total = 0.0
        with fixed(network, threads, grad=True):
            for examples in order.split(plan.rows):
                loss = column.part(seen, examples, mix)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(examples)
        history.append(Epoch(number, total / len(data), judged.loss(held, mix, plan.rows, threads)))
        if not math.isfinite(history[-1].validation_loss):
            raise FailureError(f"the loss of epoch {number} is not finite; lower the learning rate")
        if _best(history) == number:
            best = {name: one.detach().clone() for name, one in trained.items()}
    with torch.no_grad():
        for name, one in network.named_parameters():
            one.requires_grad_(flags[name]).grad = None
            if name in best:
                one.copy_(best[name])
    return network, tuple(history)


def _best(history: list[Epoch]) -> int:
    """The epoch with the lowest validation loss, the first among equals."""
    return int(np.argmin([epoch.validation_loss for epoch in history]))


@dataclass(frozen=True, eq=False)
class _Columns:
    """Counterfactual data as tensors."""

    latents: Float[Tensor, "example unit"]
    written: Float[Tensor, "example unit"]
    true: Int64[Tensor, " example"]
    alternative: Int64[Tensor, " example"]

    @classmethod
    def of(cls, data: CounterfactualSet, place: torch.device) -> _Columns:
        real = torch.from_numpy(data.latents).to(place)
        written = torch.from_numpy(data.booleans).to(real)
        return cls(real, written, torch.from_numpy(data.true).to(place), torch.from_numpy(data.alternative).to(place))

    def part(self, rest: Suffix, examples: Int64[Tensor, " row"], mix: float | int) -> Float[Tensor, ""]:
        """The mean loss of some examples, real and counterfactual (nats)."""
        logits = rest.logits(
            torch.cat([self.latents[examples], self.written[examples]]), torch.cat([examples, examples])
        )
        real, written = logits.split(len(examples))
        return (1 - mix) * F.cross_entropy(real, self.true[examples]) + mix * F.cross_entropy(
            written, self.alternative[examples]
        )

    def loss(self, rest: Suffix, mix: float | int, rows: int, threads: int) -> float:
        """The mean loss of all examples."""
        total = 0.0
        with fixed(rest.model, threads):
            for examples in torch.arange(len(self.true)).split(rows):
                total += self.part(rest, examples, mix).item() * len(examples)
        return total / len(self.true)
