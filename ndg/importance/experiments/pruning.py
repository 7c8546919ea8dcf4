"""Pruning curves: held-out accuracy by score, before and after fine-tuning.

Every point starts from the given network, unlike the G-NDI experiments (Nagy 2025).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from ndg import seeds
from ndg.activations.batches import Batch, columns, compute_batches, fixed, forward, join
from ndg.activations.labels import true_labels
from ndg.errors import ConfigError, DataError, FailureError
from ndg.importance.batch_sums import ScoreStudy, read_neutrals
from ndg.importance.experiments.curves import digest
from ndg.importance.experiments.groups import SHARES, Group, GroupRows, common_sizes, groups, rate_over_draws
from ndg.importance.logits import check_read
from ndg.importance.scores import Scores
from ndg.importance.settings import Baselines, Settings
from ndg.intervals import rate
from ndg.interventions.baselines import NeutralState, clamped, neutral_states
from ndg.options import RunOptions, old_keywords, plain_numbers
from ndg.plots import Plot, Series, by
from ndg.probe import probe
from ndg.run_study import run_study

NEUTRAL = ("zero", "mean")


@dataclass(frozen=True)
class Tuning:
    """Fine-tuning with AdamW without decay, in batches of `rows`."""

    epochs: int = 1
    learning_rate: float | int = 5e-4
    rows: int = 64

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.rows < 2 or not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"fine-tuning takes at least 1 epoch, 2 rows and a rate above 0; got {self}")


@dataclass(frozen=True)
class PruneSettings:
    """Which units are pruned, and how the network is trained on.

    shares     shares of the units, in rising order
    scope      "all", units of all layers ranked together, or "each", the same share of every layer
    draws      random sets of units at every share, the control
    baselines  the state at which pruned units stay: "zero", "mean", a number or tensors
    tuning     how fine-tuning goes, where there are training examples

    Raises ConfigError for scope "layer", and for a neutral state that differs from example to example.
    """

    shares: Sequence[float | int] = SHARES
    scope: str = "all"
    draws: int = 5
    baselines: Baselines = "zero"
    tuning: Tuning = Tuning()

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.scope == "layer":
            raise ConfigError("a network is pruned in all its scored layers, scope 'all' or 'each'; got 'layer'")
        if isinstance(self.baselines, str) and self.baselines not in NEUTRAL:
            raise ConfigError(
                f"pruned units stay at one state, {' or '.join(NEUTRAL)}, or given; got {self.baselines!r}"
            )


@old_keywords(settings=PruneSettings, options=RunOptions, renamed={"internal_batch_size": "batch"})
def prune(
    model: nn.Module,
    loader: Iterable[Any],
    scores: Mapping[str, Scores],
    *,
    train: Iterable[Any] | None = None,
    settings: PruneSettings = PruneSettings(),
    options: RunOptions = RunOptions(),
) -> Pruning:
    """Held-out accuracy after pruning shares of the units with the lowest scores.

    `loader` has held-out examples with true classes, `train` the examples for fine-tuning, the same in the same order
    at every point. `scores` are by name, on the same layers. Controls: the whole network with the same fine-tuning, and
    random units at every share. A mean baseline is over `train`, or over `loader` without it.

    Raises DataError without classes, ConfigError for invalid shares or settings, ShapeError for scores of different
    units, LayerError for a layer that the network does not read, FailureError if a loss is not finite.
    """
    layers = tuple(common_sizes(scores))
    tried = tuple(groups(scores, settings.shares, ("bottom",), settings.scope, settings.draws, options.seed))
    tuning = settings.tuning if train is not None else None
    own = {"groups": digest(tried), "tuning": tuning}
    request = Settings(baselines=settings.baselines, options=options, own=own)
    held = tuple(compute_batches(loader, options.batch, short=True))
    if not held or any(batch.labels is None for batch in held):
        raise DataError("accuracy after pruning needs examples with their true classes; give (inputs, labels)")
    tuned_on = None if train is None else join(list(map(columns, train)))
    if tuned_on is not None and "labels" not in tuned_on:
        raise DataError("fine-tuning needs examples with their true classes; give (inputs, labels) as train")
    probe(model, held[0], layers, options.threads)
    with torch.inference_mode(False), fixed(model, options.threads):
        check_read(model, loader, layers, options.batch)
        neutrals = read_neutrals(model, loader if train is None else train, layers, request)
        _, states = neutral_states(model, layers, held[0], neutrals)
        states = {layer: replace(rest, mask=None) for layer, rest in states.items()}  # of every batch
    study = Study(model, layers, request, states, held, tuned_on, tuning)
    points: list[Group | None] = [None, *tried]
    counts = run_study(study, enumerate(points), "pruning", options).total
    return Pruning(tried, counts, sum(batch.count for batch in held), tuning, settings.scope)


@dataclass(frozen=True)
class Counts:
    """Correct predictions by number of the point, pruned and fine-tuned."""

    pruned: dict[int, int]
    tuned: dict[int, int]

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.pruned | other.pruned, self.tuned | other.tuned)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; inverse of `from_dict`."""
        return {name: [list(pair) for pair in getattr(self, name).items()] for name in ("pruned", "tuned")}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Counts:
        return cls(dict(map(tuple, document["pruned"])), dict(map(tuple, document["tuned"])))


@dataclass(frozen=True, eq=False)
class Study(ScoreStudy):
    """Networks that are pruned, fine-tuned and tested, for a worker."""

    states: Mapping[str, NeutralState]
    held: tuple[Batch, ...]
    seen: dict[str, Tensor] | None
    tuning: Tuning | None

    decode = staticmethod(Counts.from_dict)

    def run(self, task: tuple[int, Group | None]) -> Counts:
        """Correct predictions at one point, on a copy of the network."""
        number, group = task
        chosen = {} if group is None else group.chosen
        network = copy.deepcopy(self.model)
        with torch.inference_mode(False), clamped(network, chosen, self.states):
            pruned = _correct(network, self)
            if self.seen is None or self.tuning is None:
                return Counts({number: pruned}, {})
            _tune(network, self.seen, self.tuning, self.settings)
            return Counts({number: pruned}, {number: _correct(network, self)})


@dataclass(frozen=True, eq=False)
class Pruning(GroupRows):
    """Results of the whole network (0) and of all groups."""

    groups: tuple[Group, ...]
    counts: Counts
    examples: int
    tuning: Tuning | None
    scope: str

    def rows(self) -> list[dict[str, Any]]:
        """One row per score and share with Wilson intervals, the whole network first.

        Random units have the mean over `draws` with its Student interval, and `above`, the number of draws that keep
        less. Null without fine-tuning or control.
        """
        return self.rows_of("method", "share", "units", "of")

    def plotted(self) -> Plot:
        """Pruning curves: accuracy against the share of units pruned, by score, with random units."""
        whole, *rows = self.rows()
        series = [Series.of(name, [whole, *points], "share", "accuracy") for name, points in by(rows, "method").items()]
        random = next(iter(by(rows, "method").values()), [])
        if any(row["random_accuracy"] is not None for row in random):
            series.append(Series.of("random units", random, "share", "random_accuracy"))
        return Plot(f"Accuracy after pruning, n = {self.examples:,}", "share of the units", "accuracy", tuple(series))

    def words(self) -> str:
        """Accuracy at the largest share, beside the controls."""
        largest, points = self.largest()
        findings = [
            f"{row['method']} {row['accuracy']:.3f} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
            + ("" if row["random_accuracy"] is None else f", random units {row['random_accuracy']:.3f}")
            for row in points
        ]
        return (
            f"Accuracy on {self.examples} examples without {largest:.0%} of the units: "
            f"{'; '.join(findings) or 'none'}; the whole network {self.rows()[0]['accuracy']:.3f}."
        )

    def context(self) -> dict[str, Any]:
        tuning = None if self.tuning is None else vars(self.tuning)
        return {"scope": self.scope, "examples": self.examples, "tuning": tuning}

    def figures(self, point: int) -> dict[str, Any]:
        figures: dict[str, Any] = {"n": self.examples}
        for name, counts in (("accuracy", self.counts.pruned), ("tuned", self.counts.tuned)):
            figures |= rate(name, counts.get(point, 0), self.examples if point in counts else 0)
        return figures

    def control(self, point: int, random: list[int]) -> dict[str, Any]:
        figures: dict[str, Any] = {"draws": len(random)}
        for name, counts in (("accuracy", self.counts.pruned), ("tuned", self.counts.tuned)):
            drawn = [counts[number] for number in random if number in counts]
            figures |= rate_over_draws(f"random_{name}", [count / self.examples for count in drawn])
            figures[f"above_{name}"] = sum(counts[point] > count for count in drawn) if drawn else None
        return figures


_DROPOUT = threading.Lock()
"""Held while a network is fine-tuned: all threads of a process draw dropout from one generator."""


def _correct(network: nn.Module, study: Study) -> int:
    """Correct predictions on the held-out examples."""
    correct = 0
    with fixed(network, study.settings.options.threads):
        for batch in study.held:
            logits = forward(network, batch.inputs)[: batch.count].cpu()
            assert batch.labels is not None
            correct += int((logits.argmax(dim=1) == true_labels(batch.labels, batch.count, logits.shape[1])).sum())
    return correct


def _tune(network: nn.Module, columns: dict[str, Tensor], tuning: Tuning, settings: Settings) -> None:
    """Fine-tune a network in place; neutralised units stay neutral."""
    labels = columns["labels"]
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise ConfigError("fine-tuning changes parameters; all of this network are frozen; leave train out")
    optimizer = torch.optim.AdamW(parameters, lr=tuning.learning_rate, weight_decay=0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.options.threads)
    network.train()
    try:
        with _DROPOUT, torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seeds.integer(settings.options.seed, "fine-tuning dropout"))
            for rows in _steps(len(labels), tuning, settings.options.seed):
                inputs = {key: column[rows] for key, column in columns.items() if key != "labels"}
                logits = forward(network, inputs.get("", inputs))
                loss = functional.cross_entropy(logits, labels[rows].to(logits.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if not torch.isfinite(loss):
                    raise FailureError("the loss of fine-tuning is not finite; lower its learning rate")
    finally:
        torch.set_num_threads(threads)
        network.eval()


def _steps(examples: int, tuning: Tuning, seed: int) -> Iterator[Int64[Tensor, " row"]]:
    """Rows of each step.

    A single last row joins the batch before it.
    """
    for epoch in range(tuning.epochs):
        order = torch.from_numpy(seeds.generator(seed, "fine-tuning order", epoch).permutation(examples))
        parts = list(order.split(tuning.rows))
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        yield from parts
