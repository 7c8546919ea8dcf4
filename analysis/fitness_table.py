"""Fitness metrics measured: their cost, their stability, and their agreement with exact ablation (docs/fitness.md).

    python -m analysis.fitness_table [--part stability|cost] [--seeds 0 1 2 3 4] [--folder DIR] [--json FILE]

The source of the metrics rates their cost and stability in words. Here both are measured on networks that are trained
for it, kept in `--folder`, and trained only once. Each rank correlation is Spearman's within a layer, a mean over
layers weighted by their units. Each figure is a mean over the trainings with its 95 % Student interval. Times are one
table and correlations another, so that the times can be taken on an idle machine.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr
from torch import nn

from analysis.subjects import interval
from ndg import atomic, config, seeds, training
from ndg.activations.batches import compute_batches, fixed
from ndg.activations.sampling import draw
from ndg.config import Experiment
from ndg.data.examples import Splits
from ndg.errors import NDGError
from ndg.gradients.tape import Tape
from ndg.importance.experiments.groups import over_draws
from ndg.importance.fitness.measure import MEASURES, Fitness, KnownWeights, fitness
from ndg.importance.fitness.monitor import watched
from ndg.importance.weights.incoming import Weights, leading, weights_of
from ndg.locations import Locations
from ndg.options import RunOptions
from ndg.report.tables import Column, Table
from ndg.workflows.train import load, train

CONFIGS, SEEDS = ("digits_mlp", "digits_cnn"), (0, 1, 2, 3, 4)
BATCH, BATCHES, STAGES, TIMED = 256, 4, 8, 5
STABILITY, COST = "stability", "cost"
FIRST, LAST = "an eighth", "the end"

SOURCE = {
    "gradient": ("low", "low"),
    "variance": ("medium", "high"),
    "weights": ("very low", "very high"),
    "ablation": ("very high", "high"),
    "taylor": ("low", "medium"),
}
"""Compute cost and stability in the quick-reference table of the source."""

COLUMNS = {
    "config": Column("network", left=True),
    "stage": Column("trained to", left=True),
    "measure": Column("metric", left=True),
    "batches": Column("between batches [95 %]"),
    "epochs": Column("between epochs [95 %]"),
    "seeds": Column("between seeds [95 %]"),
    "ablation": Column("with ablation [95 %]"),
    "size": Column("with the size of ablation [95 %]"),
    "n": Column("n", "trainings"),
    "source": Column("the source: stability", left=True),
}
NOTE = (
    f"between batches: the {BATCHES * (BATCHES - 1) // 2} pairs of {BATCHES} disjoint batches of {BATCH} training "
    f"examples; between epochs: neighbours among {STAGES} equally distant epochs of one training, same batch; between "
    "seeds: units of two trainings paired one to one by the largest correlation of their activations on the validation "
    "split (their pairs share trainings, so this interval is too narrow); with ablation: exact ablation (loss, zero) "
    "on the validation split, signed and as a size. Each layer standardises the terms of its composite. n: trainings "
    "where the metric exists; correlation needs wrong predictions."
)
COST_COLUMNS = {
    "config": Column("network", left=True),
    "measure": Column("metric", left=True),
    "steps": Column("time", "training steps [95 %]", digits=2),
    "seconds": Column("time", "ms [95 %]", digits=1),
    "n": Column("n", "trainings"),
    "source": Column("the source: cost", left=True),
}
COST_NOTE = (
    f"The metric alone on one batch of {BATCH} training examples, over a training step of the same batch and in "
    f"milliseconds, on one thread: the median of {TIMED} rounds in which all metrics and the step run in random order. "
    "Every metric makes one forward pass, for the share of examples on which a neuron is on."
)

INTERVALS = ("seconds", "steps", "batches", "epochs", "seeds", "ablation", "size")

Values = Mapping[str, Float64[np.ndarray, " unit"]]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Training:
    """Networks of a training at several epochs, and its data."""

    experiment: Experiment
    splits: Splits
    networks: Mapping[int, nn.Module]
    layers: tuple[str, ...]

    @property
    def epochs(self) -> list[int]:
        return sorted(self.networks)

    def batch(self, number: int) -> list[tuple[Any, Any]]:
        """One of the disjoint batches of training examples, as a loader."""
        rows = draw(self.experiment.seed, "fitness", len(self.splits.train), BATCH * BATCHES)
        part = torch.from_numpy(np.array_split(rows, BATCHES)[number])
        return list(self.splits.train[part].loader(BATCH))

    def earlier(self, epoch: int) -> Weights | None:
        """Weights at the epoch before this one, if any."""
        before = [other for other in self.epochs if other < epoch]
        network = self.networks[before[-1]] if before else None
        return None if network is None else weights_of(network, self.led(network))

    def led(self, network: nn.Module) -> dict[str, list[str]]:
        return leading(network, self.batch(0), self.layers, BATCH)


def trained(name: str, seed: int, folder: Path, where: Locations, quick: bool) -> Training:
    """A training of a config with its networks at equally distant epochs."""
    settings = config.load(config.configs()[name], [f"seed={seed}"], smoke=quick)
    every = max(settings.train.epochs // STAGES, 1)
    words = [f"train.keep_checkpoints=every:{every}", f"train.patience={settings.train.epochs}", f"seed={seed}"]
    experiment = where.place(config.load(config.configs()[name], words, smoke=quick))
    splits = load(experiment)
    own = folder / f"{experiment.name}-{experiment.training_digest}-{seed}"
    others = train(experiment, splits, own, resume=True).others
    networks = {int(path.stem.rpartition("-")[2]): training.load_model(own, path.name)[0] for path in others}
    layers = watched(networks[min(networks)], splits.train[:BATCH].loader(BATCH), BATCH)
    return Training(experiment, splits, networks, layers)


def measured(work: Training, epoch: int, number: int, chosen: Sequence[str]) -> Mapping[str, Values]:
    """Values by measure and layer at an epoch, on one batch."""
    network = work.networks[epoch]
    result = look(network, work, epoch, work.batch(number), chosen)
    return {name: {layer: values[name] for layer, values in result.values.items() if name in values} for name in chosen}


def look(network: nn.Module, work: Training, epoch: int, data: Iterable[Any], chosen: Sequence[str]) -> Fitness:
    before = work.earlier(epoch) if "change" in chosen else None
    known = KnownWeights(work.led(network), work.layers, before)
    options = RunOptions(batch=BATCH, threads=work.experiment.train.threads)
    return fitness(network, data, work.layers, known=known, measures=chosen, options=options)


def agreement(first: Values, second: Values) -> float | None:
    """Spearman within layers, weighted by units; None without a layer that varies in both."""
    total, units = 0.0, 0
    for layer in first.keys() & second.keys():
        one, other = first[layer], second[layer]
        if len(one) > 2 and np.ptp(one) > 0 and np.ptp(other) > 0:
            total, units = total + len(one) * float(spearmanr(one, other).statistic), units + len(one)
    return total / units if units else None


def sizes(values: Values) -> Values:
    return {layer: np.abs(scores) for layer, scores in values.items()}


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def activations(work: Training) -> Mapping[str, Float64[np.ndarray, "unit example"]]:
    """Standardised mean activation of each unit on the validation split."""
    network, parts = work.networks[work.epochs[-1]], dict[str, list[np.ndarray]]()
    with torch.no_grad(), fixed(network, 1), Tape(network, work.layers) as tape:
        for part in compute_batches(work.splits.validation.loader(BATCH), BATCH, short=True):
            tape.run(part)
            for layer in work.layers:
                parts.setdefault(layer, []).append(tape[layer][: part.count].double().mean(dim=2).T.numpy())
    result = {}
    for layer, blocks in parts.items():
        values = np.concatenate(blocks, axis=1)
        values -= values.mean(axis=1, keepdims=True)
        result[layer] = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return result


def paired(first: Training, second: Training) -> Callable[[Values, Values], tuple[Values, Values]]:
    """Function that brings the units of two trainings into the order of their pairs."""
    one, other = activations(first), activations(second)
    pairs = {layer: linear_sum_assignment(-np.abs(one[layer] @ other[layer].T)) for layer in first.layers}

    def ordered(left: Values, right: Values) -> tuple[Values, Values]:
        return (
            {layer: values[pairs[layer][0]] for layer, values in left.items()},
            {layer: values[pairs[layer][1]] for layer, values in right.items()},
        )

    return ordered


def seconds_of(work: Training, epoch: int, metrics: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of each metric and of one training step, on one batch, several times."""
    network, data = work.networks[epoch], work.batch(0)
    known = KnownWeights(work.led(network), work.layers, work.earlier(epoch))
    options = RunOptions(batch=BATCH, threads=work.experiment.train.threads)
    settings, changes = work.experiment.train, torch.Generator().manual_seed(0)
    copied = copy.deepcopy(network)
    learner = training.Learner.of(copied, settings, torch.device("cpu"))
    examples = work.splits.train[:BATCH]

    def step() -> None:
        copied.train()
        learner.step(examples.inputs.varied(settings, changes), examples.labels, 0.0)

    tasks: dict[str, Callable[[], object]] = {"step": step}
    for name in metrics:
        how = {"known": known, "measures": [name], "options": options}
        tasks[name] = lambda how=how: fitness(network, data, work.layers, **how)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(TIMED + 1):
        for name in seeds.generator(0, "order", number).permutation(list(tasks)):
            began = time.perf_counter()
            tasks[name]()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def rows_of(name: str, works: Sequence[Training], metrics: Sequence[str]) -> list[Row]:
    """Rows of one config: stability and agreement of every metric at two stages of the training."""
    rows = []
    for stage, place in ((FIRST, 0), (LAST, -1)):
        epochs = [work.epochs[place] for work in works]
        looks = [
            [measured(work, epoch, number, metrics) for number in range(BATCHES)]
            for work, epoch in zip(works, epochs, strict=True)
        ]
        truths = [
            {
                layer: values["ablation"]
                for layer, values in look(
                    work.networks[epoch], work, epoch, list(work.splits.validation.loader(BATCH)), ["ablation"]
                ).values.items()
            }
            for work, epoch in zip(works, epochs, strict=True)
        ]
        figures: dict[str, dict[str, list[float | None]]] = {
            metric: {
                "batches": [
                    mean(agreement(one[metric], other[metric]) for one, other in combinations(batches, 2))
                    for batches in looks
                ],
                "ablation": [
                    mean(agreement(batch[metric], truth) for batch in batches)
                    for batches, truth in zip(looks, truths, strict=True)
                ],
                "size": [
                    mean(agreement(batch[metric], sizes(truth)) for batch in batches)
                    for batches, truth in zip(looks, truths, strict=True)
                ],
            }
            for metric in metrics
        }
        if place:
            _over_time(works, looks, figures)
        rows += [_row(name, stage, metric, figures[metric]) for metric in metrics]
    return rows


def costs_of(name: str, works: Sequence[Training], metrics: Sequence[str]) -> list[Row]:
    """Rows of one config: time of every metric on the trained networks."""
    timings = [seconds_of(work, work.epochs[-1], metrics) for work in works]
    rows = []
    for metric in metrics:
        medians = [{task: float(np.median(times[task])) for task in (metric, "step")} for times in timings]
        row: Row = {"config": name, "measure": metric, "n": len(works)}
        row |= _over("steps", [times[metric] / times["step"] for times in medians])
        row |= _over("seconds", [1000 * times[metric] for times in medians])
        rows.append(row | {"source": SOURCE.get(metric, ("", ""))[0]})
    return rows


def _over_time(
    works: Sequence[Training],
    looks: Sequence[Sequence[Mapping[str, Values]]],
    figures: Mapping[str, dict[str, list[float | None]]],
) -> None:
    """Add agreement between epochs and between seeds to the figures."""
    series = [[measured(work, epoch, 0, list(figures)) for epoch in work.epochs] for work in works]
    orders = {(one, other): paired(works[one], works[other]) for one, other in combinations(range(len(works)), 2)}
    for metric in figures:
        figures[metric]["epochs"] = [
            mean(agreement(one[metric], other[metric]) for one, other in pairwise(values)) for values in series
        ]
        figures[metric]["seeds"] = [
            agreement(*order(looks[one][0][metric], looks[other][0][metric])) for (one, other), order in orders.items()
        ]


def _row(name: str, stage: str, metric: str, figures: Mapping[str, Sequence[float | None]]) -> Row:
    row: Row = {"config": name, "stage": stage, "measure": metric}
    for what, values in figures.items():
        known = [value for value in values if value is not None]
        row |= _over(what, known)
        if what == "ablation":
            row["n"] = len(known)
    return row | {"source": SOURCE.get(metric, ("", ""))[1]}


def _over(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """Mean over trainings with its Student interval."""
    value, low, high = over_draws(values) or (None, None, None)
    if value is None or low is None or high is None:
        return {name: None}
    ends = (max(low, 0.0), high) if name in ("seconds", "steps") else (max(low, -1.0), min(high, 1.0))
    ends = ends if len(values) > 1 else (None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), (value, *ends), strict=True))


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS), metavar="CONFIG")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="N")
    parser.add_argument("--metrics", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME")
    parser.add_argument("--part", choices=(STABILITY, COST), help="this table alone")
    parser.add_argument("--folder", default="runs/fitness", metavar="DIR", help="trainings (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="the configs' smoke sections, for a quick check")
    parser.add_argument("--markdown", action="store_true", help="print Markdown, as in docs/")
    parser.add_argument("--json", metavar="FILE", help="write the figures")
    parser.add_argument("--data", metavar="DIR", help="folder of the data sets (else NDG_DATA)")
    args = parser.parse_args(words)
    where, rows, costs = Locations.choose(data=args.data), list[Row](), list[Row]()
    try:
        for name in args.configs:
            works = [trained(name, seed, Path(args.folder), where, args.quick) for seed in args.seeds]
            rows += rows_of(name, works, args.metrics) if args.part != COST else []
            costs += costs_of(name, works, args.metrics) if args.part != STABILITY else []
    except NDGError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    if args.json:
        document = {"note": NOTE, "rows": rows, "cost_note": COST_NOTE, "costs": costs}
        atomic.write(Path(args.json), json.dumps(document, indent=1, allow_nan=False) + "\n")
    tables = []
    if rows:
        tables.append(Table.of("fitness metrics: stability", COLUMNS, shown(rows), note=NOTE))
    if costs:
        tables.append(Table.of("fitness metrics: cost", COST_COLUMNS, shown(costs), note=COST_NOTE))
    print("\n\n".join(table.markdown() if args.markdown else str(table) for table in tables))
    return 0


def shown(rows: Sequence[Row]) -> list[Row]:
    """Rows with values and intervals as text."""
    return [
        row
        | {
            what: interval(row[what], row.get(f"{what}_low"), row.get(f"{what}_high"))
            for what in INTERVALS
            if what in row
        }
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
