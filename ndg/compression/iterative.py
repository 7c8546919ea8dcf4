"""Iterative pruning: units or weights leave in steps, with training between."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ndg import seeds, training
from ndg.activations.batches import compute_batches, fixed, forward
from ndg.activations.digest import network_digest
from ndg.activations.sampling import draw
from ndg.compression.choice import check_share, fewest, part_of
from ndg.compression.curves import coupling
from ndg.compression.finished import Steps, finished_steps, restore, tensors_of
from ndg.compression.groups import Group
from ndg.compression.schedule import shares
from ndg.compression.surgery import Units, narrowed, original, without
from ndg.compression.unit_fitness import RANDOM, check_method, unit_fitness
from ndg.compression.weight_masks import Masks, apply, check_cut, held, lowest_weights, weight_fitness, weighted_modules
from ndg.config import Experiment
from ndg.config.schema import Apoptosis
from ndg.data.examples import Examples, Splits
from ndg.errors import ConfigError, FailureError
from ndg.importance.experiments.groups import rate_over_draws
from ndg.importance.settings import Settings
from ndg.intervals import rate
from ndg.options import RunOptions
from ndg.plots import Plot, Series, by
from ndg.progress import meter
from ndg.results import Result

EXAMPLES = 512
"""Training examples on which units are scored at each step."""
NONE = "none"
"""The control: nothing is pruned, with the same fine-tuning."""

Row = dict[str, Any]


@dataclass(frozen=True)
class PruneSettings:
    """What is pruned, in which steps, and how the network is trained on.

    method         registered score of the units, or `random`
    share          share of the units, or of the weights, that is gone in the end
    steps          1 is one-shot
    schedule       shares of the steps: `linear` or `cubic`
    epochs         of fine-tuning after each step; the best on the validation split is kept, 0 epochs included
    learning_rate  of fine-tuning; None: that of the training
    unstructured   single weights instead of units
    scope          "each" layer loses the share, or "all" layers are ranked together; None: each, of weights all
    layers         layers to prune; none: all that can be
    draws          random removals with the same steps, the control
    """

    method: str = "magnitude"
    share: float = 0.5
    steps: int = 1
    schedule: str = "cubic"
    epochs: int = 1
    learning_rate: float | None = None
    unstructured: bool = False
    scope: str | None = None
    layers: Sequence[str] = field(default_factory=tuple)
    draws: int = 1

    def __post_init__(self) -> None:
        shares(self.share, self.steps, self.schedule)  # checks them
        check_method(self.method)
        rate = self.learning_rate
        if self.epochs < 0 or self.draws < 0 or (rate is not None and not 0 < rate < math.inf):
            raise ConfigError(
                "fine-tuning takes 0 or more epochs at a rate above 0, and 0 or more random draws; got epochs="
                f"{self.epochs}, learning_rate={rate}, draws={self.draws}"
            )
        if self.scope not in (None, "each", "all"):
            raise ConfigError(f"a scope of pruning is each or all; got {self.scope!r}")

    @property
    def ranked(self) -> str:
        """The scope in use."""
        return self.scope or ("all" if self.unstructured else "each")


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned network, what it lost, and a row per step."""

    method: str
    draw: int
    network: nn.Module
    removed: list[Row]
    groups: Mapping[str, Group]
    masks: Masks
    steps: list[Row]


@dataclass(frozen=True, eq=False)
class IterativePruning(Result):
    """Accuracy at every step on the validation split, and of the last networks on the test split."""

    settings: PruneSettings
    steps: list[Row]
    final: list[Row]

    def rows(self) -> list[Row]:
        """One row per step of the method and of its controls."""
        return self.steps

    def context(self) -> Row:
        return {"settings": dict(vars(self.settings)) | {"layers": list(self.settings.layers)}, "final": self.final}

    def plotted(self) -> Plot:
        """Pruning curves: validation accuracy against the share that is gone, by method and draw."""
        share = "share of the weights" if self.settings.unstructured else "share of the units"
        return Plot("Accuracy while pruning", f"{share} that is gone", "validation accuracy", curves(self.steps))

    def words(self) -> str:
        """Test accuracy of the pruned network beside the controls."""
        parts = [
            f"{row['method']} {row['accuracy']:.4f} [{row['accuracy_low']:.4f}, {row['accuracy_high']:.4f}]"
            for row in self.final
            if row["accuracy_low"] is not None
        ]
        row = self.final[0]
        return (
            f"Accuracy on {row['n']} test examples: {'; '.join(parts)}. {row['method']} keeps {row['parameters']:,} "
            f"parameters, and agrees with the network before in {row['agreement']:.4f} of its predictions."
        )


def curves(steps: Sequence[Row], head: str = "") -> tuple[Series, ...]:
    """Series of the steps of each method and draw, after fine-tuning and before it."""
    rows = [{**row, "of": f"{head}{row['method']} {row['draw'] or ''}".strip()} for row in steps]
    columns = {"tuned": "", "pruned": ", before fine-tuning"}
    series = [
        Series.of(f"{name}{words}", points, "share", column)
        for column, words in columns.items()
        for name, points in by(rows, "of").items()
    ]
    return tuple(each for each in series if each.x)


def prune_network(
    network: nn.Module,
    experiment: Experiment,
    splits: Splits,
    settings: PruneSettings = PruneSettings(),
    *,
    removed: Sequence[Row] = (),
    device: str = "cpu",
    on_step: Callable[[Row], None] | None = None,
    finished: Path | None = None,
) -> tuple[IterativePruning, Pruned]:
    """Prune a trained network in steps, with its controls.

    The network itself stays as it was.

    Fine-tuning uses the training split and the settings of the training; the test split is used once per network, at
    the end. `removed` are units that the network has lost before. The folder `finished` keeps finished steps: a pruning
    that was killed goes on from there to the same figures. Raises ConfigError for a share that leaves a layer fewer
    than 2 units, LayerError for layers that cannot be pruned or scored, all before anything is trained.
    """
    target = training.device_of(device)
    network = copy.deepcopy(network).to(target).eval()
    work = _Work(network, experiment, splits, settings, list(removed), target)
    names = [(settings.method, 0), *((RANDOM, number) for number in range(1, settings.draws + 1)), (NONE, 0)]
    facts = [network_digest(network), settings, experiment.digest, splits.digest, list(removed), str(target)]
    with finished_steps(finished, facts) as steps_done:
        results = [work.run(*name, on_step, steps_done, place * settings.steps) for place, name in enumerate(names)]
    before = predictions(network, splits.test, work.batch)
    final = [work.final(result, before) for result in results]
    steps = [row for result in results for row in result.steps]
    return IterativePruning(settings, steps, _joined(final)), results[0]


def check_prunable(network: nn.Module, experiment: Experiment, splits: Splits, settings: PruneSettings) -> None:
    """Raise the error that `prune_network` would raise before it prunes."""
    _Work(network, experiment, splits, settings, [], training.device_of("cpu"))


def predictions(network: nn.Module, examples: Examples, batch: int) -> torch.Tensor:
    """Predicted class of each example."""
    with fixed(network, torch.get_num_threads()):
        parts = [
            forward(network, part.inputs)[: part.count].argmax(dim=1).cpu()
            for part in compute_batches(examples.loader(batch), batch)
        ]
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class _Work:
    """A network to prune, with its data."""

    network: nn.Module
    experiment: Experiment
    splits: Splits
    settings: PruneSettings
    removed: list[Row]
    device: torch.device
    loader: list[Any] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = draw(self.experiment.seed, "prune", len(self.splits.train), EXAMPLES)
        self.loader.extend(self.splits.train[torch.from_numpy(rows)].loader(self.batch))
        if self.settings.unstructured:
            self.layers.extend(weighted_modules(self.network, list(self.settings.layers)))
            check_cut(self.network, self.layers, self.settings.share, self.settings.ranked)
        else:
            self.groups.update(self.coupled())
            units = {name: group.units for name, group in self.groups.items()}
            check_share(units, self.settings.share, "share", self.settings.ranked)

    @property
    def batch(self) -> int:
        return self.experiment.extract.compute_batch

    @property
    def scoring(self) -> Settings:
        threads = self.experiment.train.threads
        return Settings(options=RunOptions(batch=self.batch, threads=threads, seed=self.experiment.seed))

    def coupled(self) -> dict[str, Group]:
        """Groups that lose units, without attention heads."""
        coupled = coupling(self.network, self.loader, plain=False)
        chosen = coupled.select(list(self.settings.layers) or None)
        groups = {name: group for name, group in chosen.items() if group.kind != "head"}
        if not groups:
            reasons = "; ".join(f"{layer}: {why}" for layer, why in list(coupled.refused.items())[:3])
            raise ConfigError(f"pruning needs layers whose units can be removed; this network has none ({reasons})")
        return groups

    def run(
        self, method: str, number: int, on_step: Callable[[Row], None] | None, finished: Steps, first: int
    ) -> Pruned:
        """One series of steps, the first of which has the number `first`.

        Finished ones are not done again.
        """
        result = Pruned(method, number, copy.deepcopy(self.network), list(self.removed), self.groups, {}, [])
        for step, share in enumerate(shares(self.settings.share, self.settings.steps, self.settings.schedule), 1):
            place = first + step - 1
            if place in finished:
                row = finished.take(place).row
                result = self._without(result, finished.take(place).units)
                if step == self.settings.steps or place + 1 not in finished:
                    result = replace(result, masks=restore(result.network, finished.weights(place)))
            else:
                result, gone = (result, {}) if method == NONE else self._cut(result, share)
                row = {"method": method, "draw": number, "step": step, "share": 0.0 if method == NONE else share}
                row |= self._left(result) | self._tuned(result, step)
                finished.keep(place, row, gone, tensors_of(result.network, result.masks), step == 1)
            result.steps.append(row)
            if on_step is not None:
                on_step(row)
        return result

    def final(self, result: Pruned, before: torch.Tensor) -> Row:
        """Figures on the test split."""
        labels, after = self.splits.test.labels, predictions(result.network, self.splits.test, self.batch)
        n = len(labels)
        return {
            "method": result.method,
            "parameters": self._left(result)["parameters"],
            "n": n,
            **rate("before", int((before == labels).sum()), n),
            **rate("accuracy", int((after == labels).sum()), n),
            **rate("agreement", int((after == before).sum()), n),
        }

    def _cut(self, result: Pruned, share: float) -> tuple[Pruned, dict[str, Units]]:
        """The network after the removal of one step, and the units that went."""
        settings = self.settings
        turn = 1000 * result.draw + len(result.steps)
        if settings.unstructured:
            fitness = weight_fitness(result.network, self.loader, self.layers, result.method, self.scoring, turn)
            masks = lowest_weights(fitness, share, result.masks, scope=settings.ranked)
            apply(result.network, masks)
            return replace(result, masks=masks), {}
        groups, units = result.groups, {name: group.units for name, group in self.groups.items()}
        fitness_of_units = unit_fitness(result.network, self.loader, groups, result.method, self.scoring, turn)
        left = {name: group.units for name, group in groups.items()}
        counts = {name: part_of(share, units[name]) - (units[name] - left[name]) for name in groups}
        total = part_of(share, sum(units.values())) - sum(units.values()) + sum(left.values())
        chosen = fewest(fitness_of_units, counts if settings.ranked == "each" else total)
        return self._without(result, chosen), chosen

    def _without(self, result: Pruned, chosen: Mapping[str, Units]) -> Pruned:
        """The network without some units, by their numbers in it."""
        groups = result.groups
        smaller, _ = without(result.network, groups, chosen)
        gone = len(result.steps) + 1
        lost: list[Row] = []
        for name, numbers in chosen.items():
            first = groups[name].units + sum(len(row["units"]) for row in result.removed if row.get("layer") == name)
            lost.append({"step": gone, "layer": name, "units": original(numbers, name, first, result.removed)})
        rest = narrowed(groups, chosen)
        return replace(result, network=smaller, removed=[*result.removed, *lost], groups=rest)

    def _left(self, result: Pruned) -> Row:
        """Size of a network; weights that are gone do not count."""
        gone = sum(int((~mask).sum()) for mask in result.masks.values())
        units = sum(len(row["units"]) for row in result.removed if "step" in row)
        parameters = sum(value.numel() for value in result.network.parameters()) - gone
        return {"parameters": parameters, "gone": gone if self.settings.unstructured else units}

    def _tuned(self, result: Pruned, step: int) -> Row:
        """Fine-tune a network in place; its validation accuracy before and after."""
        purpose = f"prune {result.method} {result.draw} step {step}"
        before, after, epoch = tune(
            result.network, self.experiment, self.splits, purpose, self.settings, self.device, result.masks
        )
        n = len(self.splits.validation)
        return {
            "n": n,
            **rate("pruned", round(before * n), n),
            **rate("tuned", round(after * n), n),
            "epoch": epoch,
        }


def tune(
    network: nn.Module,
    experiment: Experiment,
    splits: Splits,
    purpose: str,
    settings: PruneSettings,
    device: torch.device,
    masks: Masks,
) -> tuple[float, float, int]:
    """Train a network on in place.

    Validation accuracy before and after, and the epoch that is kept.

    The learning rate follows the schedule of the training anew, without warm-up (Renda, Frankle & Carbin 2020). Raises
    FailureError for a loss that is not finite.
    """
    own = replace(
        experiment.train,
        epochs=max(settings.epochs, 1),
        learning_rate=settings.learning_rate or experiment.train.learning_rate,
        warmup=0.0,
        compile=False,
        tensorboard=False,
        fitness=False,
        apoptosis=Apoptosis(),
    )
    again = replace(experiment, seed=seeds.integer(experiment.seed, purpose) % 2**63, train=own)
    with (
        training.own_threads_and_randomness(own.threads, device),
        meter(total=len(splits.train), unit="example") as bar,
    ):
        learner = training.Learner.of(network, own, device)
        loss, first = training.evaluate(network, splits.validation, experiment.extract.compute_batch)
        best, kept, state = (first, -loss), 0, copy.deepcopy(network.state_dict())
        with held(network, learner.optimizer, masks) if masks else nullcontext():
            for number in range(1, settings.epochs + 1):
                row = training.run_epoch(learner, again, splits, number, device, bar)
                if not (math.isfinite(row["loss"]) and math.isfinite(row["validation_loss"])):
                    raise FailureError(
                        f"the loss of fine-tuning is {row['loss']} in epoch {number}; lower its learning rate"
                    )
                score = (row["validation_accuracy"], -row["validation_loss"])
                if score > best:
                    best, kept, state = score, number, copy.deepcopy(network.state_dict())
    network.load_state_dict(state)
    network.eval()
    return first, best[0], kept


def _joined(rows: Iterable[Row]) -> list[Row]:
    """Random draws as one row: means over draws."""
    rows = list(rows)
    drawn = [row for row in rows if row["method"] == RANDOM and row is not rows[0]]
    if len(drawn) < 2:
        return rows
    mean: Row = {"method": RANDOM, "draws": len(drawn), "n": drawn[0]["n"], "parameters": drawn[0]["parameters"]}
    for name in ("before", "accuracy", "agreement"):
        mean |= rate_over_draws(name, [row[name] for row in drawn])
    return (
        [row for row in rows if row is rows[0] or row["method"] != RANDOM][:1]
        + [mean]
        + [row for row in rows[1:] if row["method"] == NONE]
    )
